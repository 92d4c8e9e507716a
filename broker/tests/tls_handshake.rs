//! TLS handshakes: who gets in, who does not and why, and that none delays another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Packet, PropertyId};
use rollcall_broker::{Count, Tls};
use std::net::SocketAddr;
use support::pki::{self, Ca};
use support::{Server, V5, connect, soon};
use tokio::io::AsyncReadExt;

/// Proves that the listener still lets clients in.
async fn assert_lets_in(addr: SocketAddr, ca: &Ca) {
    let config = ca.client(Some(ca.issue("proof")));
    let mut client = pki::open(addr, &config, V5, "proof").await;
    client.send(Packet::PingReq).await;
    client.expect(Packet::PingResp).await;
}

/// The name under which the server knows a client of this certificate.
fn known_as(size: usize) -> String {
    format!("certificate of {size} bytes")
}

#[tokio::test]
async fn the_owner_gets_the_certificate_that_the_client_showed() {
    let (server, ca) = (Server::start().await, Ca::new("ca"));
    let addr = server.tls_listener(ca.tls()).await;
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let robot = ca.issue("fleet/r1");
        let size = robot.certificate.len();
        for (identity, name) in [
            (Some(robot), known_as(size)),
            (None, "no certificate".to_owned()),
        ] {
            let config = ca.client_of(identity, versions);
            let mut client = pki::raw(addr, &config, V5).await;
            let connack = client.introduce(connect(V5, "certified")).await;
            let assigned = connack
                .properties
                .text(PropertyId::AssignedClientIdentifier);
            assert_eq!(assigned.as_deref(), Some(&*name));
        }
    }
    server.counts(Count::TlsHandshakes, 4).await;
}

#[tokio::test]
async fn bad_certificates_are_refused_and_counted_by_reason() {
    let (server, ca) = (Server::start().await, Ca::new("ca"));
    let optional = server.tls_listener(ca.tls()).await;
    let required = server.tls_listener(Tls::new(ca.strict_server())).await;
    let cases = [
        (
            Some(Ca::new("another").issue("r1")),
            Count::TlsCertificateUnknownIssuer,
        ),
        (
            Some(Ca::new("ca").issue("r1")),
            Count::TlsCertificateInvalid,
        ),
        (
            Some(pki::self_signed("r1")),
            Count::TlsCertificateUnknownIssuer,
        ),
        (
            Some(ca.issue_for_years("r1", 2000..2001)),
            Count::TlsCertificateExpired,
        ),
        (
            Some(ca.issue_for_years("r1", 3000..3001)),
            Count::TlsCertificateExpired,
        ),
        (None, Count::TlsCertificateMissing),
    ];
    for (identity, count) in cases {
        let addr = if identity.is_some() {
            optional
        } else {
            required
        };
        let before = server.handle.metrics().count(count);
        assert_alert(addr, &ca.client(identity)).await;
        server.counts(count, before + 1).await;
    }
    assert_eq!(server.handle.metrics().count(Count::TlsHandshakes), 0);
    assert_lets_in(optional, &ca).await;
    assert_lets_in(required, &ca).await;
}

/// The client learns in an alert that it was refused; with TLS 1.3 that comes after its own handshake.
async fn assert_alert(addr: SocketAddr, config: &std::sync::Arc<rustls::ClientConfig>) {
    let error = match pki::secure(addr, config).await {
        Ok(mut stream) => soon("an alert", stream.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("alert"), "{error}");
}
