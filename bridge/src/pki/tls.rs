//! What the listeners speak: TLS 1.2 and 1.3, a full handshake each time. Resumption would skip the look at the client's
//! certificate, and would need memory for every robot that may come back.

use super::Error;
use super::authority::Authority;
use super::server_certificate::ServerCertificate;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// For robots' MQTT: a client certificate is asked for, and must be the authority's when there is one.
pub(super) fn mqtts(
    authority: &Authority,
    server: &ServerCertificate,
) -> Result<Arc<ServerConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone())?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&server.key))));
    never_resume(&mut config);
    Ok(Arc::new(config))
}

/// For HTTPS: robots show bearer secrets there.
pub(super) fn https(server: &ServerCertificate) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&server.key))));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    never_resume(&mut config);
    Ok(Arc::new(config))
}

fn never_resume(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}
