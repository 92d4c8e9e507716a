//! MQTT 5 sections 3.1.2.11.2 and 4.1: what belongs to a session outlives the server as well, if it has storage.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Packet, Properties, PropertyId as Id, SubscribeOptions};
use rollcall_broker::{
    Broker, BrokerHandle, Config, QoS, ReasonCode, Storage, StoredKey, StoredRow, StoredTable,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use support::conformance::{lasting, leave, number, subscribe_to, unacknowledged};
use support::{ANY, Client, Rules, V4, V5, ack, publish, soon};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

/// A disk.
#[derive(Debug, Default)]
struct Rows(Mutex<BTreeMap<(StoredTable, StoredKey), Vec<u8>>>);

impl Rows {
    fn all(&self) -> Vec<StoredRow> {
        let rows = self.0.lock().unwrap();
        rows.iter()
            .map(|(&(table, key), value)| StoredRow {
                table,
                key,
                value: value.clone(),
            })
            .collect()
    }

    fn collect(&self, broker: &BrokerHandle) {
        let Some(unstored) = broker.unstored() else {
            return;
        };
        let mut rows = self.0.lock().unwrap();
        for change in &unstored.changes {
            let place = (change.table, change.key);
            match &change.value {
                Some(value) => rows.insert(place, value.clone()),
                None => rows.remove(&place),
            };
        }
        drop(rows);
        broker.stored(&unstored);
    }
}

#[derive(Debug, Default)]
struct Bell(Notify);

impl Storage for Bell {
    fn wanted(&self) {
        self.0.notify_one();
    }
}

/// A server that goes on where the rows end.
async fn start(rows: &Arc<Rows>) -> (BrokerHandle, SocketAddr) {
    let bell = Arc::new(Bell::default());
    let (events, _) = mpsc::channel(16);
    let storage: Arc<dyn Storage> = Arc::clone(&bell) as _;
    let broker = Broker::restore(
        Config::default(),
        Arc::new(Rules),
        events,
        storage,
        rows.all(),
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    broker.listen(listener);
    let handle = broker.handle();
    let (disk, collected) = (Arc::clone(rows), handle.clone());
    tokio::spawn(async move {
        loop {
            bell.0.notified().await;
            disk.collect(&collected);
        }
    });
    (handle, addr)
}

/// Ends the server in good order.
async fn stop(rows: &Rows, broker: &BrokerHandle) {
    soon("the end of the server", broker.shutdown()).await;
    rows.collect(broker);
}

#[tokio::test]
async fn shares_and_what_waits_for_them_outlive_the_server() {
    let rows = Arc::new(Rows::default());
    let (broker, addr) = start(&rows).await;
    for (version, id) in [(V5, "first"), (V4, "second")] {
        let mut member = Client::open(addr, lasting(version, id)).await;
        let identifier = if version.is_v5() {
            number(Id::SubscriptionIdentifier, 7)
        } else {
            Properties::none()
        };
        subscribe_to(&mut member, 1, identifier, &[("$share/g/t", ANY)]).await;
        member.send(leave(ReasonCode::Success)).await;
        member.ends_with(None).await;
    }
    support::soon("both members' leave", async {
        while broker.metrics().connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut publisher = Client::v4(addr, "publisher").await;
    for id in 1..=4 {
        let payload = id.to_string();
        publisher
            .publish(publish("t", payload.as_bytes(), QoS::AtLeastOnce, id))
            .await;
        publisher.expect(Packet::PubAck(ack(id))).await;
    }
    stop(&rows, &broker).await;

    let (broker, addr) = start(&rows).await;
    assert_eq!(broker.metrics().subscriptions, 2);
    let mut all = Vec::new();
    let mut members = Vec::new();
    for (version, id) in [(V5, "first"), (V4, "second")] {
        let (mut member, answer) = Client::try_open(addr, lasting(version, id)).await;
        assert!(answer.session_present);
        for _ in 0..2 {
            let message = member.message().await;
            let identifier = message.properties.number(Id::SubscriptionIdentifier);
            assert_eq!(identifier, version.is_v5().then_some(7));
            all.push(message.payload);
        }
        members.push(member);
    }
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4"]);
    for payload in ["5", "6"] {
        broker
            .publish("t", payload.into(), QoS::AtMostOnce, false)
            .unwrap();
    }
    for member in &mut members {
        assert_eq!(member.until_pong().await.len(), 1, "they take turns again");
    }
}

#[tokio::test]
async fn subscription_options_and_the_identifiers_of_qos_2_outlive_the_server() {
    let rows = Arc::new(Rows::default());
    let (broker, addr) = start(&rows).await;
    let mut client = Client::open(addr, lasting(V5, "client")).await;
    let options = SubscribeOptions {
        no_local: true,
        retain_as_published: true,
        qos: QoS::ExactlyOnce,
        ..ANY
    };
    let identifier = number(Id::SubscriptionIdentifier, 9);
    subscribe_to(&mut client, 1, identifier, &[("t/+", options)]).await;
    // To the client: one released, one not acknowledged. From the client: one not released.
    for payload in ["released", "open"] {
        broker
            .publish("t/a", payload.into(), QoS::ExactlyOnce, false)
            .unwrap();
    }
    let released = unacknowledged(&mut client).await.packet_id;
    let open = unacknowledged(&mut client).await.packet_id;
    client.send(Packet::PubRec(ack(released))).await;
    client.expect(Packet::PubRel(ack(released))).await;
    let mut sent = publish("elsewhere", b"once", QoS::ExactlyOnce, 5);
    client.publish(sent.clone()).await;
    client.expect(Packet::PubRec(ack(5))).await;
    stop(&rows, &broker).await;

    let (broker, addr) = start(&rows).await;
    let mut watcher = Client::v4(addr, "watcher").await;
    watcher.subscribe("elsewhere", ANY).await;
    let (mut client, answer) = Client::try_open(addr, lasting(V5, "client")).await;
    assert!(answer.session_present);
    let mut again = [client.recv().await, client.recv().await];
    again.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
    assert_eq!(again[0], Packet::PubRel(ack(released)));
    let Packet::Publish(message) = &again[1] else {
        panic!("a publish was expected, not {:?}", again[1]);
    };
    assert_eq!((message.packet_id, message.dup), (open, true));
    let identifier = message.properties.number(Id::SubscriptionIdentifier);
    assert_eq!(identifier, Some(9));
    client.send(Packet::PubComp(ack(released))).await;
    client.send(Packet::PubRec(ack(open))).await;
    client.expect(Packet::PubRel(ack(open))).await;
    client.send(Packet::PubComp(ack(open))).await;
    // A repetition is known, and the watcher hears nothing.
    sent.dup = true;
    client.publish(sent).await;
    client.expect(Packet::PubRec(ack(5))).await;
    client.send(Packet::PubRel(ack(5))).await;
    client.expect(Packet::PubComp(ack(5))).await;
    assert_eq!(watcher.until_pong().await, []);
    // No local, retain as published and the identifier still hold.
    client
        .publish(publish("t/own", b"x", QoS::AtMostOnce, 0))
        .await;
    assert_eq!(client.until_pong().await, []);
    broker
        .publish("t/a", "kept".into(), QoS::AtMostOnce, true)
        .unwrap();
    let live = client.message().await;
    let identifier = live.properties.number(Id::SubscriptionIdentifier);
    assert_eq!((live.retain, identifier), (true, Some(9)));
}
