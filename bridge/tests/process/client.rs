//! A robot in a test's hand, MQTT 5: it says exactly what the test wants and hears everything.

use super::line::Line;
use bytes::Bytes;
use rollcall_broker::codec::{
    Connect, Packet, Properties, PropertyId, Publish, RetainHandling, Subscribe, SubscribeOptions,
    Subscription, Value,
};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};
use rollcall_proto::native::{
    BaseImage, EcuDescription, Manifest, OtaEvent, OtaRequest, PROTOCOL_VERSION,
};
use rollcall_proto::topic::Base;
use rollcall_tests::lean::Identity;
use std::net::SocketAddr;

const V5: ProtocolVersion = ProtocolVersion::V5;

pub struct Client {
    line: Line,
    pub identity: Identity,
    requests: Vec<OtaRequest>,
    next_id: u16,
}

impl Client {
    /// Sends CONNECT and returns what CONNACK says.
    pub fn connect(
        mqtt: SocketAddr,
        identity: &Identity,
        password: &str,
    ) -> (Self, ReasonCode, String) {
        let mut client = Self {
            line: Line::open(mqtt, V5),
            identity: identity.clone(),
            requests: Vec::new(),
            next_id: 0,
        };
        let id = client.base().to_string();
        client.send(&Packet::Connect(Box::new(Connect {
            version: V5,
            clean_start: true,
            keep_alive: 0,
            client_id: id.as_str().into(),
            will: None,
            username: Some(id.into()),
            password: Some(Bytes::copy_from_slice(password.as_bytes())),
            properties: Properties::none(),
        })));
        match client.packet() {
            Some(Packet::ConnAck(connack)) => {
                let reason = reason(&connack.properties);
                (client, connack.code, reason)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Connects and listens for requests.
    pub fn online(mqtt: SocketAddr, identity: &Identity) -> Self {
        let (mut client, code, reason) = Self::connect(mqtt, identity, &identity.secret);
        assert_eq!(code, ReasonCode::Success, "{reason}");
        let options = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let filter = client.base().ota_request_filter().into();
        client.send(&Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: Properties::none(),
            subscriptions: vec![Subscription { filter, options }],
        }));
        assert!(matches!(client.packet(), Some(Packet::SubAck(_))));
        client
    }

    /// Connects, listens, and says what it is and runs.
    pub fn introduced(mqtt: SocketAddr, identity: &Identity, boot: u64) -> Self {
        let mut client = Self::online(mqtt, identity);
        client.manifest(boot).unwrap();
        for ecu in client.identity.ecus.clone() {
            client.image(&ecu, "1.0.0", None).unwrap();
        }
        client
    }

    pub fn base(&self) -> Base<'_> {
        Base {
            realm: &self.identity.realm,
            robot: &self.identity.id,
        }
    }

    pub fn manifest(&mut self, boot: u64) -> Result<(), (ReasonCode, String)> {
        let ecus = self.identity.ecus.clone();
        let manifest = Manifest {
            protocol: PROTOCOL_VERSION,
            boot,
            wants_ack: false,
            ecus,
        };
        let topic = self.base().manifest();
        self.publish(&topic, &manifest.encode())
    }

    pub fn image(
        &mut self,
        ecu: &EcuDescription,
        version: &str,
        operation: Option<uuid::Uuid>,
    ) -> Result<(), (ReasonCode, String)> {
        let image = BaseImage {
            name: format!("{}-os", ecu.hardware_id),
            version: version.to_owned(),
            build_id: None,
            digest: None,
            operation,
        };
        let topic = self.base().base_image(&ecu.name);
        self.publish(&topic, &image.encode())
    }

    pub fn event(&mut self, ecu: &str, event: &OtaEvent) -> Result<(), (ReasonCode, String)> {
        let topic = self.base().ota_event(ecu);
        self.publish(&topic, &event.encode())
    }

    /// Publishes with QoS 1 and returns what PUBACK says.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), (ReasonCode, String)> {
        self.next_id += 1;
        let packet_id = self.next_id;
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: topic.into(),
            packet_id,
            properties: Properties::none(),
            payload: Bytes::copy_from_slice(payload),
        }));
        loop {
            match self.packet() {
                Some(Packet::PubAck(ack)) => {
                    assert_eq!(ack.packet_id, packet_id);
                    let ok = matches!(
                        ack.code,
                        ReasonCode::Success | ReasonCode::NoMatchingSubscribers
                    );
                    return if ok {
                        Ok(())
                    } else {
                        Err((ack.code, reason(&ack.properties)))
                    };
                }
                Some(Packet::Publish(publish)) => self
                    .requests
                    .push(OtaRequest::decode(&publish.payload).unwrap()),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next request.
    pub fn request(&mut self) -> OtaRequest {
        while self.requests.is_empty() {
            match self.packet() {
                Some(Packet::Publish(publish)) => self
                    .requests
                    .push(OtaRequest::decode(&publish.payload).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        self.requests.remove(0)
    }

    /// Requests that came before the server answered a ping.
    pub fn requests_so_far(&mut self) -> usize {
        self.send(&Packet::PingReq);
        loop {
            match self.packet() {
                Some(Packet::PingResp) => return self.requests.len(),
                Some(Packet::Publish(publish)) => self
                    .requests
                    .push(OtaRequest::decode(&publish.payload).unwrap()),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The DISCONNECT that ends the connection.
    pub fn disconnected(&mut self) -> Option<ReasonCode> {
        loop {
            match self.packet() {
                Some(Packet::Disconnect(disconnect)) => return Some(disconnect.code),
                Some(_) => {}
                None => return None,
            }
        }
    }

    fn send(&mut self, packet: &Packet) {
        self.line.send(packet).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.line.send_bytes(bytes).unwrap();
    }

    /// The next packet; `None` at the end of the connection.
    fn packet(&mut self) -> Option<Packet> {
        self.line.packet()
    }
}

fn reason(properties: &Properties) -> String {
    properties
        .iter()
        .find_map(|(id, value)| match value {
            Value::Text(text) if id == PropertyId::ReasonString => Some(text.to_string()),
            _ => None,
        })
        .unwrap_or_default()
}
