//! What the listeners speak: TLS 1.2 and 1.3, a full handshake each time.

use super::Error;
use super::authority::Authority;
use super::server_certificate::ServerCertificate;
use rollcall_broker::ClientCertificates;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// For robots' MQTT: a client certificate is asked for, and must be the authority's when there is one.
pub(super) fn mqtts(
    authority: &Authority,
    server: &ServerCertificate,
) -> Result<Arc<ServerConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone())?;
    Ok(rollcall_broker::server_config(
        server.chain.clone(),
        server.key.clone_key(),
        ClientCertificates::Optional(roots),
    )?)
}

/// For HTTPS: robots show bearer secrets there.
pub(super) fn https(server: &ServerCertificate) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(server.chain.clone(), server.key.clone_key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A robot asks once and goes; tickets for all of a fleet would cost memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
