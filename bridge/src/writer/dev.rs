//! `serve --dev`: robots that register themselves by their first words.
//!
//! Until a robot has said what it is, its messages wait here, unacknowledged and few.

use super::batch::Pending;
use super::run::{Retention, Writer};
use crate::device::{self, Message};
use crate::registry::key;
use crate::store::Store;
use rollcall_broker::{ReasonCode, Ticket, Verdict};
use rollcall_engine::{
    Actor, Command, DeviceValue, EcuSpec, LinkEvent, Meaning, Reply, Report, RobotId, RobotKey,
    RobotSpec,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Messages of one unregistered robot that may wait; an Edgehog device publishes about 25 properties.
const MAX_WAITING: usize = 64;

/// Robots on their way into the inventory.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    waiting: HashMap<u64, Newcomer>,
    /// Those that got their number while still on the connection with the provisional tag.
    registered: HashMap<u64, RobotKey>,
}

#[derive(Debug, Default)]
struct Newcomer {
    links: Vec<LinkEvent>,
    /// Topic, payload, and whether the QoS was above 0.
    messages: Vec<(Ticket, String, Vec<u8>, bool)>,
}

impl Newcomers {
    /// The robot behind a tag, provisional or not.
    pub(super) fn robot(&self, tag: u64) -> RobotKey {
        self.registered
            .get(&tag)
            .copied()
            .unwrap_or_else(|| key(tag))
    }
}

impl<S: Store + Retention> Writer<S> {
    pub(super) fn newcomer_link(&mut self, tag: u64, event: LinkEvent, pending: &mut Pending) {
        // One that was removed since may register itself again.
        let registered = |key: &RobotKey| {
            self.state
                .robot(*key)
                .is_some_and(|robot| robot.removed.is_none())
        };
        if !self.newcomers.registered.get(&tag).is_none_or(registered) {
            self.newcomers.registered.remove(&tag);
        }
        if let Some(key) = self.newcomers.registered.get(&tag) {
            return self.take_link_of(*key, event, pending);
        }
        match event {
            LinkEvent::Connected { .. } => {
                self.newcomers.waiting.insert(
                    tag,
                    Newcomer {
                        links: vec![event],
                        messages: Vec::new(),
                    },
                );
            }
            LinkEvent::Disconnected { .. } => {
                self.newcomers.waiting.remove(&tag);
            }
            LinkEvent::Subscribed { .. } | LinkEvent::Unsubscribed { .. } => {
                if let Some(newcomer) = self.newcomers.waiting.get_mut(&tag)
                    && newcomer.links.len() < MAX_WAITING
                {
                    newcomer.links.push(event);
                }
            }
        }
    }

    pub(super) fn newcomer_publish(
        &mut self,
        ticket: Ticket,
        tag: u64,
        (topic, payload, durable): (&str, &[u8], bool),
        pending: &mut Pending,
    ) {
        if let Some(key) = self.newcomers.registered.get(&tag) {
            let publish = (topic, payload, durable);
            return self.take_publish_of(*key, ticket, publish, pending);
        }
        let Some(newcomer) = self.newcomers.waiting.get_mut(&tag) else {
            return;
        };
        if newcomer.messages.len() >= MAX_WAITING {
            let why =
                "introduce the robot first: publish a Manifest, or SystemInfo's part number".into();
            return pending.settlements.push((
                ticket,
                Verdict::Disconnect {
                    code: ReasonCode::QuotaExceeded,
                    why,
                },
            ));
        }
        newcomer
            .messages
            .push((ticket, topic.to_owned(), payload.to_vec(), durable));
        let Some(ecus) = introduction(topic, payload) else {
            return;
        };
        self.register_newcomer(tag, ecus, pending);
    }

    fn register_newcomer(&mut self, tag: u64, ecus: Vec<EcuSpec>, pending: &mut Pending) {
        let Some(newcomer) = self.newcomers.waiting.remove(&tag) else {
            return;
        };
        let id = self
            .registry
            .provisional_id(tag)
            .and_then(|id| RobotId::new(id.as_ref()).ok());
        let known = id.as_ref().and_then(|id| self.state.robot_key(id.as_str()));
        let key = match (known, id) {
            (Some(key), _) => Some(key),
            (None, None) => None,
            (None, Some(id)) => {
                // No secret has this hash, so the robot can connect only while the server is in dev mode.
                let spec = RobotSpec {
                    id,
                    name: None,
                    model: None,
                    labels: BTreeMap::new(),
                    tags: BTreeSet::new(),
                    ecus,
                    secret: [0; 32],
                };
                match self.take_command(Actor("dev".to_owned()), Command::AddRobot(spec), pending) {
                    Ok(Reply::Robot(key)) => Some(key),
                    _ => None,
                }
            }
        };
        let Some(key) = key else {
            let why: std::sync::Arc<str> =
                "the robot cannot be registered as it describes itself".into();
            let code = ReasonCode::PayloadFormatInvalid;
            for (ticket, ..) in newcomer.messages {
                pending.settlements.push((
                    ticket,
                    Verdict::Disconnect {
                        code,
                        why: why.clone(),
                    },
                ));
            }
            return;
        };
        self.newcomers.registered.insert(tag, key);
        for event in newcomer.links {
            self.take_link_of(key, event, pending);
        }
        for (ticket, topic, payload, durable) in newcomer.messages {
            let publish = (topic.as_str(), payload.as_slice(), durable);
            self.take_publish_of(key, ticket, publish, pending);
        }
    }
}

/// The ECUs of a robot that describes itself: a Manifest, or an Edgehog device's part number.
fn introduction(topic: &str, payload: &[u8]) -> Option<Vec<EcuSpec>> {
    match device::decode(topic, payload).ok()? {
        Message::Report(Report::Manifest { ecus, .. }) => Some(ecus),
        // The part number, which is said again below, makes the ECU.
        Message::Report(Report::Value(DeviceValue {
            meaning: Some(Meaning::PartNumber(_)),
            ..
        })) => Some(Vec::new()),
        Message::Report(_) | Message::State(_) | Message::EmptyCache | Message::Unused => None,
    }
}
