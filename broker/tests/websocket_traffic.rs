//! MQTT over WebSocket (MQTT 5.0 and 3.1.1, chapter 6) as clients of another library speak it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use futures_util::{SinkExt, StreamExt};
use rollcall_broker::codec::{Disconnect, Packet, Properties};
use rollcall_broker::{Count, QoS, ReasonCode};
use support::websocket::{self, REQUEST, Raw, ask, frame};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish, soon, subscription, will};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[tokio::test]
async fn clients_of_both_versions_exchange_messages_with_those_of_other_listeners() {
    let server = Server::start().await;
    let plain = server.websocket_listener(None).await;
    let (sealed, ca) = websocket::secured(&server).await;
    let mut socket = Client::v5(server.addr, "socket").await;
    socket.subscribe("up/#", ANY).await;
    for (index, version) in [V4, V5].into_iter().enumerate() {
        let mut ws = websocket::open(plain, version, &format!("ws-{index}")).await;
        let mut wss =
            websocket::open_tls(sealed, &ca.client(None), version, &format!("wss-{index}")).await;
        ws.subscribe("down", ANY).await;
        wss.subscribe("down", ANY).await;
        for size in [0, 1, 100, 126, 5_000, 60_000] {
            let payload = vec![7; size];
            ws.publish(publish("up/ws", &payload, QoS::AtLeastOnce, 1))
                .await;
            ws.expect(Packet::PubAck(ack(1))).await;
            wss.publish(publish("up/wss", &payload, QoS::ExactlyOnce, 2))
                .await;
            wss.expect(Packet::PubRec(ack(2))).await;
            wss.send(Packet::PubRel(ack(2))).await;
            wss.expect(Packet::PubComp(ack(2))).await;
            for _ in 0..2 {
                assert!(socket.message().await.payload == payload);
            }
            socket
                .publish(publish("down", &payload, QoS::ExactlyOnce, 3))
                .await;
            assert!(ws.message().await.payload == payload);
            assert!(wss.message().await.payload == payload);
            socket.expect(Packet::PubRec(ack(3))).await;
            socket.send(Packet::PubRel(ack(3))).await;
            socket.expect(Packet::PubComp(ack(3))).await;
        }
    }
    let metrics = server.handle.metrics();
    assert_eq!(metrics.count(Count::WebSocketsOpened), 4);
    assert_eq!(metrics.count(Count::TlsHandshakes), 2);
}

#[tokio::test]
async fn the_answer_names_the_subprotocol_mqtt_and_the_certificate_counts() {
    // MQTT-6.0.0-3, -4.
    let server = Server::start().await;
    let (addr, ca) = websocket::secured(&server).await;
    let identity = ca.issue("robot");
    let expected = format!("certificate of {} bytes", identity.certificate.len());
    let config = ca.client(Some(identity));
    let stream = support::pki::secure(addr, &config).await.unwrap();
    let (carried, response) = ask(stream).await;
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    let mut client = Client::over(carried, V5);
    let connack = client.introduce(connect(V5, "certified")).await;
    let id = rollcall_broker::codec::PropertyId::AssignedClientIdentifier;
    assert_eq!(connack.properties.text(id).unwrap(), *expected);
}

#[tokio::test]
async fn packets_may_span_frames_and_frames_may_hold_several_packets() {
    // MQTT-6.0.0-2.
    let server = Server::start().await;
    let addr = server.websocket_listener(None).await;
    let mut raw = Raw::granted(addr).await;
    let mut bytes = Vec::new();
    let first = Packet::Connect(Box::new(connect(V5, "crumbs")));
    first.encode(V5, &mut bytes).unwrap();
    subscription(1, "t", ANY).encode(V5, &mut bytes).unwrap();
    Packet::Publish(publish("t", b"one", QoS::AtMostOnce, 0))
        .encode(V5, &mut bytes)
        .unwrap();
    // A message of one frame for each byte, with a ping and a pong between them.
    for (index, byte) in bytes.iter().enumerate() {
        let kind = if index == 0 { 2 } else { 0 };
        raw.send(&frame(kind, &[*byte])).await;
        if index == 5 {
            raw.send(&frame(0x89, b"there?")).await;
            raw.send(&frame(0x8a, b"yes")).await;
        }
    }
    raw.send(&frame(0x80, b"")).await;
    assert_eq!(raw.frame().await, (0x8a, b"there?".to_vec()));
    let mut heard = Vec::new();
    while !heard.ends_with(b"one") {
        let (first, content) = raw.frame().await;
        assert_eq!(first, 0x82);
        heard.extend(content);
    }
    // The same in one frame, with the request still unanswered.
    let mut raw = Raw::new(addr).await;
    raw.send(&[REQUEST.as_bytes(), &frame(0x82, &bytes)].concat())
        .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    let mut heard = Vec::new();
    while !heard.ends_with(b"one") {
        heard.extend(raw.frame().await.1);
    }
}

#[tokio::test]
async fn pings_of_websocket_are_answered_at_any_time_and_keep_no_client_alive() {
    let server = Server::start().await;
    let addr = server.websocket_listener(None).await;
    let (mut carried, _) = ask(TcpStream::connect(addr).await.unwrap()).await;
    let ping = |text: &'static str| Message::Ping(text.into());
    carried.websocket.send(ping("before")).await.unwrap();
    let pong = carried.websocket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("before".into()));
    let mut client = Client::over(carried, V5);
    let mut impatient = connect(V5, "client");
    impatient.keep_alive = 1;
    client.introduce(impatient).await;
    let (mut sending, mut reading) = client.stream.websocket.split();
    let pinging = async {
        while sending.send(ping("after")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let ended = async {
        let mut pongs = 0;
        while let Some(Ok(message)) = reading.next().await {
            pongs += u32::from(message.is_pong());
        }
        pongs
    };
    let (pongs, ()) = soon("the timeout", async { tokio::join!(ended, pinging) }).await;
    assert!(pongs > 0);
    assert_eq!(server.handle.metrics().count(Count::KeepAliveTimeout), 1);
}

#[tokio::test]
async fn either_side_may_close() {
    let server = Server::start().await;
    let addr = server.websocket_listener(None).await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("will", ANY).await;
    let dying = |id| {
        let mut dying = connect(V5, id);
        dying.will = Some(will("will", b"gone"));
        dying
    };
    // A close frame is no DISCONNECT.
    let (carried, _) = ask(TcpStream::connect(addr).await.unwrap()).await;
    let mut client = Client::over(carried, V5);
    client.introduce(dying("closes")).await;
    client.stream.websocket.close(None).await.unwrap();
    while let Some(message) = client.stream.websocket.next().await {
        assert!(message.unwrap().is_close());
    }
    assert_eq!(watcher.message().await.payload, "gone");
    // DISCONNECT and close frame in one go.
    let mut raw = Raw::granted(addr).await;
    let mut bytes = Vec::new();
    let first = Packet::Connect(Box::new(dying("leaves")));
    first.encode(V5, &mut bytes).unwrap();
    raw.send(&frame(0x82, &bytes)).await;
    raw.frame().await;
    let mut last = frame(0x82, b"\xe0\0");
    last.extend(frame(0x88, b"\x03\xe8"));
    raw.send(&last).await;
    assert_eq!(raw.frame().await, (0x88, b"\x03\xe8".to_vec()));
    assert_eq!(raw.rest().await, []);
    assert_eq!(watcher.until_pong().await, [], "no will");
    // The server says why and closes.
    let mut client = websocket::open(addr, V5, "told").await;
    let stop = server.handle.clone();
    let stopped = tokio::spawn(async move { stop.shutdown().await });
    client
        .expect(Packet::Disconnect(Disconnect {
            code: ReasonCode::ServerShuttingDown,
            properties: Properties::none(),
        }))
        .await;
    let last = client.stream.websocket.next().await.unwrap().unwrap();
    let Message::Close(Some(close)) = last else {
        panic!("a close frame was expected, not {last:?}");
    };
    assert_eq!(close.code, CloseCode::Normal);
    soon("the end", stopped).await.unwrap();
}

#[tokio::test]
async fn messages_for_a_client_that_reads_slowly_all_arrive() {
    let server = Server::start().await;
    let addr = server.websocket_listener(None).await;
    let mut slow = websocket::open(addr, V5, "slow").await;
    slow.subscribe("t", ANY).await;
    let mut fast = Client::v5(server.addr, "fast").await;
    for number in 0..100_u8 {
        let payload = vec![number; 9_000];
        fast.publish(publish("t", &payload, QoS::AtMostOnce, 0))
            .await;
    }
    fast.until_pong().await;
    for number in 0..100_u8 {
        assert!(slow.message().await.payload == vec![number; 9_000]);
    }
}
