//! Rows of sessions and retained messages as a broken disk may give them back: they are refused by name, or make a broker
//! that speaks MQTT.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use rollcall_broker::codec::{Connect, Packet, Properties, PropertyId, header};
use rollcall_broker::{
    Access, Broker, Config, ConnectRefusal, ConnectRequest, Principal, ProtocolVersion,
    PublishAccess, QoS, SessionPolicy, Storage, StoredKey, StoredRow, StoredTable, SubscribeAccess,
};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;

/// Rounds in which everybody does what can be done.
const ROUNDS: u32 = 20;
/// Longest time that passes, so that wills and sessions end.
const FOR_EVER: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 3_600);

#[derive(Debug)]
struct Anything;

impl Access for Anything {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        Ok(Principal {
            client_id: connect.proposed_id.unwrap_or(connect.client_id).into(),
            tag: 0,
            sessions: SessionPolicy::Persistent,
        })
    }

    fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
        PublishAccess::Route
    }

    fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
        SubscribeAccess::Grant {
            max_qos: QoS::ExactlyOnce,
        }
    }
}

#[derive(Debug)]
struct Disk;

impl Storage for Disk {
    fn wanted(&self) {}
}

/// The name of the client who comes back, with its length before it; then rows: table, session, number within it, length of
/// the value, value.
pub fn stored(data: &[u8]) {
    let mut rest = data;
    let Some(name) = part(&mut rest) else {
        return;
    };
    let name = String::from_utf8_lossy(name).into_owned();
    let mut rows = Vec::new();
    while let [table, high, low, after @ ..] = rest {
        rest = after;
        let Some(value) = part(&mut rest) else {
            break;
        };
        rows.push(StoredRow {
            table: StoredTable::ALL[usize::from(*table) % StoredTable::ALL.len()],
            key: key(*high, *low),
            value: value.to_vec(),
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(live(&name, rows));
}

/// The bytes behind their length.
fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first()?;
    let (part, after) = after.split_at_checked((*length).into())?;
    *rest = after;
    Some(part)
}

/// Numbers as they are given out, and a few that never are.
fn key(high: u8, low: u8) -> StoredKey {
    let wide = |number: u8| match number {
        255 => u64::MAX,
        254 => 1 << 40,
        number => number.into(),
    };
    let mut key = StoredKey([0; 12]);
    key.0[..6].copy_from_slice(&wide(high).to_be_bytes()[2..]);
    key.0[6..].copy_from_slice(&wide(low).to_be_bytes()[2..]);
    key
}

async fn live(name: &str, rows: Vec<StoredRow>) {
    let (events, _heard) = mpsc::channel(8);
    let restored = Broker::restore(
        Config::default(),
        Arc::new(Anything),
        events,
        Arc::new(Disk),
        rows,
    );
    let broker = match restored {
        Ok(broker) => broker,
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("cannot be understood"), "{error}");
            return;
        }
    };
    let handle = broker.handle();
    let mut pipe = handle.pipe();
    let connect = Packet::Connect(Box::new(Connect {
        version: ProtocolVersion::V5,
        clean_start: false,
        keep_alive: 0,
        client_id: name.into(),
        will: None,
        username: None,
        password: None,
        properties: Properties::builder()
            .number(PropertyId::SessionExpiryInterval, 10)
            .build()
            .expect("a good number"),
    }));
    let mut bytes = Vec::new();
    if connect.encode(ProtocolVersion::V5, &mut bytes).is_err() {
        return;
    }
    // Everything retained, too.
    bytes.extend_from_slice(b"\x82\x07\0\x01\0\0\x01#\x02");
    pipe.write_all(&bytes).await.expect("there is room");
    let mut heard = BytesMut::new();
    for round in 0..ROUNDS {
        tokio::task::yield_now().await;
        if let Some(unstored) = handle.unstored() {
            handle.stored(&unstored);
        }
        let mut space = [0; 4_096];
        let mut buffer = ReadBuf::new(&mut space);
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(())) = std::pin::pin!(&mut pipe).poll_read(&mut cx, &mut buffer) {
            heard.extend_from_slice(buffer.filled());
        }
        if round == ROUNDS / 2 {
            tokio::time::advance(FOR_EVER).await;
        }
    }
    speaks_mqtt(heard);
}

fn speaks_mqtt(mut heard: BytesMut) {
    while let Some(found) = header(&heard, usize::MAX).expect("the server speaks MQTT") {
        if heard.len() < found.total() {
            return;
        }
        let mut packet = heard.split_to(found.total());
        packet.advance(found.header_len);
        let body: Bytes = packet.freeze();
        Packet::decode(ProtocolVersion::V5, found.first, body).expect("a good packet");
    }
}
