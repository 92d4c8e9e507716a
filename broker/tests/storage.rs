//! Sessions and retained messages across restarts, and nothing promised before it is stored.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{
    Connect, Disconnect, Packet, Properties, PropertyId, Publish, Unsubscribe,
};
use rollcall_broker::{
    Limits, Pipe, ProtocolVersion, QoS, ReasonCode, StoredKey, StoredRow, StoredTable,
};
use std::sync::Arc;
use std::time::Duration;
use support::shelf::{Shelf, Stored};
use support::{ANY, CHANGED, Client, V4, V5, ack, connect, publish, soon, subscription, will};
use tokio::io::AsyncWriteExt;

const LASTING: u32 = 1_000;

fn lasting(version: ProtocolVersion, id: &str) -> Connect {
    let mut connect = connect(version, id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties = Properties::builder()
            .number(PropertyId::SessionExpiryInterval, LASTING)
            .build()
            .unwrap();
    }
    connect
}

/// Connects, with commits where the broker asks for them; whether a session was present.
async fn open(server: &Stored, connect: Connect) -> (Client<Pipe>, bool) {
    let mut client = Client::over(server.handle.pipe(), connect.version);
    let connack = server.committing(client.introduce(connect)).await;
    assert_eq!(connack.code, ReasonCode::Success);
    (client, connack.session_present)
}

async fn subscribe(server: &Stored, client: &mut Client<Pipe>, filter: &str) {
    client.send(subscription(7, filter, ANY)).await;
    server.commit_wanted().await;
    assert!(matches!(client.recv().await, Packet::SubAck(_)));
}

/// A publish at QoS 1 that a stored session wants, or that is retained: acknowledged after the commit that it asks for.
async fn publish_stored(server: &Stored, publisher: &mut Client<Pipe>, message: Publish) {
    let packet_id = message.packet_id;
    publisher.publish(message).await;
    server.commit_wanted().await;
    publisher.expect(Packet::PubAck(ack(packet_id))).await;
}

/// Ends a connection without saying goodbye, and waits until the broker has seen it.
async fn cut(server: &Stored, client: Client<Pipe>) {
    let before = server.handle.metrics().connections;
    drop(client);
    soon("the connection's end", async {
        while server.handle.metrics().connections == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Ends a connection whose CONNECT is still waiting for its answer.
async fn cut_unheard(mut client: Client<Pipe>) {
    // The order to end comes from the next connection, or from the deadline.
    client.stream.shutdown().await.unwrap();
    drop(client);
}

/// An absent session `sub` that subscribes to `t/#`, on disk.
async fn absent_subscriber(shelf: &Arc<Shelf>) -> Stored {
    let server = Stored::start(shelf);
    let (mut client, _) = open(&server, lasting(V5, "sub")).await;
    subscribe(&server, &mut client, "t/#").await;
    cut(&server, client).await;
    server.commit();
    server
}

/// Payload and DUP flag of each PUBLISH.
fn text(packets: &[Packet]) -> Vec<(&str, bool)> {
    let message = |packet| match packet {
        &Packet::Publish(Publish {
            ref payload, dup, ..
        }) => (std::str::from_utf8(payload).unwrap(), dup),
        other => panic!("a publish was expected, not {other:?}"),
    };
    packets.iter().map(message).collect()
}

#[tokio::test]
async fn what_an_absent_session_waits_for_is_acknowledged_once_it_is_stored_and_survives() {
    let shelf = Arc::default();
    let server = absent_subscriber(&shelf).await;
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publisher
        .publish(publish("t/1", b"one", QoS::AtLeastOnce, 1))
        .await;
    publisher
        .publish(publish("t/2", b"two", QoS::ExactlyOnce, 2))
        .await;
    assert_eq!(publisher.until_pong().await, [], "nothing is promised yet");
    server.commit();
    publisher.expect(Packet::PubAck(ack(1))).await;
    publisher.expect(Packet::PubRec(ack(2))).await;

    let server = Stored::start(&shelf);
    let (mut client, present) = open(&server, lasting(V5, "sub")).await;
    assert!(present);
    let first = client.message().await;
    assert_eq!((&*first.payload, first.dup), (&b"one"[..], false));
    let Packet::Publish(second) = server.committing(client.recv()).await else {
        panic!("a publish was expected");
    };
    assert_eq!(
        (&*second.payload, second.qos),
        (&b"two"[..], QoS::ExactlyOnce)
    );
}

#[tokio::test]
async fn a_publish_that_no_stored_session_wants_waits_for_nothing() {
    let server = absent_subscriber(&Arc::default()).await;
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publisher
        .publish(publish("other", b"x", QoS::AtLeastOnce, 1))
        .await;
    publisher.expect(Packet::PubAck(ack(1))).await;
}

#[tokio::test]
async fn a_subscription_is_answered_once_it_is_stored_and_survives_with_its_options() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    let (mut client, present) = open(&server, lasting(V5, "sub")).await;
    assert!(!present);
    client.send(subscription(7, "t/#", ANY)).await;
    client.send(subscription(8, "$share/g/s/#", ANY)).await;
    assert_eq!(client.until_pong().await, []);
    server.commit();
    assert!(matches!(client.recv().await, Packet::SubAck(_)));
    assert!(matches!(client.recv().await, Packet::SubAck(_)));
    client
        .send(Packet::Unsubscribe(Unsubscribe {
            packet_id: 9,
            properties: Properties::none(),
            filters: vec!["t/#".into()],
        }))
        .await;
    assert_eq!(client.until_pong().await, []);
    server.commit();
    assert!(matches!(client.recv().await, Packet::UnsubAck(_)));

    // The process dies with the client connected.
    let server = Stored::start(&shelf);
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publisher
        .publish(publish("t/1", b"not wanted any more", QoS::AtMostOnce, 0))
        .await;
    publish_stored(
        &server,
        &mut publisher,
        publish("s/1", b"shared", QoS::AtLeastOnce, 1),
    )
    .await;
    let (mut client, present) = open(&server, lasting(V5, "sub")).await;
    assert!(present);
    assert_eq!(&*client.message().await.payload, b"shared");
}

#[tokio::test]
async fn a_clean_start_ends_the_stored_session_before_it_is_confirmed() {
    let shelf = Arc::default();
    let server = absent_subscriber(&shelf).await;
    let mut client = Client::over(server.handle.pipe(), V5);
    let mut again = lasting(V5, "sub");
    again.clean_start = true;
    client.send(Packet::Connect(Box::new(again))).await;
    server.commit_wanted().await;
    assert!(matches!(client.recv().await, Packet::ConnAck(connack) if !connack.session_present));
    let server = Stored::start(&shelf);
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publisher
        .publish(publish("t/1", b"x", QoS::AtLeastOnce, 1))
        .await;
    publisher.expect(Packet::PubAck(ack(1))).await;
    let (mut client, present) = open(&server, lasting(V5, "sub")).await;
    assert!(present, "the new session, which has no subscription");
    assert_eq!(client.until_pong().await, []);
}

#[tokio::test]
async fn messages_under_way_are_repeated_under_their_identifiers_after_a_crash() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    let (mut client, _) = open(&server, lasting(V4, "sub")).await;
    subscribe(&server, &mut client, "t").await;
    let (mut publisher, _) = open(&server, connect(V4, "pub")).await;
    for (qos, id) in [
        (QoS::AtLeastOnce, 1),
        (QoS::ExactlyOnce, 2),
        (QoS::ExactlyOnce, 3),
    ] {
        publisher
            .publish(publish("t", &[b'0' + u8::try_from(id).unwrap()], qos, id))
            .await;
        publisher.until_pong().await;
    }
    // QoS 1 goes out at once; QoS 2 only under an identifier that is stored.
    let early = client.until_pong().await;
    assert_eq!(text(&early), [("1", false)]);
    server.commit();
    let sent = [client.recv().await, client.recv().await];
    assert_eq!(text(&sent), [("2", false), ("3", false)]);
    let ids = sent.map(|packet| match packet {
        Packet::Publish(publish) => publish.packet_id,
        other => panic!("{other:?}"),
    });
    // PUBREL waits until it is known that the message itself is not needed any more.
    client.send(Packet::PubRec(ack(ids[0]))).await;
    assert_eq!(client.until_pong().await, []);
    server.commit();
    client.expect(Packet::PubRel(ack(ids[0]))).await;

    let server = Stored::start(&shelf);
    let (mut client, present) = open(&server, lasting(V4, "sub")).await;
    assert!(present);
    let again = client.until_pong().await;
    assert!(matches!(
        &again[0],
        Packet::Publish(Publish {
            dup: true,
            qos: QoS::AtLeastOnce,
            ..
        })
    ));
    assert_eq!(again[1], Packet::PubRel(ack(ids[0])));
    assert!(
        matches!(&again[2], Packet::Publish(publish) if publish.dup && publish.packet_id == ids[1])
    );
    assert_eq!(again.len(), 3);
}

#[tokio::test]
async fn a_publish_at_qos_2_is_recognised_after_a_crash_until_it_is_released() {
    let shelf = Arc::default();
    let server = absent_subscriber(&shelf).await;
    let (mut publisher, _) = open(&server, lasting(V4, "pub")).await;
    let message = publish("t", b"once", QoS::ExactlyOnce, 5);
    publisher.publish(message.clone()).await;
    server.commit_wanted().await;
    publisher.expect(Packet::PubRec(ack(5))).await;

    let server = Stored::start(&shelf);
    let (mut publisher, present) = open(&server, lasting(V4, "pub")).await;
    assert!(present);
    let again = Publish {
        dup: true,
        ..message.clone()
    };
    publisher.publish(again).await;
    publisher.expect(Packet::PubRec(ack(5))).await;
    publisher.send(Packet::PubRel(ack(5))).await;
    assert_eq!(
        publisher.until_pong().await,
        [],
        "the identifier is still taken on disk"
    );
    server.commit();
    publisher.expect(Packet::PubComp(ack(5))).await;
    assert_eq!(shelf.count(StoredTable::Received), 0);

    // Under the same identifier and with the same words it is a new message now.
    let server = Stored::start(&shelf);
    let (mut publisher, _) = open(&server, lasting(V4, "pub")).await;
    publisher.publish(message).await;
    server.commit_wanted().await;
    publisher.expect(Packet::PubRec(ack(5))).await;
    assert_eq!(shelf.count(StoredTable::Deliveries), 2);
    assert_eq!(shelf.count(StoredTable::Messages), 2);
}

#[tokio::test]
async fn retained_messages_survive_and_so_does_their_removal() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    for (id, topic, payload) in [
        (1, "r/a", "old"),
        (2, "r/a", "new"),
        (3, "r/b", "gone"),
        (4, "r/b", ""),
    ] {
        let mut retained = publish(topic, payload.as_bytes(), QoS::AtLeastOnce, id);
        retained.retain = true;
        retained.properties = Properties::builder().user("k", "v").build().unwrap();
        publish_stored(&server, &mut publisher, retained).await;
    }
    assert_eq!(shelf.count(StoredTable::Retained), 1);
    assert_eq!(shelf.count(StoredTable::Messages), 1);
    let server = Stored::start(&shelf);
    let (mut client, _) = open(&server, connect(V5, "sub")).await;
    client.subscribe("r/#", ANY).await;
    let kept = client.until_pong().await;
    let [Packet::Publish(kept)] = &kept[..] else {
        panic!("one message was expected, not {kept:?}");
    };
    assert!(kept.retain);
    assert_eq!((&*kept.topic, &*kept.payload), ("r/a", &b"new"[..]));
    assert_eq!(kept.properties.iter().count(), 1);
}

#[tokio::test]
async fn one_message_for_many_sessions_is_stored_once_and_goes_with_the_last() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    for id in ["s1", "s2", "s3"] {
        let (mut client, _) = open(&server, lasting(V5, id)).await;
        subscribe(&server, &mut client, "t").await;
        cut(&server, client).await;
    }
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publish_stored(
        &server,
        &mut publisher,
        publish("t", b"x", QoS::AtLeastOnce, 1),
    )
    .await;
    assert_eq!(shelf.count(StoredTable::Deliveries), 3);
    assert_eq!(shelf.count(StoredTable::Messages), 1);
    let server = Stored::start(&shelf);
    for (id, left) in [("s1", 1), ("s2", 1), ("s3", 0)] {
        let (mut client, _) = open(&server, lasting(V5, id)).await;
        assert_eq!(&*client.message().await.payload, b"x");
        client.until_pong().await;
        server.commit();
        assert_eq!(shelf.count(StoredTable::Messages), left);
    }
    assert_eq!(shelf.count(StoredTable::Deliveries), 0);
}

#[tokio::test]
async fn a_session_that_ends_takes_all_its_rows_along() {
    let shelf = Arc::default();
    let server = absent_subscriber(&shelf).await;
    let (mut publisher, _) = open(&server, lasting(V5, "pub")).await;
    publisher
        .publish(publish("t", b"x", QoS::ExactlyOnce, 1))
        .await;
    server.commit_wanted().await;
    publisher.expect(Packet::PubRec(ack(1))).await;
    for table in [
        StoredTable::Deliveries,
        StoredTable::Messages,
        StoredTable::Received,
    ] {
        assert_eq!(shelf.count(table), 1, "{table:?}");
    }
    let (client, _) = open(&server, lasting(V5, "sub")).await;
    for mut leaving in [publisher, client] {
        let properties = Properties::builder().number(PropertyId::SessionExpiryInterval, 0);
        leaving
            .send(Packet::Disconnect(Disconnect {
                code: ReasonCode::Success,
                properties: properties.build().unwrap(),
            }))
            .await;
        while leaving.next().await.is_some() {}
    }
    soon("the sessions' end", async {
        while server.handle.metrics().sessions > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.commit();
    assert_eq!(shelf.rows(), []);
}

#[tokio::test]
async fn a_delayed_will_and_a_sessions_end_are_due_after_a_restart_too() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    let mut mortal = lasting(V5, "mortal");
    mortal.properties = Properties::builder()
        .number(PropertyId::SessionExpiryInterval, 1)
        .build()
        .unwrap();
    let mut testament = will("wills", b"gone");
    testament.properties = Properties::builder()
        .number(PropertyId::WillDelayInterval, 1_000)
        .build()
        .unwrap();
    mortal.will = Some(testament);
    // Connected when the process dies; whether it comes back is up to it now.
    let _client = open(&server, mortal).await;
    let server = Stored::start(&shelf);
    let (mut watcher, _) = open(&server, connect(V5, "watcher")).await;
    watcher.subscribe("wills", ANY).await;
    assert_eq!(&*watcher.message().await.payload, b"gone");
    soon("the session's end", async {
        while server.handle.metrics().sessions > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.commit();
    assert_eq!(shelf.rows(), []);
}

#[tokio::test]
async fn a_will_that_was_published_is_not_published_again_at_every_start() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    let mut mortal = lasting(V5, "mortal");
    let mut testament = will("wills", b"gone");
    testament.retain = true;
    mortal.will = Some(testament);
    let _client = open(&server, mortal).await;
    // Connected when the process dies: the will is due at the start.
    let server = Stored::start(&shelf);
    let (mut watcher, _) = open(&server, connect(V5, "watcher")).await;
    watcher.subscribe("wills", ANY).await;
    assert_eq!(&*watcher.message().await.payload, b"gone");
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    let mut back = publish("wills", b"all is well", QoS::AtLeastOnce, 1);
    back.retain = true;
    publish_stored(&server, &mut publisher, back).await;
    let server = Stored::start(&shelf);
    // Wills that are due come before anything that a client is told.
    let (mut watcher, _) = open(&server, lasting(V5, "other")).await;
    watcher.send(subscription(3, "wills", ANY)).await;
    server.commit_wanted().await;
    let told = watcher.until_pong().await;
    let kept: Vec<_> = told
        .iter()
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(&*publish.payload),
            _ => None,
        })
        .collect();
    assert_eq!(kept, [b"all is well"]);
}

#[tokio::test]
async fn what_came_for_a_session_while_it_was_opened_counts_with_what_waited() {
    let shelf = Arc::default();
    let limits = Limits {
        queue_messages: 4,
        ..Limits::default()
    };
    drop(absent_subscriber(&shelf).await);
    let server = Stored::with(&shelf, limits).unwrap();
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    let mut id = 0;
    for _ in 0..6 {
        // A client that is let in only after all this, and takes one message at a time.
        let mut client = Client::over(server.handle.pipe(), V5);
        let mut again = lasting(V5, "sub");
        again.properties = Properties::builder()
            .number(PropertyId::SessionExpiryInterval, LASTING)
            .number(PropertyId::ReceiveMaximum, 1)
            .build()
            .unwrap();
        client.send(Packet::Connect(Box::new(again))).await;
        for _ in 0..4 {
            id += 1;
            publisher
                .publish(publish("t", b"x", QoS::AtLeastOnce, id))
                .await;
        }
        publisher.until_pong().await;
        cut_unheard(client).await;
        server.commit();
        publisher.until_pong().await;
        let kept = shelf.count(StoredTable::Deliveries);
        assert!(kept <= 4 + 1, "{kept} in a queue of 4 with one under way");
    }
}

#[tokio::test]
async fn a_connect_that_is_refused_for_want_of_storage_leaves_the_will_of_the_last_one() {
    let shelf = Arc::default();
    let limits = Limits {
        connect_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Stored::with(&shelf, limits).unwrap();
    let mut mortal = lasting(V5, "mortal");
    let mut testament = will("wills", b"gone");
    testament.properties = Properties::builder()
        .number(PropertyId::WillDelayInterval, 1)
        .build()
        .unwrap();
    mortal.will = Some(testament);
    let (client, _) = open(&server, mortal).await;
    let (mut watcher, _) = open(&server, connect(V5, "watcher")).await;
    watcher.subscribe("wills", ANY).await;
    cut(&server, client).await;
    let mut refused = Client::over(server.handle.pipe(), V5);
    let connack = refused.introduce(lasting(V5, "mortal")).await;
    assert_eq!(connack.code, ReasonCode::ServerUnavailable);
    assert_eq!(&*watcher.message().await.payload, b"gone");
}

#[tokio::test]
async fn a_subscription_that_is_not_allowed_any_more_takes_what_it_brought_along() {
    let shelf = Arc::default();
    let server = Stored::start(&shelf);
    let (mut client, _) = open(&server, lasting(V5, "sub")).await;
    for filter in ["once/#", "t"] {
        subscribe(&server, &mut client, filter).await;
    }
    cut(&server, client).await;
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    for (id, topic) in [(1, "once/secret"), (2, "t")] {
        publish_stored(
            &server,
            &mut publisher,
            publish(topic, topic.as_bytes(), QoS::AtLeastOnce, id),
        )
        .await;
    }
    let server = Stored::start(&shelf);
    let mut changed = lasting(V5, "sub");
    changed.username = Some("sub".into());
    changed.password = Some(CHANGED.into());
    let (mut client, present) = open(&server, changed).await;
    assert!(present);
    assert_eq!(&*client.message().await.payload, b"t");
    assert_eq!(client.until_pong().await, []);
    server.commit();
    assert_eq!(shelf.count(StoredTable::Deliveries), 0);
    // On disk too: whoever may read it again has to ask again.
    let server = Stored::start(&shelf);
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publisher
        .publish(publish("once/more", b"x", QoS::AtLeastOnce, 1))
        .await;
    publisher.expect(Packet::PubAck(ack(1))).await;
}

#[tokio::test]
async fn a_connect_whose_session_cannot_be_stored_is_refused_after_a_while() {
    let shelf = Arc::default();
    let limits = Limits {
        connect_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Stored::with(&shelf, limits).unwrap();
    let mut client = Client::over(server.handle.pipe(), V5);
    let connack = client.introduce(lasting(V5, "sub")).await;
    assert_eq!(connack.code, ReasonCode::ServerUnavailable);
    assert_eq!(server.handle.metrics().sessions, 0);
    let (_client, present) = open(&server, lasting(V5, "sub")).await;
    assert!(!present);
}

#[tokio::test]
async fn a_message_that_finds_no_room_leaves_no_row() {
    let shelf = Arc::default();
    let limits = Limits {
        queue_messages: 2,
        ..Limits::default()
    };
    drop(absent_subscriber(&shelf).await);
    let server = Stored::with(&shelf, limits).unwrap();
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    for id in 1..=3 {
        publisher
            .publish(publish("t", b"x", QoS::AtLeastOnce, id))
            .await;
    }
    publisher.until_pong().await;
    server.commit();
    assert_eq!(shelf.count(StoredTable::Deliveries), 2);
}

#[tokio::test]
async fn damaged_rows_are_refused_by_name() {
    let shelf = Arc::default();
    let server = absent_subscriber(&shelf).await;
    let (mut publisher, _) = open(&server, connect(V5, "pub")).await;
    publish_stored(
        &server,
        &mut publisher,
        publish("t", b"x", QoS::AtLeastOnce, 1),
    )
    .await;
    let whole = shelf.rows();
    assert_eq!(whole.len(), 3);
    for (index, row) in whole.iter().enumerate() {
        for value in [vec![], vec![0xff; 9], vec![0x0a, 0xff]] {
            let damaged = Arc::new(Shelf::default());
            for row in &whole {
                damaged.put(row.clone());
            }
            damaged.put(StoredRow {
                value: value.clone(),
                ..row.clone()
            });
            let error = Stored::with(&damaged, Limits::default()).err();
            // An empty value is a protobuf record of zeros, which only a session may be.
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            let fits = row.table == StoredTable::Sessions && value.is_empty();
            assert_eq!(error.is_empty(), fits, "row {index} as {value:?}: {error}");
            assert!(fits || error.contains("cannot be understood"), "{error}");
        }
        let lacking = Arc::new(Shelf::default());
        for other in whole
            .iter()
            .filter(|other| other.key != row.key || other.table != row.table)
        {
            lacking.put(other.clone());
        }
        let restored = Stored::with(&lacking, Limits::default());
        assert_eq!(
            restored.is_ok(),
            row.table == StoredTable::Deliveries,
            "{row:?}"
        );
        if let Ok(restored) = restored {
            restored.commit();
            assert_eq!(
                lacking.count(StoredTable::Messages),
                0,
                "an orphan is removed"
            );
        }
    }
    let stray = Arc::new(Shelf::default());
    stray.put(StoredRow {
        table: StoredTable::Received,
        key: StoredKey([1; 12]),
        value: vec![0; 8],
    });
    assert!(Stored::with(&stray, Limits::default()).is_err());
}
