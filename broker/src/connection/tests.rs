//! The connection core against a naive model, and against packets in any order.

use super::*;
use crate::codec::{Connect, Properties, Publish, QoS, header};
use crate::config::Limits;
use crate::event::Verdict;
use crate::message::{Delivery, Message};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::{BTreeMap, BTreeSet};

fn terms(version: ProtocolVersion) -> Terms {
    let connect = Connect {
        version,
        clean_start: false,
        keep_alive: 10,
        client_id: "robot".into(),
        will: None,
        username: None,
        password: None,
        properties: Properties::none(),
    };
    let limits = Limits {
        receive_maximum: 6,
        send_window: 3,
        ..Limits::default()
    };
    Terms::agree(&connect, &limits, true).expect("plain terms")
}

fn publish(qos: QoS, packet_id: u16, payload: u8) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: "t".into(),
        packet_id,
        properties: Properties::none(),
        payload: Bytes::copy_from_slice(&[payload]),
    }
}

fn connected(terms: Terms, session: Session, now: Instant) -> Connection {
    Connection::new(terms, session, SessionJournal::default(), now)
}

fn delivery(qos: QoS, payload: u8, transient: bool) -> Delivery {
    Delivery {
        message: Message::copied("t", &[payload], &Properties::none(), Instant::now()),
        qos,
        retain: false,
        subscription_ids: None,
        transient,
        share: None,
        sequence: None,
    }
}

fn packets(version: ProtocolVersion, mut out: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some(found) = header(out, 1 << 20).expect("we write valid headers") {
        let body = Bytes::copy_from_slice(&out[found.header_len..found.total()]);
        packets.push(Packet::decode(version, found.first, body).expect("and valid packets"));
        out = &out[found.total()..];
    }
    packets
}

/// What a client does, and what the owner answers.
#[derive(Debug, Clone)]
enum Step {
    Publish(QoS, u16, u8),
    Release(u16),
    Settle(Index),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let qos = select(vec![QoS::AtLeastOnce, QoS::ExactlyOnce]);
    prop_oneof![
        6 => (qos, 1..4_u16, 0..2_u8).prop_map(|(qos, id, payload)| Step::Publish(qos, id, payload)),
        3 => (1..4_u16).prop_map(Step::Release),
        5 => any::<Index>().prop_map(Step::Settle),
        1 => Just(Step::Reconnect),
    ]
}

/// The rules of acknowledgement, told as simply as possible.
#[derive(Default)]
struct Model {
    /// Owed on this connection, in the order of arrival: ticket, identifier, QoS 2 or not.
    owed: Vec<(u64, u16, bool)>,
    /// QoS 2 publishes that are not released: payload, ticket, and whether PUBREC is due or sent.
    open: BTreeMap<u16, (u8, u64, bool)>,
    unsettled: Vec<u64>,
    settled: BTreeSet<u64>,
}

impl Model {
    /// What leaves now: the settled front of what is owed.
    fn release(&mut self) -> Vec<Packet> {
        let mut expected = Vec::new();
        while let Some((ticket, id, exactly_once)) = self.owed.first().copied() {
            if !self.settled.contains(&ticket) {
                break;
            }
            self.owed.remove(0);
            if exactly_once {
                if let Some(open) = self.open.get_mut(&id).filter(|open| open.1 == ticket) {
                    open.2 = true;
                }
                expected.push(Packet::PubRec(Ack::success(id)));
            } else {
                expected.push(Packet::PubAck(Ack::success(id)));
            }
        }
        expected
    }

    fn reconnect(&mut self) {
        self.owed.clear();
        for open in self.open.values_mut() {
            open.2 |= self.settled.contains(&open.1);
        }
    }
}

struct World {
    connection: Option<Connection>,
    model: Model,
}

impl World {
    fn reconnect(&mut self) {
        let old = self.connection.take().expect("there is always one");
        let session = old.into_session();
        let new = connected(terms(ProtocolVersion::V4), session, Instant::now());
        self.connection = Some(new);
        self.model.reconnect();
    }

    fn publish(&mut self, qos: QoS, id: u16, payload: u8) -> Vec<Packet> {
        let connection = self.connection.as_mut().expect("connected");
        let mut out = Vec::new();
        let packet = Packet::Publish(publish(qos, id, payload));
        let known = self.model.open.get(&id).copied();
        let known = known.filter(|open| qos == QoS::ExactlyOnce && open.0 == payload);
        match connection.handle(packet, Instant::now(), &mut out) {
            Ok(Request::Publish(arrived)) => {
                assert_eq!(known, None, "handed over twice");
                let ticket = connection.publish_held(&arrived);
                let exactly_once = qos == QoS::ExactlyOnce;
                self.model.owed.push((ticket, id, exactly_once));
                self.model.unsettled.push(ticket);
                if exactly_once {
                    self.model.open.insert(id, (payload, ticket, false));
                }
            }
            Ok(_) => {
                let (_, ticket, answered) = known.expect("only a repetition is swallowed");
                if answered {
                    let again = Packet::PubRec(Ack::success(id));
                    assert_eq!(packets(ProtocolVersion::V4, &out), [again]);
                    return Vec::new();
                }
                if !self.model.owed.iter().any(|owed| owed.0 == ticket) {
                    self.model.owed.push((ticket, id, true));
                }
            }
            Err(_) => self.reconnect(),
        }
        packets(ProtocolVersion::V4, &out)
    }

    fn pubrel(&mut self, id: u16) -> Vec<Packet> {
        let connection = self.connection.as_mut().expect("connected");
        let mut out = Vec::new();
        let packet = Packet::PubRel(Ack::success(id));
        let handled = connection.handle(packet, Instant::now(), &mut out);
        match self.model.open.get(&id) {
            Some((_, _, false)) => {
                assert!(handled.is_err(), "pubrel before pubrec");
                self.reconnect();
            }
            Some(_) | None => {
                assert!(handled.is_ok());
                self.model.open.remove(&id);
                let complete = Packet::PubComp(Ack::success(id));
                assert_eq!(packets(ProtocolVersion::V4, &out), [complete]);
            }
        }
        Vec::new()
    }

    fn settle(&mut self, index: Index) -> Vec<Packet> {
        if self.model.unsettled.is_empty() {
            return Vec::new();
        }
        let at = index.index(self.model.unsettled.len());
        let ticket = self.model.unsettled.remove(at);
        self.model.settled.insert(ticket);
        let is_owed = self.model.owed.iter().any(|owed| owed.0 == ticket);
        for open in self.model.open.values_mut() {
            open.2 |= open.1 == ticket && !is_owed;
        }
        let mut out = Vec::new();
        let connection = self.connection.as_mut().expect("connected");
        connection
            .settle(ticket, Verdict::Accepted, &mut out)
            .expect("acceptance never ends a connection");
        packets(ProtocolVersion::V4, &out)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2_000)
    })]

    #[test]
    fn acknowledgements_follow_the_rules(steps in vec(step(), 1..60)) {
        let first = connected(terms(ProtocolVersion::V4), Session::default(), Instant::now());
        let mut world = World { connection: Some(first), model: Model::default() };
        for step in steps {
            let written = match step {
                Step::Publish(qos, id, payload) => world.publish(qos, id, payload),
                Step::Release(id) => world.pubrel(id),
                Step::Settle(index) => world.settle(index),
                Step::Reconnect => { world.reconnect(); Vec::new() }
            };
            prop_assert_eq!(written, world.model.release());
        }
    }

    #[test]
    fn packets_in_any_order_do_no_harm(
        is_v5 in any::<bool>(),
        steps in vec((0..16_u8, 1..4_u16, any::<u8>()), 1..80),
    ) {
        let version = if is_v5 { ProtocolVersion::V5 } else { ProtocolVersion::V4 };
        let now = Instant::now();
        let mut connection = connected(terms(version), Session::default(), now);
        for (kind, id, extra) in steps {
            let mut out = Vec::new();
            let result = any_step(&mut connection, kind, id, extra, &mut out);
            packets(version, &out);
            prop_assert!(connection.session.outbound.in_flight() <= 3);
            prop_assert!(connection.session.inbound.unreleased() <= 6);
            if result.is_err() || extra > 250 {
                let mut farewell = Vec::new();
                if let Err(close) = &result {
                    connection.farewell(close, &mut farewell);
                }
                packets(version, &farewell);
                let session = connection.into_session();
                connection = connected(terms(version), session, now);
            }
        }
    }
}

fn any_step(
    connection: &mut Connection,
    kind: u8,
    id: u16,
    extra: u8,
    out: &mut Vec<u8>,
) -> Result<(), Close> {
    let now = Instant::now();
    let qos = QoS::from_bits(extra % 3).expect("below 3");
    let mut ack = Ack::success(id);
    if extra.is_multiple_of(5) && connection.version().is_v5() {
        ack.code = ReasonCode::UnspecifiedError;
    }
    let packet = match kind {
        0..=3 => {
            let id = if qos == QoS::AtMostOnce { 0 } else { id };
            Packet::Publish(publish(qos, id, extra % 2))
        }
        4 => Packet::PubAck(ack),
        5 | 6 => Packet::PubRec(ack),
        7 => Packet::PubRel(Ack::success(id)),
        8 | 9 => Packet::PubComp(Ack::success(id)),
        10 | 11 => {
            connection.resend(now, out)?;
            if connection.has_room() {
                connection.deliver(delivery(qos, extra, extra.is_multiple_of(2)), now, out)?;
            }
            return Ok(());
        }
        12 => return connection.settle(u64::from(extra), Verdict::Accepted, out),
        13 => {
            let verdict = Verdict::Refused {
                code: ReasonCode::Success,
                why: "no".into(),
            };
            return connection.settle(u64::from(extra), verdict, out);
        }
        14 => Packet::PingReq,
        _ => Packet::PingResp,
    };
    match connection.handle(packet, now, out)? {
        Request::Publish(arrived) => match extra % 4 {
            0 => connection.publish_done(&arrived, 0, out),
            1 => connection.publish_denied(&arrived, "no", extra > 128, out),
            _ => {
                connection.publish_held(&arrived);
                Ok(())
            }
        },
        _ => Ok(()),
    }
}

#[test]
fn a_resumed_session_repeats_within_the_window_and_in_order() {
    let now = Instant::now();
    let v5 = ProtocolVersion::V5;
    let mut connection = connected(terms(v5), Session::default(), now);
    let mut out = Vec::new();
    for payload in 0..3 {
        let delivery = delivery(QoS::AtLeastOnce, payload, payload == 1);
        connection.deliver(delivery, now, &mut out).expect("room");
    }
    assert!(!connection.has_room());
    let mut narrow = terms(v5);
    narrow.send_window = 1;
    let mut connection = connected(narrow, connection.into_session(), now);
    let again = |connection: &mut Connection| {
        let mut out = Vec::new();
        connection.resend(now, &mut out).expect("encodes");
        packets(v5, &out)
            .into_iter()
            .map(|packet| match packet {
                Packet::Publish(publish) => (publish.packet_id, publish.dup, publish.payload[0]),
                other => panic!("a publish, not {other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(again(&mut connection), [(1, true, 0)]);
    assert!(!connection.has_room());
    let ack = Packet::PubAck(Ack::success(1));
    connection.handle(ack, now, &mut out).expect("expected");
    assert_eq!(
        again(&mut connection),
        [(3, true, 2)],
        "the second was for the old connection only"
    );
}

#[test]
fn silence_counts_from_the_last_packet() {
    let now = Instant::now();
    let mut connection = connected(terms(ProtocolVersion::V4), Session::default(), now);
    let deadline = now + Duration::from_secs(15);
    assert_eq!(connection.deadline(), Some(deadline));
    let later = now + Duration::from_secs(9);
    connection
        .handle(Packet::PingReq, later, &mut Vec::new())
        .expect("expected");
    assert_eq!(connection.deadline(), Some(later + Duration::from_secs(15)));
}

#[test]
fn reason_strings_are_left_out_for_clients_that_do_not_want_them() {
    let now = Instant::now();
    for (wanted, max_packet, expected) in
        [(true, 1_000, true), (false, 1_000, false), (true, 8, false)]
    {
        let mut terms = terms(ProtocolVersion::V5);
        terms.problem_information = wanted;
        terms.max_packet = max_packet;
        let mut connection = connected(terms, Session::default(), now);
        let mut out = Vec::new();
        let packet = Packet::Publish(publish(QoS::AtLeastOnce, 1, 0));
        let Ok(Request::Publish(arrived)) = connection.handle(packet, now, &mut out) else {
            panic!("a publish");
        };
        connection
            .publish_denied(&arrived, "not yours", true, &mut out)
            .expect("v5 is told");
        let [Packet::PubAck(ack)] = &packets(ProtocolVersion::V5, &out)[..] else {
            panic!("a puback");
        };
        assert_eq!(ack.code, ReasonCode::NotAuthorized);
        assert_eq!(!ack.properties.is_empty(), expected);
    }
}

#[test]
fn nothing_new_overtakes_what_an_earlier_connection_began_and_storage_holds_back() {
    let mut outbound = outbound::Outbound::default();
    let (twice, once) = (QoS::ExactlyOnce, QoS::AtLeastOnce);
    outbound.start(delivery(twice, 1, false), 1, 5, 0);
    outbound.start(delivery(once, 2, false), 2, 0, 0);
    outbound.rest();
    assert!(outbound.resend(10, 4).is_none(), "5 is not stored yet");
    assert!(!outbound.has_room(10), "a new QoS 1 would come before 2");
    for packet_id in [1, 2] {
        assert!(matches!(
            outbound.resend(10, 5),
            Some(outbound::Resend::Publish { packet_id: id, .. }) if id == packet_id
        ));
    }
    assert!(outbound.has_room(10));
}
