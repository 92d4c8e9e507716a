//! What leaves after a commit: acknowledgements and requests.

use super::batch::Answer;
use super::trail;
use crate::artifacts::Artifacts;
use crate::device;
use bytes::Bytes;
use rollcall_broker::{BrokerHandle, ConnectionId, QoS, ReasonCode, Ticket, Unstored, Verdict};
use rollcall_engine::{Effect, Protocol, Request, RequestKind, Robot, RobotKey, State};
use rollcall_proto::topic::Base;
use rollcall_proto::{edgehog, native};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The way out to robots.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    realm: Arc<str>,
    artifacts: Arc<Artifacts>,
    /// Set once the broker runs; before that nobody is connected.
    broker: Arc<OnceLock<BrokerHandle>>,
}

impl Outbox {
    pub(crate) fn new(
        realm: &str,
        artifacts: Arc<Artifacts>,
        broker: Arc<OnceLock<BrokerHandle>>,
    ) -> Self {
        Self {
            realm: realm.into(),
            artifacts,
            broker,
        }
    }

    /// Where hosted files are fetched from.
    pub(super) fn base_url(&self) -> &str {
        self.artifacts.public_url()
    }

    /// What the broker wants to have stored with the next commit.
    pub(super) fn unstored_sessions(&self) -> Option<Unstored> {
        self.broker.get()?.unstored()
    }

    pub(super) fn sessions_stored(&self, collected: &Unstored) {
        if let Some(broker) = self.broker.get() {
            broker.stored(collected);
        }
    }

    pub(super) fn settle(&self, settlements: Vec<(Ticket, Verdict)>) {
        let Some(broker) = self.broker.get() else {
            return;
        };
        for (ticket, verdict) in settlements {
            broker.settle(ticket, verdict);
        }
    }

    pub(super) fn perform(&self, state: &State, effects: Vec<Effect>) {
        let Some(broker) = self.broker.get() else {
            return;
        };
        // Acknowledgements are cumulative: the last of each robot says it all.
        let mut acks = BTreeMap::new();
        for effect in effects {
            match effect {
                // The robot's answer may have come in the same batch.
                Effect::Request(request) if !state.is_wanted(&request) => {}
                Effect::Request(request) => self.request(broker, state, &request),
                Effect::Acknowledge {
                    robot,
                    connection,
                    boot,
                    counter,
                } => {
                    acks.insert(robot, (connection, native::Ack { boot, counter }));
                }
                Effect::Property {
                    robot,
                    connection,
                    path,
                } => {
                    if let Some(robot) = state.robot(robot) {
                        self.property(broker, robot, connection, &path);
                    }
                }
                Effect::Disconnect { connection, why } => {
                    broker.disconnect(
                        ConnectionId(connection),
                        ReasonCode::AdministrativeAction,
                        why,
                    );
                }
            }
        }
        for (key, (connection, ack)) in acks {
            if let Some(robot) = state.robot(key) {
                self.send(
                    broker,
                    connection,
                    &self.base(robot).ack(),
                    ack.encode(),
                    QoS::AtLeastOnce,
                );
            }
        }
    }

    fn base<'a>(&'a self, robot: &'a Robot) -> Base<'a> {
        Base {
            realm: &self.realm,
            robot: robot.id.as_str(),
        }
    }

    fn request(&self, broker: &BrokerHandle, state: &State, request: &Request) {
        let Some(robot) = state.robot(request.robot) else {
            return;
        };
        let Some(image) = state.image(request.image) else {
            return;
        };
        // A Cancel may be of an older rollout than the one that the robot is in now.
        let active = robot.active.filter(|_| request.kind == RequestKind::Update);
        let _rollout = active.map(|(id, _)| trail::rollout(id));
        let _robot = trail::robot(state, robot.key);
        tracing::trace!(
            kind = ?request.kind,
            ecu = %request.ecu,
            image = %image.reference,
            operation = %request.operation,
            attempt = request.attempt,
            "request"
        );
        let url = self.artifacts.url_at(request.base.as_deref(), image);
        let base = self.base(robot);
        if robot.protocol == Some(Protocol::Edgehog) {
            let payload = device::edgehog_request(request, url);
            let topic = base.edgehog_ota_request();
            return self.send_to_device(broker, request.connection, &topic, payload);
        }
        let Some(ecu) = robot.ecus.iter().find(|ecu| ecu.name == request.ecu) else {
            return;
        };
        let payload = device::native_request(request, image, &ecu.hardware_id, url);
        self.send(
            broker,
            request.connection,
            &base.ota_request(ecu.name.as_str()),
            payload,
            QoS::AtLeastOnce,
        );
    }

    /// The answer to an Edgehog device's emptyCache: the list of the properties that the server sets on it, then each.
    pub(super) fn consumer_properties(&self, robot: RobotKey, connection: ConnectionId) -> Answer {
        let outbox = self.clone();
        Box::new(move |view| {
            let Some(broker) = outbox.broker.get() else {
                return;
            };
            let Some(robot) = view.state.robot(robot) else {
                return;
            };
            let settings = device::settings(robot);
            let paths: Vec<_> = settings.iter().map(|(path, _)| path).collect();
            let payload = edgehog::purge::encode(&paths);
            let base = outbox.base(robot);
            let topic = base.consumer_properties();
            outbox.send_to_device(broker, connection.0, &topic, payload);
            for (path, payload) in settings {
                let topic = base.property(path);
                outbox.send_to_device(broker, connection.0, &topic, payload);
            }
        })
    }

    /// Tells a device a property as it is set now.
    fn property(&self, broker: &BrokerHandle, robot: &Robot, connection: u64, path: &str) {
        let set = robot
            .device
            .as_ref()
            .is_some_and(|device| device.settings.iter().any(|setting| &*setting.path == path));
        let settings = device::settings(robot);
        let payload = match settings.into_iter().find(|(known, _)| *known == path) {
            Some((_, payload)) => payload,
            // A property that this device cannot have.
            None if set => return,
            None => edgehog::Property::Unset.encode(),
        };
        let topic = self.base(robot).property(path);
        self.send_to_device(broker, connection, &topic, payload);
    }

    /// A message to an Edgehog device, which disconnects on a long one. The bounds of what is sent make this impossible;
    /// should it happen all the same, one message is missing instead of the device.
    fn send_to_device(
        &self,
        broker: &BrokerHandle,
        connection: u64,
        topic: &str,
        payload: Vec<u8>,
    ) {
        // The topic's length and the packet identifier take two bytes each.
        let bytes = topic.len() + payload.len() + 4;
        if bytes > edgehog::PACKET_MAX {
            tracing::error!(
                topic,
                bytes,
                "message is too long for an Edgehog device, not sent"
            );
            return;
        }
        // QoS 2: a duplicate of a Cancel or of a finished Update would do harm.
        self.send(broker, connection, topic, payload, QoS::ExactlyOnce);
    }

    /// A message that cannot be sent is not lost: the engine tells the robot again when it returns.
    fn send(
        &self,
        broker: &BrokerHandle,
        connection: u64,
        topic: &str,
        payload: Vec<u8>,
        qos: QoS,
    ) {
        let connection = ConnectionId(connection);
        if let Err(error) = broker.send(connection, topic, Bytes::from(payload), qos) {
            tracing::debug!(%connection, topic, %error, "not sent");
        }
    }
}
