//! What one robot needs to connect, and how it gets it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rollcall_proto::topic::Base;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::super::stats::Stats;
use super::super::tls;
use super::api::{Api, Call, unusable};
use super::certificate::{Certificate, KeyRequest};
use super::folder::Folder;
use super::{PairingError, Service};

/// A robot's secret, certificate, and the broker that its process was told of.
#[derive(Debug, Default)]
pub(in super::super) struct Identity {
    secret: Option<String>,
    certificate: Option<Certificate>,
    /// The files were looked at.
    loaded: bool,
    /// The process that asked, and the answer.
    broker: Option<(u64, (String, u16))>,
}

/// Where to connect, and how.
pub(in super::super) struct Paired {
    pub(in super::super) host: String,
    pub(in super::super) port: u16,
    pub(in super::super) tls: Arc<ClientConfig>,
}

impl Identity {
    /// A robot whose secret is known, or that has to be registered.
    pub(in super::super) fn new(secret: Option<String>) -> Self {
        Self {
            secret,
            ..Self::default()
        }
    }

    /// Everything that comes before an MQTT connection. `process` is the number of the robot's
    /// process: a broker's address is asked for once in each.
    pub(in super::super) async fn pair(
        &mut self,
        service: &Service,
        robot: Base<'_>,
        process: u64,
        stats: &Stats,
    ) -> Result<Paired, PairingError> {
        let began = Instant::now();
        let folder = service.state_dir.as_deref();
        let folder = folder.map(|dir| Folder::of(dir, robot.robot));
        let api = Api::new(service, robot);
        self.load(folder.as_ref(), robot).await;
        let secret = match self.secret.clone() {
            Some(secret) => secret,
            None => self.register(&api, service, folder.as_ref(), stats).await?,
        };
        let certificate = match self.verified(&api, &secret, stats).await? {
            Some(certificate) => certificate,
            None => {
                let new = request(&api, &secret, robot, folder.as_ref(), stats).await?;
                self.certificate.insert(new).clone()
            }
        };
        let (host, port) = match &self.broker {
            Some((asked_by, broker)) if *asked_by == process => broker.clone(),
            _ => {
                let broker = address(&api.broker_url(&secret).await?)?;
                stats.pairing_infos.fetch_add(1, Relaxed);
                self.broker = Some((process, broker.clone()));
                broker
            }
        };
        stats.pairing_time.record(began.elapsed());
        let tls = tls::with_identity(&service.tls, certificate.identity);
        Ok(Paired { host, port, tls })
    }

    async fn load(&mut self, folder: Option<&Folder>, robot: Base<'_>) {
        let Some(folder) = folder.filter(|_| !self.loaded) else {
            return;
        };
        self.loaded = true;
        if self.secret.is_none() {
            self.secret = folder.secret().await;
        }
        if let Some((pem, key)) = folder.certificate().await {
            match Certificate::new(pem, key, &robot.to_string()) {
                Ok(certificate) => self.certificate = Some(certificate),
                // Another one is asked for.
                Err(error) => tracing::warn!(%robot, error, "stored certificate is not used"),
            }
        }
    }

    async fn register(
        &mut self,
        api: &Api<'_>,
        service: &Service,
        folder: Option<&Folder>,
        stats: &Stats,
    ) -> Result<String, PairingError> {
        let token = service.token.as_deref().ok_or(PairingError::NoSecret)?;
        let secret = api.register(token).await?;
        stats.pairing_registrations.fetch_add(1, Relaxed);
        if let Some(folder) = folder {
            folder.keep_secret(&secret).await?;
        }
        Ok(self.secret.insert(secret).clone())
    }

    /// The certificate, if the server still takes it.
    async fn verified(
        &mut self,
        api: &Api<'_>,
        secret: &str,
        stats: &Stats,
    ) -> Result<Option<Certificate>, PairingError> {
        let Some(certificate) = &self.certificate else {
            return Ok(None);
        };
        let valid = api.verify(secret, &certificate.pem).await?;
        stats.pairing_verifications.fetch_add(1, Relaxed);
        if !valid {
            self.certificate = None;
        }
        Ok(self.certificate.clone())
    }
}

async fn request(
    api: &Api<'_>,
    secret: &str,
    robot: Base<'_>,
    folder: Option<&Folder>,
    stats: &Stats,
) -> Result<Certificate, PairingError> {
    let name = robot.to_string();
    let KeyRequest { key, csr } = KeyRequest::new(&name)?;
    let pem = api.credentials(secret, &csr).await?;
    let certificate = Certificate::new(pem, key.clone(), &name);
    let certificate = certificate.map_err(|reason| unusable(Call::Credentials, &reason))?;
    stats.pairing_credentials.fetch_add(1, Relaxed);
    if let Some(folder) = folder
        && let Err(error) = folder.keep_certificate(&certificate.pem, &key).await
    {
        // The next start asks for another one.
        tracing::warn!(%robot, %error, "certificate is not stored");
    }
    Ok(certificate)
}

/// Host and port of a broker's url. Its scheme means nothing, and its port must be written out.
fn address(url: &str) -> Result<(String, u16), PairingError> {
    let wrong = || {
        let reason = format!("names the broker {url:?} instead of mqtts://HOST:PORT");
        unusable(Call::Info, &reason)
    };
    let (_, rest) = url.split_once("://").ok_or_else(wrong)?;
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
    match port.parse() {
        Ok(port) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_0_9_the_brokers_url_needs_a_port_and_its_scheme_means_nothing() {
        let found = |url| address(url).ok();
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(found("mqtts://broker.local:8883"), at("broker.local", 8883));
        assert_eq!(
            found("mqtts://broker.local:8883/"),
            at("broker.local", 8883)
        );
        assert_eq!(found("http://10.0.0.1:1883"), at("10.0.0.1", 1883));
        for url in [
            "mqtts://broker.local",
            "broker:8883",
            "mqtts://:8883",
            "mqtts://b:x",
            "",
        ] {
            let error = address(url).unwrap_err();
            assert!(error.to_string().contains("mqtts://HOST:PORT"), "{error}");
        }
    }
}
