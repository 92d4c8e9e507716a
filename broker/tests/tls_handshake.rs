//! TLS handshakes: who gets in, who does not and why, and that none delays another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Packet, PropertyId};
use rollcall_broker::{Count, Limits, QoS, Tls};
use std::net::SocketAddr;
use std::time::Duration;
use support::pki::{self, Ca};
use support::{Server, V4, V5, ack, connect, publish, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// Starts a server whose connections have this long until their CONNECT.
async fn impatient(connect_timeout: Duration) -> (Server, SocketAddr, Ca) {
    let limits = Limits {
        connect_timeout,
        ..Limits::default()
    };
    let (server, ca) = (Server::with(limits, 16).await, Ca::new("ca"));
    let addr = server.tls_listener(ca.tls()).await;
    (server, addr, ca)
}

/// The bytes of a ClientHello.
fn client_hello(ca: &Ca) -> Vec<u8> {
    let mut client = rustls::ClientConnection::new(ca.client(None), pki::localhost()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn stalled_handshakes_delay_nobody() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let hello = client_hello(&ca);
    let mut stuck = Vec::new();
    for at in 0..300 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let sent = [0, 1, 3, hello.len() / 2, hello.len() - 1, hello.len()][at % 6];
        stream.write_all(&hello[..sent]).await.unwrap();
        stuck.push(stream);
    }
    for _ in 0..20 {
        assert_lets_in(addr, &ca).await;
    }
    // None of the 300 is gone: they were there all the time.
    assert_eq!(server.handle.metrics().handshaking, 300);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended_and_what_it_held_is_free_again() {
    let (server, addr, ca) = impatient(Duration::from_millis(300)).await;
    let hello = client_hello(&ca);
    let mut stuck = Vec::new();
    for sent in [0, 1, hello.len() - 1, hello.len()] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(&hello[..sent]).await.unwrap();
            stuck.push(stream);
        }
    }
    // One that completes it and says nothing then has no more time than the others.
    let mut silent = pki::raw(addr, &ca.client(None), V5).await;
    silent.ends_with(None).await;
    for mut stream in stuck {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    }
    server.counts(Count::ConnectTimeout, 41).await;
    soon("the last to leave", async {
        while server.handle.metrics().handshaking > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_lets_in(addr, &ca).await;
}

#[tokio::test]
async fn drops_of_a_client_hello_buy_no_time() {
    let (server, addr, ca) = impatient(Duration::from_millis(300)).await;
    let hello = client_hello(&ca);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // More pauses than there is time for; the loop ends when the server does not listen any more.
    soon("the end", async {
        for byte in hello.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    })
    .await;
    server.counts(Count::ConnectTimeout, 1).await;
    assert_eq!(server.handle.metrics().count(Count::TlsMalformed), 0);
}

#[tokio::test]
async fn one_stalled_handshake_too_many_is_closed_at_once() {
    let limits = Limits {
        max_handshaking: 2,
        ..Limits::default()
    };
    let (server, ca) = (Server::with(limits, 16).await, Ca::new("ca"));
    let addr = server.tls_listener(ca.tls()).await;
    let hello = client_hello(&ca);
    let mut stuck = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&hello[..50]).await.unwrap();
        stuck.push(stream);
    }
    server.counts(Count::SocketsAccepted, 2).await;
    assert!(pki::secure(addr, &ca.client(None)).await.is_err());
    server.counts(Count::HandshakeLimit, 1).await;
    stuck.pop();
    soon("room for another", async {
        while server.handle.metrics().handshaking > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_lets_in(addr, &ca).await;
}

#[tokio::test]
async fn other_protocols_on_the_tls_port_are_counted_as_such() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let mut mqtt = Vec::new();
    Packet::Connect(Box::new(connect(V4, "plain")))
        .encode(V4, &mut mqtt)
        .unwrap();
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for bytes in [mqtt, http, vec![0xff; 100], vec![0; 100]] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        assert!(answer.len() <= 7, "nothing but an alert: {answer:?}");
    }
    server.counts(Count::TlsNotSpoken, 4).await;
    assert_lets_in(addr, &ca).await;
}

#[tokio::test]
async fn malformed_client_hellos_are_refused_and_kill_nothing() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let hello = client_hello(&ca);
    let mut cases: Vec<Vec<u8>> = vec![
        // A record above the maximum.
        [&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat(),
        // A handshake message that claims 16 MB.
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec(),
        // An empty record, an alert, application data, something after which a ClientHello would be due.
        b"\x16\x03\x01\x00\x00".repeat(100),
        b"\x15\x03\x01\x00\x02\x02\x28".to_vec(),
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        b"\x16\x03\x03\x00\x04\x14\x00\x00\x00".to_vec(),
        // Change cipher spec without end.
        b"\x14\x03\x03\x00\x01\x01".repeat(1_000),
    ];
    // Every length field of the message itself, lying.
    for at in [9, 43, 76, 77] {
        let mut lying = hello.clone();
        lying[at] ^= 0x7f;
        cases.push(lying);
    }
    for bytes in &cases {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The server may have had enough before the last byte.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        assert_lets_in(addr, &ca).await;
    }
    let metrics = server.handle.metrics();
    assert!(metrics.count(Count::TlsMalformed) >= 5);
    assert_eq!(
        metrics.count(Count::TlsHandshakes),
        u64::try_from(cases.len()).unwrap(),
        "only those between"
    );
}

#[tokio::test]
async fn an_endless_client_hello_is_cut_off() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // A message of 60,000 bytes, which rustls would wait for, in records of one byte, which the broker would keep.
    let head = b"\x16\x03\x01\x00\x04\x01\x00\xea\x60";
    let crumbs = b"\x16\x03\x01\x00\x01\x00".repeat(60_000);
    let written = async {
        stream.write_all(head).await?;
        stream.write_all(&crumbs).await?;
        stream.read_u8().await
    };
    soon("the end", written).await.ok();
    server.counts(Count::TlsMalformed, 1).await;
    assert!(
        server.handle.metrics().count(Count::BytesIn) < 60_000,
        "most was never read"
    );
    assert_lets_in(addr, &ca).await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_counted_as_that() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let stranger = Ca::new("another").client(None);
    assert!(pki::secure(addr, &stranger).await.is_err());
    server.counts(Count::TlsRefusedByClient, 1).await;
    assert_lets_in(addr, &ca).await;
}

#[tokio::test]
async fn a_client_without_a_common_version_is_counted_as_that() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let mut hello = client_hello(&ca);
    // TLS 1.1, and no extension that names a newer one.
    let at = hello
        .windows(4)
        .position(|bytes| bytes[..2] == [0, 0x2b] && bytes[2] == 0)
        .unwrap();
    hello[at + 1] = 0xfe;
    hello[9..11].copy_from_slice(&[3, 2]);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    soon("the end", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, b"\x15\x03\x03\x00\x02\x02\x46", "protocol version");
    server.counts(Count::TlsIncompatible, 1).await;
}

#[tokio::test]
async fn resets_during_and_after_the_handshake_kill_nothing() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let (hello, config) = (client_hello(&ca), ca.client(None));
    for round in 0..20 {
        let stream = if round % 2 == 0 {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(&hello).await.unwrap();
            stream
        } else {
            pki::secure(addr, &config).await.unwrap().into_inner().0
        };
        stream.set_zero_linger().unwrap();
    }
    assert_lets_in(addr, &ca).await;
    soon("the last to leave", async {
        while server.handle.metrics().handshaking > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn replaced_settings_hold_for_new_handshakes_and_leave_connections_alone() {
    let server = Server::start().await;
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let tls = old.tls();
    let addr = server.tls_listener(tls.clone()).await;
    let mut client = pki::open(addr, &old.client(Some(old.issue("r1"))), V5, "r1").await;
    let begun = TcpStream::connect(addr).await.unwrap();
    server.counts(Count::SocketsAccepted, 2).await;
    tls.replace(new.server());
    assert_lets_in(addr, &new).await;
    let with_old = old.client(Some(old.issue("r2")));
    assert!(pki::secure(addr, &with_old).await.is_err(), "not trusted");
    assert_eq!(client.until_pong().await, []);
    // A connection that was accepted before goes on under the settings that it began with.
    let connector = tokio_rustls::TlsConnector::from(with_old);
    assert!(connector.connect(pki::localhost(), begun).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnecting_fleet_is_let_in_while_others_publish() {
    let (server, addr, ca) = impatient(Limits::default().connect_timeout).await;
    let config = ca.client(Some(ca.issue("robot")));
    let mut working = pki::open(addr, &config, V5, "working").await;
    let mut fleet = tokio::task::JoinSet::new();
    for number in 0..200 {
        let config = std::sync::Arc::clone(&config);
        fleet.spawn(async move { pki::open(addr, &config, V5, &format!("fleet-{number}")).await });
    }
    for id in 1..=100 {
        working
            .publish(publish("t", b"x", QoS::AtLeastOnce, id))
            .await;
        working.expect(Packet::PubAck(ack(id))).await;
    }
    assert_eq!(fleet.join_all().await.len(), 200);
    server.counts(Count::TlsHandshakes, 201).await;
}
