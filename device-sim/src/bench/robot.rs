//! A native robot as a load: it introduces itself, and for every request that it gets it says a long list of events,
//! then reports the image, so that the server goes on to its next ECU.

use std::collections::VecDeque;

use rollcall_proto::Status;
use rollcall_proto::native::{
    BaseImage, EcuDescription, Manifest, OtaEvent, OtaRequest, PROTOCOL_VERSION, RequestKind,
};
use rollcall_proto::topic::Base;
use uuid::Uuid;

use crate::fleet::Member;

/// Steps of one operation: a hundred of downloading, a hundred of deploying, each of which moves the operation forward.
const STEPS: u32 = 200;

/// Longest message for people in an event.
const MESSAGE_MAX: usize = 1_024;

/// What a robot says next.
pub(super) enum Saying<'a> {
    /// An event: counted.
    Event { topic: &'a str, payload: Vec<u8> },
    /// What an ECU runs: said once per operation, not counted.
    Report { topic: String, payload: Vec<u8> },
}

#[derive(Debug)]
struct Part {
    name: String,
    event_topic: String,
    hardware_id: String,
    primary: bool,
    image: BaseImage,
}

#[derive(Debug)]
struct Work {
    part: usize,
    image: BaseImage,
    said: u32,
}

/// One robot between its messages.
#[derive(Debug)]
pub(super) struct Robot {
    realm: String,
    id: String,
    parts: Vec<Part>,
    event: OtaEvent,
    /// How often every step is said.
    repeat: u32,
    work: Option<Work>,
    /// Requests that came before the one under way was ended; a server sends none, and few are kept.
    reports: VecDeque<usize>,
}

impl Robot {
    /// `size` is the length that events are brought to by a message, in bytes; below some 40 there is none.
    pub(super) fn new(member: &Member, realm: &str, repeat: u32, size: usize) -> Self {
        let (config, id) = (&member.config, member.config.id.clone());
        let base = Base { realm, robot: &id };
        let parts = config.ecus.iter().map(|ecu| Part {
            name: ecu.name.clone(),
            event_topic: base.ota_event(&ecu.name),
            hardware_id: ecu.hardware_id.clone(),
            primary: ecu.primary,
            image: BaseImage {
                name: ecu.image.name.clone(),
                version: ecu.image.version.clone(),
                build_id: None,
                digest: None,
                operation: None,
            },
        });
        let parts: Vec<_> = parts.collect();
        let mut event = OtaEvent {
            boot: config.first_boot,
            counter: 0,
            operation: Uuid::nil(),
            status: Status::Downloading,
            progress: 99,
            code: None,
            message: String::new(),
        };
        // Counters grow by some bytes; the message's own length takes three.
        let bare = OtaEvent {
            counter: 100_000,
            ..event.clone()
        };
        let padding = size.saturating_sub(bare.encode().len() + 3);
        event.message = "x".repeat(padding.min(MESSAGE_MAX));
        Self {
            realm: realm.to_owned(),
            id,
            parts,
            event,
            repeat: repeat.max(1),
            work: None,
            reports: VecDeque::new(),
        }
    }

    fn base(&self) -> Base<'_> {
        Base {
            realm: &self.realm,
            robot: &self.id,
        }
    }

    /// Where its requests come.
    pub(super) fn filter(&self) -> String {
        self.base().ota_request_filter()
    }

    /// Manifest and images, to be published at the beginning of every connection.
    pub(super) fn introduction(&self) -> Vec<(String, Vec<u8>)> {
        let ecus = self.parts.iter().map(|part| EcuDescription {
            name: part.name.clone(),
            hardware_id: part.hardware_id.clone(),
            primary: part.primary,
        });
        let manifest = Manifest {
            protocol: PROTOCOL_VERSION,
            boot: self.event.boot,
            wants_ack: false,
            ecus: ecus.collect(),
        };
        let images = self.parts.iter().map(|part| {
            let topic = self.base().base_image(&part.name);
            (topic, part.image.encode())
        });
        std::iter::once((self.base().manifest(), manifest.encode()))
            .chain(images)
            .collect()
    }

    /// Whether it has something to say.
    pub(super) fn is_busy(&self) -> bool {
        self.work.is_some() || !self.reports.is_empty()
    }

    /// Takes a message of the server. Whatever is no new request for one of its ECUs changes nothing.
    pub(super) fn hear(&mut self, topic: &[u8], payload: &[u8]) {
        let part = topic.rsplit(|byte| *byte == b'/').next().and_then(|name| {
            let mut parts = self.parts.iter();
            parts.position(|part| part.name.as_bytes() == name)
        });
        let (Some(part), Ok(request)) = (part, OtaRequest::decode(payload)) else {
            return;
        };
        let known = self.event.operation == request.operation;
        if request.kind != RequestKind::Update || known || self.work.is_some() {
            return;
        }
        self.event.operation = request.operation;
        self.work = Some(Work {
            part,
            image: BaseImage {
                name: request.image_name,
                version: request.image_version,
                build_id: None,
                digest: Some(request.sha256),
                operation: Some(request.operation),
            },
            said: 0,
        });
    }

    /// What it says next.
    pub(super) fn say(&mut self) -> Option<Saying<'_>> {
        if let Some(part) = self.reports.pop_front() {
            let part = &self.parts[part];
            let topic = self.base().base_image(&part.name);
            let payload = part.image.encode();
            return Some(Saying::Report { topic, payload });
        }
        let work = self.work.as_mut()?;
        let (part, step) = (work.part, work.said / self.repeat);
        work.said += 1;
        if work.said == STEPS * self.repeat
            && let Some(done) = self.work.take()
        {
            self.parts[part].image = done.image;
            self.reports.push_back(part);
        }
        let (status, progress) = if step < STEPS / 2 {
            (Status::Downloading, step)
        } else {
            (Status::Deploying, step - STEPS / 2)
        };
        self.event.counter += 1;
        self.event.status = status;
        self.event.progress = u8::try_from(progress).unwrap_or(100);
        Some(Saying::Event {
            topic: &self.parts[part].event_topic,
            payload: self.event.encode(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Origin, ProtocolChoice, generate};

    fn robot(repeat: u32, size: usize) -> Robot {
        let origin = Origin {
            seed: 1,
            first_boot: 7,
        };
        let fleet = generate(1, 2, ProtocolChoice::Native, origin);
        Robot::new(&fleet[0], "fleet", repeat, size)
    }

    fn request(kind: RequestKind, operation: u128) -> Vec<u8> {
        OtaRequest {
            kind,
            operation: Uuid::from_u128(operation),
            attempt: 1,
            image_name: "compute-os".to_owned(),
            image_version: "2.0.0".to_owned(),
            url: "http://127.0.0.1:9/none".to_owned(),
            size: 1,
            sha256: [1; 32],
            hardware_id: "compute".to_owned(),
            expected_version: None,
            deadline_unix_ms: 0,
        }
        .encode()
    }

    const TOPIC: &[u8] = b"fleet/sim-00001/rollcall.v1.OTARequest/main";

    #[test]
    fn every_step_is_said_as_often_as_asked_and_then_the_image() {
        let mut robot = robot(3, 200);
        assert!(robot.say().is_none());
        robot.hear(TOPIC, &request(RequestKind::Update, 5));
        let mut events = Vec::new();
        let report = loop {
            match robot.say().unwrap() {
                Saying::Event { payload, .. } => events.push(OtaEvent::decode(&payload).unwrap()),
                Saying::Report { topic, payload } => break (topic, payload),
            }
        };
        assert_eq!(events.len(), 600);
        let steps: Vec<_> = events.chunks(3).map(|said| said[0].progress).collect();
        assert_eq!(steps, (0..100).chain(0..100).collect::<Vec<_>>());
        let counters: Vec<_> = events.iter().map(|event| event.counter).collect();
        assert_eq!(counters, (1..=600).collect::<Vec<_>>());
        assert_eq!(report.0, "fleet/sim-00001/rollcall.v1.BaseImage/main");
        let image = BaseImage::decode(&report.1).unwrap();
        assert_eq!(image.operation, Some(Uuid::from_u128(5)));
        assert!(!robot.is_busy());
    }

    #[test]
    fn events_have_the_size_that_is_asked_for() {
        let mut robot = robot(1, 200);
        robot.hear(TOPIC, &request(RequestKind::Update, 5));
        while let Some(Saying::Event { payload, .. }) = robot.say() {
            assert!((194..=200).contains(&payload.len()), "{}", payload.len());
        }
    }

    #[test]
    fn what_is_no_new_request_changes_nothing() {
        let mut robot = robot(1, 0);
        robot.hear(TOPIC, b"\xff\xff");
        robot.hear(
            b"fleet/sim-00001/rollcall.v1.OTARequest/none",
            &request(RequestKind::Update, 5),
        );
        robot.hear(TOPIC, &request(RequestKind::Cancel, 5));
        assert!(!robot.is_busy());
        robot.hear(TOPIC, &request(RequestKind::Update, 5));
        robot.hear(TOPIC, &request(RequestKind::Update, 6));
        assert_eq!(robot.event.operation, Uuid::from_u128(5));
    }
}
