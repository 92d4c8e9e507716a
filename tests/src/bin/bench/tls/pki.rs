//! The certificates of both servers and all clients, also as files for servers that read files.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// ECDSA P-256 throughout, as the built-in authority has it.
#[derive(Debug)]
pub(crate) struct Pki {
    directory: TempDir,
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) clients: Vec<Identity>,
}

/// A client's name, certificate and key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Where a server finds its files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn within(directory: &Path) -> Self {
        Self {
            ca: directory.join("ca.pem"),
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
        }
    }
}

impl Pki {
    pub(crate) fn create(clients: usize) -> Result<Self> {
        let mut params = params("benchmark authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let directory = tempfile::tempdir().context("no directory for certificates")?;
        let files = Files::within(directory.path());
        let key = KeyPair::generate()?;
        let server = params_for_server()?.signed_by(&key, &ca)?;
        std::fs::write(files.ca, ca.pem())?;
        std::fs::write(files.certificate, server.pem())?;
        std::fs::write(files.key, key.serialize_pem())?;
        let clients = (0..clients).map(|number| identity(number, &ca));
        Ok(Self {
            clients: clients.collect::<Result<_>>()?,
            ca: ca.der().clone(),
            directory,
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn params_for_server() -> Result<CertificateParams> {
    Ok(CertificateParams::new(vec!["127.0.0.1".to_owned()])?)
}

fn identity(number: usize, ca: &CertifiedIssuer<'_, KeyPair>) -> Result<Identity> {
    let name = format!("fleet/robot-{number}");
    let key = KeyPair::generate()?;
    Ok(Identity {
        certificate: params(&name)?.signed_by(&key, ca)?.into(),
        key: key.into(),
        name,
    })
}
