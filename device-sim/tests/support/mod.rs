//! A server in miniature, which updates every ECU of every robot once: secondaries by name, the
//! primary last, one at a time. It speaks bytes and topics, so that a virtual world and a real broker
//! can both carry it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

pub mod authority;
pub mod site;
pub mod world;

use std::collections::{BTreeMap, VecDeque};

use rollcall_proto::edgehog::{self, Property, introspection, purge};
use rollcall_proto::native::{Ack, BaseImage, Manifest, OtaEvent, OtaRequest, RequestKind};
use rollcall_proto::topic::{Base, Uplink};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

pub const REALM: &str = "fleet";
pub const VERSION: &str = "2.0.0";

/// What the server offers for every hardware id.
#[derive(Debug, Clone)]
pub struct Offer {
    pub url: String,
    pub size: u64,
    pub sha256: [u8; 32],
}

/// How the server believes an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belief {
    Installed,
    Failed(Option<Code>),
    /// Success was claimed, and the evidence says otherwise.
    NotProven,
}

#[derive(Debug, Default)]
pub struct RobotSide {
    pub manifest: Option<Manifest>,
    pub boots: Vec<u64>,
    pub images: BTreeMap<String, BaseImage>,
    pub todo: VecDeque<String>,
    pub active: Option<(String, Uuid)>,
    pub beliefs: BTreeMap<Uuid, Belief>,
    pub ecu_of: BTreeMap<Uuid, String>,
    pub newest: (u64, u64),
    pub heard: bool,
    pub stale_events: usize,
    pub stray_events: usize,
    pub events: Vec<OtaEvent>,
    /// Lengths of an Edgehog device's property lists.
    pub producer_lists: Vec<usize>,
}

#[derive(Debug)]
pub struct MiniServer {
    pub offer: Offer,
    pub robots: BTreeMap<String, RobotSide>,
    operations: u128,
}

/// A message to a robot.
#[derive(Debug, Clone)]
pub struct Down {
    pub robot: String,
    pub topic: String,
    pub payload: Vec<u8>,
}

impl MiniServer {
    pub fn new(offer: Offer) -> Self {
        Self {
            offer,
            robots: BTreeMap::new(),
            operations: 0,
        }
    }

    /// Whether every robot that ever connected has nothing left to do.
    pub fn is_done(&self) -> bool {
        let met = |r: &RobotSide| r.manifest.is_some() || !r.beliefs.is_empty();
        let done = |r: &RobotSide| met(r) && r.active.is_none() && r.todo.is_empty();
        !self.robots.is_empty() && self.robots.values().all(done)
    }

    pub fn beliefs(&self) -> BTreeMap<Uuid, Belief> {
        self.robots
            .values()
            .flat_map(|robot| robot.beliefs.clone())
            .collect()
    }

    /// Takes a publish of a robot; answers with what the server now sends.
    pub fn uplink(&mut self, topic: &str, payload: &[u8]) -> Vec<Down> {
        let (base, uplink) = Uplink::parse(topic).expect("robots publish on robots' topics");
        let mut down = Vec::new();
        let side = self.robots.entry(base.robot.to_owned()).or_default();
        match uplink {
            Uplink::Manifest => {
                let manifest = Manifest::decode(payload).expect("manifest");
                side.meet(&manifest);
                // A request that may have got lost is sent again; the robot knows its uuid.
                if let Some((ecu, operation)) = side.active.clone().filter(|_| !side.heard) {
                    let request = request(&self.offer, side, &ecu, operation);
                    let topic = base.ota_request(&ecu);
                    down.push(Down {
                        robot: base.robot.to_owned(),
                        topic,
                        payload: request,
                    });
                }
            }
            Uplink::BaseImage { ecu } => {
                let image = BaseImage::decode(payload).expect("base image");
                side.report(ecu, image);
            }
            Uplink::OtaEvent { ecu } => {
                let event = OtaEvent::decode(payload).expect("event");
                let ack = side.event(ecu, event);
                if side
                    .manifest
                    .as_ref()
                    .is_some_and(|manifest| manifest.wants_ack)
                {
                    let (robot, topic) = (base.robot.to_owned(), base.ack());
                    down.push(Down {
                        robot,
                        topic,
                        payload: ack.encode(),
                    });
                }
            }
            Uplink::State => {}
            other => return self.edgehog_uplink(&base, other, payload),
        }
        self.dispatch(&base, &mut down);
        down
    }

    /// An Edgehog device is told once its first version is known; a version decides the outcome.
    fn edgehog_uplink(&mut self, base: &Base<'_>, uplink: Uplink<'_>, payload: &[u8]) -> Vec<Down> {
        let side = self.robots.entry(base.robot.to_owned()).or_default();
        let robot = base.robot.to_owned();
        match uplink {
            Uplink::Introspection => {
                let interfaces = introspection::parse(payload).expect("introspection");
                assert!(interfaces.contains_key("io.edgehog.devicemanager.OTAEvent"));
            }
            Uplink::EmptyCache => {
                let (topic, payload) = (base.consumer_properties(), purge::encode::<&str>(&[]));
                return vec![Down {
                    robot,
                    topic,
                    payload,
                }];
            }
            Uplink::ProducerProperties => {
                side.producer_lists
                    .push(purge::decode(payload).expect("purge list").len());
            }
            Uplink::EdgehogBaseImage {
                property: "version",
            } => {
                let version = Property::decode_string(payload)
                    .expect("version")
                    .expect("set");
                match side.active.clone() {
                    Some((_, operation)) if version == VERSION => {
                        side.conclude(operation, Belief::Installed);
                    }
                    None if side.beliefs.is_empty() => return self.edgehog_dispatch(base),
                    _ => {}
                }
            }
            Uplink::OtherInterface {
                interface: "io.edgehog.devicemanager.SystemStatus",
                ..
            } => {
                edgehog::SystemStatus::decode(payload).expect("status");
            }
            Uplink::EdgehogBaseImage { .. } | Uplink::OtherInterface { .. } => {
                Property::decode(payload).expect("property");
            }
            Uplink::EdgehogOtaEvent => {
                let event = edgehog::OtaEvent::decode(payload).expect("event");
                let active = side
                    .active
                    .clone()
                    .filter(|(_, active)| *active == event.operation);
                if let Some((_, operation)) = active
                    && event.status == Status::Failure
                {
                    side.conclude(operation, Belief::Failed(event.code));
                }
            }
            other => panic!("a robot does not publish {other:?}"),
        }
        Vec::new()
    }

    fn edgehog_dispatch(&mut self, base: &Base<'_>) -> Vec<Down> {
        self.operations += 1;
        let operation = Uuid::from_u128(self.operations);
        let side = self.robots.get_mut(base.robot).unwrap();
        side.active = Some(("main".to_owned(), operation));
        let (kind, url) = (RequestKind::Update, self.offer.url.clone());
        let payload = edgehog::OtaRequest {
            kind,
            operation,
            url,
        }
        .encode();
        let (robot, topic) = (base.robot.to_owned(), base.edgehog_ota_request());
        vec![Down {
            robot,
            topic,
            payload,
        }]
    }

    fn dispatch(&mut self, base: &Base<'_>, down: &mut Vec<Down>) {
        let side = self.robots.get_mut(base.robot).unwrap();
        let known = side
            .manifest
            .as_ref()
            .map_or(usize::MAX, |manifest| manifest.ecus.len());
        if side.active.is_some() || side.images.len() < known {
            return;
        }
        let Some(ecu) = side.todo.pop_front() else {
            return;
        };
        self.operations += 1;
        let operation = Uuid::from_u128(self.operations);
        side.active = Some((ecu.clone(), operation));
        side.ecu_of.insert(operation, ecu.clone());
        side.heard = false;
        let payload = request(&self.offer, side, &ecu, operation);
        let (robot, topic) = (base.robot.to_owned(), base.ota_request(&ecu));
        down.push(Down {
            robot,
            topic,
            payload,
        });
    }
}

fn request(offer: &Offer, side: &RobotSide, ecu: &str, operation: Uuid) -> Vec<u8> {
    let manifest = side.manifest.as_ref().unwrap();
    let hardware_id = &manifest
        .ecus
        .iter()
        .find(|e| e.name == ecu)
        .unwrap()
        .hardware_id;
    OtaRequest {
        kind: RequestKind::Update,
        operation,
        attempt: 1,
        image_name: format!("{hardware_id}-os"),
        image_version: VERSION.to_owned(),
        url: offer.url.clone(),
        size: offer.size,
        sha256: offer.sha256,
        hardware_id: hardware_id.clone(),
        expected_version: None,
        deadline_unix_ms: 0,
    }
    .encode()
}

impl RobotSide {
    fn meet(&mut self, manifest: &Manifest) {
        if self.manifest.is_none() {
            let mut ecus = manifest.ecus.clone();
            ecus.sort_by(|a, b| (a.primary, &a.name).cmp(&(b.primary, &b.name)));
            self.todo = ecus.into_iter().map(|ecu| ecu.name).collect();
        }
        assert!(
            self.boots.last().is_none_or(|last| *last <= manifest.boot),
            "boots never fall"
        );
        self.boots.push(manifest.boot);
        self.manifest = Some(manifest.clone());
    }

    fn report(&mut self, ecu: &str, image: BaseImage) {
        let proven = image.operation.filter(|_| image.version == VERSION);
        self.images.insert(ecu.to_owned(), image);
        if let Some((active, operation)) = self.active.clone()
            && active == ecu
            && proven == Some(operation)
        {
            self.conclude(operation, Belief::Installed);
        }
    }

    fn event(&mut self, ecu: &str, event: OtaEvent) -> Ack {
        let number = (event.boot, event.counter);
        if number <= self.newest {
            self.stale_events += 1;
            return Ack {
                boot: self.newest.0,
                counter: self.newest.1,
            };
        }
        self.newest = number;
        self.events.push(event.clone());
        match self.active.clone() {
            Some((active, operation)) if operation == event.operation && active == ecu => {
                self.heard = true;
                match event.status {
                    Status::Success => self.conclude(operation, Belief::NotProven),
                    Status::Failure => self.conclude(operation, Belief::Failed(event.code)),
                    _ => {}
                }
            }
            _ => self.stray_events += 1,
        }
        Ack {
            boot: number.0,
            counter: number.1,
        }
    }

    fn conclude(&mut self, operation: Uuid, belief: Belief) {
        self.beliefs.entry(operation).or_insert(belief);
        self.active = None;
    }
}
