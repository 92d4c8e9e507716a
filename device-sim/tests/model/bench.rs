//! One robot on a test bench: the test is its network, its clock and its server.

#![allow(unreachable_pub, reason = "a module of a test binary")]

use std::sync::Arc;

use device_sim::model::{
    Artifact, Downlink, EcuConfig, FetchError, FetchId, ImageLabel, Input, Message, Output,
    Protocol, Robot, RobotConfig,
};
use device_sim::profile::Profile;
use rollcall_proto::native::{Ack, OtaEvent, OtaRequest, RequestKind};
use rollcall_proto::topic::Base;
use rollcall_proto::{Code, Status, edgehog};
use uuid::Uuid;

pub const URL: &str = "http://127.0.0.1/a";
pub const ONE: Uuid = Uuid::from_u128(1);
pub const TWO: Uuid = Uuid::from_u128(2);

/// Fixed durations: 100 ms to begin, 1 s to download 1 MB, 10 s to install, 2 s and 20 s to restart.
const STEADY: &str = r#"
    [timing]
    acknowledge = "100ms"
    download_rate = 1_000_000
    install = "10s"
    restart = "2s"
    reboot = "20s"
"#;

pub struct Bench {
    pub robot: Robot,
    pub now: u64,
    /// Everything the robot wanted since the last look, fetches answered at once apart.
    pub outputs: Vec<Output>,
    /// Whether fetches are answered at once.
    pub serves: bool,
    pub artifact: Artifact,
    pub open_fetch: Option<FetchId>,
    /// Whether publishes are acknowledged at once.
    pub acknowledges: bool,
    /// Whether the broker says that it kept the session.
    pub session_present: bool,
    /// What fetches bring instead of the artifact.
    pub fetch_error: Option<FetchError>,
}

impl Bench {
    pub fn native(profile: &str) -> Self {
        let ecus = (0..3).map(EcuConfig::generated).collect();
        Self::new(Protocol::Native, ecus, profile)
    }

    pub fn edgehog(profile: &str) -> Self {
        Self::new(Protocol::Edgehog, vec![EcuConfig::generated(0)], profile)
    }

    fn new(protocol: Protocol, ecus: Vec<EcuConfig>, profile: &str) -> Self {
        let profile = Profile::parse(&format!("{STEADY}{profile}")).unwrap();
        let id = "r1".to_owned();
        let config = RobotConfig {
            id,
            index: 0,
            seed: 1,
            protocol,
            first_boot: 5,
            ecus,
        };
        let label = Some(ImageLabel {
            name: "os".to_owned(),
            version: "2.0.0+b7".to_owned(),
        });
        let artifact = Artifact {
            size: 1_000_000,
            sha256: [7; 32],
            label,
        };
        let mut bench = Self {
            robot: Robot::new(config, Arc::new(profile)),
            now: 0,
            outputs: Vec::new(),
            serves: true,
            artifact,
            open_fetch: None,
            acknowledges: true,
            session_present: false,
            fetch_error: None,
        };
        bench.run_for(0);
        bench
    }

    /// Lets time pass, answering what can be answered at once.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        self.settle();
        while let Some(at) = self.robot.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.robot.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    pub fn input(&mut self, input: Input) {
        self.robot.handle(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.robot.poll_output() {
            self.outputs.push(output.clone());
            match output {
                Output::Connect { .. } => {
                    let session_present = self.session_present;
                    self.robot
                        .handle(self.now, Input::Connected { session_present });
                }
                Output::Fetch { fetch, .. } if self.serves => {
                    let result = match self.fetch_error.clone() {
                        None => Ok(self.artifact.clone()),
                        Some(error) => Err(error),
                    };
                    self.robot
                        .handle(self.now, Input::Fetched { fetch, result });
                }
                Output::Fetch { fetch, .. } => self.open_fetch = Some(fetch),
                Output::Publish { id, .. } if self.acknowledges => {
                    self.robot.handle(self.now, Input::Acknowledged(id));
                }
                _ => {}
            }
        }
    }

    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Messages since the last look.
    pub fn messages(&mut self) -> Vec<Message> {
        let publish = |output| match output {
            Output::Publish { message, .. } => Some(message),
            _ => None,
        };
        self.take().into_iter().filter_map(publish).collect()
    }

    /// Native events since the last look.
    pub fn events(&mut self) -> Vec<OtaEvent> {
        let event = |message| match message {
            Message::Event { event, .. } => Some(event),
            _ => None,
        };
        self.messages().into_iter().filter_map(event).collect()
    }

    /// Status and progress of the native events since the last look.
    pub fn steps(&mut self) -> Vec<(Status, u8)> {
        self.events()
            .iter()
            .map(|event| (event.status, event.progress))
            .collect()
    }

    /// Operation, status and code of the final native events since the last look.
    pub fn verdicts(&mut self) -> Vec<(Uuid, Status, Option<Code>)> {
        let events = self
            .events()
            .into_iter()
            .filter(|event| event.status.is_final());
        events
            .map(|event| (event.operation, event.status, event.code))
            .collect()
    }

    /// The same of Edgehog events, not only the final ones.
    pub fn edgehog_events(&mut self) -> Vec<(Uuid, Status, Option<Code>)> {
        let event = |message| match message {
            Message::EdgehogEvent(event) => Some((event.operation, event.status, event.code)),
            _ => None,
        };
        self.messages().into_iter().filter_map(event).collect()
    }

    /// Status, progress and code of an operation's Edgehog events since the last look.
    pub fn edgehog_steps(&mut self, of: Uuid) -> Vec<(Status, u8, Option<Code>)> {
        let step = |message| match message {
            Message::EdgehogEvent(event) if event.operation == of => {
                Some((event.status, event.progress, event.code))
            }
            _ => None,
        };
        self.messages().into_iter().filter_map(step).collect()
    }

    /// Bytes that a server publishes.
    pub fn hears(&mut self, topic: &str, payload: &[u8]) {
        let base = Base {
            realm: "fleet",
            robot: "r1",
        };
        let topic = format!("{base}/{topic}");
        let message = Downlink::parse(&base, &topic, payload);
        self.input(Input::Received(message));
    }

    pub fn update(&mut self, ecu: &str, operation: Uuid) {
        self.request(ecu, update(ecu, operation));
    }

    pub fn request(&mut self, ecu: &str, request: OtaRequest) {
        let ecu = ecu.to_owned();
        self.input(Input::Received(Downlink::Request { ecu, request }));
    }

    pub fn cancel(&mut self, ecu: &str, operation: Uuid) {
        self.request(
            ecu,
            OtaRequest {
                kind: RequestKind::Cancel,
                ..update(ecu, operation)
            },
        );
    }

    pub fn ack(&mut self, boot: u64, counter: u64) {
        self.input(Input::Received(Downlink::Ack(Ack { boot, counter })));
    }

    pub fn edgehog_request(&mut self, kind: RequestKind, operation: Uuid, url: &str) {
        let request = edgehog::OtaRequest {
            kind,
            operation,
            url: url.to_owned(),
        };
        self.input(Input::Received(Downlink::EdgehogRequest(request)));
    }

    /// The link breaks; the robot comes back by itself.
    pub fn cut(&mut self) {
        self.input(Input::Disconnected);
    }

    /// The link breaks, and the bench does not yet let the robot come back.
    pub fn cut_without_return(&mut self) {
        self.robot.handle(self.now, Input::Disconnected);
    }

    /// The robot's next attempt to connect, which is begun at its time and not answered.
    pub fn refuse_next(&mut self, at: u64) {
        self.now = at;
        self.robot.handle_timeout(at);
        let attempt = std::iter::from_fn(|| self.robot.poll_output()).last();
        assert!(matches!(attempt, Some(Output::Connect { .. })));
    }

    pub fn version(&self, ecu: &str) -> String {
        let (_, image, _) = self
            .robot
            .installed()
            .find(|(name, ..)| *name == ecu)
            .unwrap();
        image.version.clone()
    }
}

pub fn update(ecu: &str, operation: Uuid) -> OtaRequest {
    let hardware_id = if ecu == "main" { "compute" } else { "motor" };
    OtaRequest {
        kind: RequestKind::Update,
        operation,
        attempt: 1,
        image_name: "os".to_owned(),
        image_version: "2.0.0".to_owned(),
        url: URL.to_owned(),
        size: 1_000_000,
        sha256: [7; 32],
        hardware_id: hardware_id.to_owned(),
        expected_version: None,
        deadline_unix_ms: 0,
    }
}
