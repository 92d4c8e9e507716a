//! An Edgehog device in a test's hand, MQTT 3.1.1: every publish with QoS 2, as the SDK makes it.

use super::line::Line;
use bytes::Bytes;
use rollcall_broker::codec::{
    Ack, Connect, Packet, Properties, Publish, RetainHandling, Subscribe, SubscribeOptions,
    Subscription,
};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};
use rollcall_proto::edgehog::{OtaEvent, OtaRequest, Property, Value, purge};
use rollcall_proto::topic::Base;
use std::collections::VecDeque;
use std::net::SocketAddr;

const V311: ProtocolVersion = ProtocolVersion::V4;

/// What the runtime's introspection lists, as far as these tests need it.
pub const INTROSPECTION: &str = "io.edgehog.devicemanager.BaseImage:0:1;\
    io.edgehog.devicemanager.BatteryStatus:0:1;io.edgehog.devicemanager.HardwareInfo:0:1;\
    io.edgehog.devicemanager.OTAEvent:0:1;io.edgehog.devicemanager.OTARequest:1:0;\
    io.edgehog.devicemanager.StorageUsage:0:1;io.edgehog.devicemanager.SystemInfo:0:1;\
    io.edgehog.devicemanager.config.Telemetry:0:1;com.example.Own:1:0";

pub struct Device {
    line: Line,
    id: String,
    next_id: u16,
    /// Topic, below the base, and payload of what the server has sent.
    received: VecDeque<(String, Vec<u8>)>,
}

impl Device {
    /// Connects, subscribes and introduces itself, but sends nothing more.
    pub fn introduced(mqtt: SocketAddr, id: &str, secret: &str) -> Self {
        let mut device = Self {
            line: Line::open(mqtt, V311),
            id: id.to_owned(),
            next_id: 0,
            received: VecDeque::new(),
        };
        let client = device.base().to_string();
        device.send(&Packet::Connect(Box::new(Connect {
            version: V311,
            clean_start: true,
            keep_alive: 15,
            client_id: client.as_str().into(),
            will: None,
            username: Some(client.into()),
            password: Some(Bytes::copy_from_slice(secret.as_bytes())),
            properties: Properties::none(),
        })));
        let Some(Packet::ConnAck(connack)) = device.packet() else {
            panic!("no CONNACK")
        };
        assert_eq!(connack.code, ReasonCode::Success);
        assert!(!connack.session_present, "device-contract 1.7");
        for filter in [
            "control/consumer/properties",
            "io.edgehog.devicemanager.OTARequest/#",
            "io.edgehog.devicemanager.config.Telemetry/#",
        ] {
            device.subscribe(filter);
        }
        device.publish("", INTROSPECTION.as_bytes());
        device
    }

    /// A process that has just started and runs `version`.
    pub fn started(mqtt: SocketAddr, id: &str, secret: &str, version: &str) -> Self {
        Self::reporting(mqtt, id, secret, version, &[])
    }

    /// The same process after a loss of its link: it lists its properties, and sends them again.
    pub fn returned(mqtt: SocketAddr, id: &str, secret: &str, version: &str) -> Self {
        let listed = [
            "SystemInfo/partNumber",
            "BaseImage/name",
            "BaseImage/version",
        ]
        .map(|path| format!("io.edgehog.devicemanager.{path}"));
        Self::reporting(mqtt, id, secret, version, &listed)
    }

    fn reporting(
        mqtt: SocketAddr,
        id: &str,
        secret: &str,
        version: &str,
        listed: &[String],
    ) -> Self {
        let mut device = Self::introduced(mqtt, id, secret);
        device.publish("control/emptyCache", b"1");
        device.publish("control/producer/properties", &purge::encode(listed));
        device.set("SystemInfo/partNumber", "board-7");
        device.set("BaseImage/name", "os");
        device.set("BaseImage/version", version);
        device
    }

    fn base(&self) -> Base<'_> {
        Base {
            realm: "fleet",
            robot: &self.id,
        }
    }

    fn subscribe(&mut self, filter: &str) {
        let options = SubscribeOptions {
            qos: QoS::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let filter = format!("{}/{filter}", self.base()).into();
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: Properties::none(),
            subscriptions: vec![Subscription { filter, options }],
        }));
        assert!(matches!(self.packet(), Some(Packet::SubAck(_))));
    }

    /// Sets one of Edgehog's properties of type string.
    pub fn set(&mut self, path: &str, value: &str) {
        let payload = Property::Set(Value::String(value.to_owned())).encode();
        assert!(self.publish(&format!("io.edgehog.devicemanager.{path}"), &payload));
    }

    pub fn event(&mut self, event: &OtaEvent) {
        assert!(self.publish("io.edgehog.devicemanager.OTAEvent/event", &event.encode()));
    }

    /// Publishes below the base with QoS 2, through to PUBCOMP; says whether the connection lived to see it.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> bool {
        self.next_id += 1;
        let packet_id = self.next_id;
        let topic = if topic.is_empty() {
            self.base().to_string()
        } else {
            format!("{}/{topic}", self.base())
        };
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::ExactlyOnce,
            retain: false,
            topic: topic.into(),
            packet_id,
            properties: Properties::none(),
            payload: Bytes::copy_from_slice(payload),
        }));
        loop {
            match self.packet() {
                Some(Packet::PubRec(ack)) if ack.packet_id == packet_id => {
                    self.send(&Packet::PubRel(Ack::success(packet_id)));
                }
                Some(Packet::PubComp(ack)) if ack.packet_id == packet_id => return true,
                Some(packet) => self.take(packet),
                None => return false,
            }
        }
    }

    /// Publishes with QoS 0, and waits until the server has seen it.
    pub fn send_stream(&mut self, topic: &str, payload: &[u8]) {
        let topic = format!("{}/{topic}", self.base()).into();
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: 0,
            properties: Properties::none(),
            payload: Bytes::copy_from_slice(payload),
        }));
        // What follows it is taken in after it.
        assert!(self.publish("control/emptyCache", b"1"));
    }

    /// The next message of the server below the base.
    pub fn message(&mut self) -> (String, Vec<u8>) {
        while self.received.is_empty() {
            let packet = self.packet().unwrap();
            self.take(packet);
        }
        self.received.pop_front().unwrap()
    }

    /// The next request; other messages are passed over.
    pub fn request(&mut self) -> OtaRequest {
        loop {
            let (topic, payload) = self.message();
            if topic == "io.edgehog.devicemanager.OTARequest/request" {
                return OtaRequest::decode(&payload).unwrap();
            }
        }
    }

    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => {
                assert_eq!(publish.qos, QoS::ExactlyOnce);
                let below = publish.topic.strip_prefix(&format!("{}/", self.base()));
                let below = below.unwrap().to_owned();
                assert!(
                    below.len() + publish.payload.len() < 10_200,
                    "device-contract 0.7"
                );
                self.received.push_back((below, publish.payload.to_vec()));
                self.send(&Packet::PubRec(Ack::success(publish.packet_id)));
            }
            Packet::PubRel(ack) => self.send(&Packet::PubComp(Ack::success(ack.packet_id))),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing of a connection that the server has closed can be sent.
    fn send(&mut self, packet: &Packet) {
        let _ = self.line.send(packet);
    }

    /// The next packet; `None` at the end of the connection.
    fn packet(&mut self) -> Option<Packet> {
        self.line.packet()
    }
}
