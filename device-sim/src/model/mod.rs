//! A robot as a pure state machine: no tokio, no clock, no sockets.
//!
//! Time is milliseconds passed in; randomness comes from the seed and the robot's index. Two robots
//! of one configuration and one profile that get the same inputs at the same times do the same.
//!
//! # Polling contract
//!
//! The caller owns the loop:
//!
//! 1. After construction, and after every call of [`Robot::handle`] or [`Robot::handle_timeout`], take
//!    outputs with [`Robot::poll_output`] until it answers `None`. Nothing else changes its answers.
//! 2. Then ask [`Robot::poll_timeout`] for the next deadline, and call [`Robot::handle_timeout`] at
//!    that time or later. Calling it earlier does nothing.
//! 3. Times never go back; an earlier time than the last counts as the last.
//!
//! Outputs are to be performed in order. [`Output::Connect`] is answered by [`Input::Connected`] or
//! [`Input::Disconnected`], [`Output::Fetch`] by [`Input::Fetched`]; an answer that comes too late is
//! ignored.
//!
//! ```
//! use std::sync::Arc;
//! use device_sim::model::{EcuConfig, Input, Output, Protocol, Robot, RobotConfig};
//! use device_sim::profile::Profile;
//!
//! let config = RobotConfig {
//!     id: "robot-1".to_owned(),
//!     index: 0,
//!     seed: 42,
//!     protocol: Protocol::Native,
//!     first_boot: 1,
//!     ecus: vec![EcuConfig::generated(0)],
//! };
//! let mut robot = Robot::new(config, Arc::new(Profile::default()));
//! let start = robot.poll_timeout().expect("a robot wants to connect");
//! robot.handle_timeout(start);
//! assert_eq!(robot.poll_output(), Some(Output::Connect { clean_session: true }));
//! robot.handle(start, Input::Connected { session_present: false });
//! assert!(matches!(robot.poll_output(), Some(Output::Subscribe(_))));
//! ```

mod config;
mod download;
mod edgehog;
mod fate;
mod io;
mod native;
mod power;
mod request;
mod timer;
mod truth;
mod update;

use std::collections::VecDeque;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rollcall_proto::native::BaseImage;
use uuid::Uuid;

use self::timer::{Timer, Timers};
use self::update::Job;
use crate::profile::Profile;

pub use config::{EcuConfig, Protocol, RobotConfig};
pub use io::{
    Artifact, Downlink, FetchError, FetchId, ImageLabel, Input, Message, Output, PublishId,
};
pub use truth::{Image, OperationRecord, RealOutcome, Totals, Truth, Violation};

/// One simulated robot.
#[derive(Debug, Clone)]
pub struct Robot {
    id: String,
    protocol: Protocol,
    profile: Arc<Profile>,
    rng: ChaCha8Rng,
    /// The newest time that was passed in.
    now: u64,
    timers: Timers,
    outputs: VecDeque<Output>,
    /// For publishes and fetches alike.
    last_id: u64,
    link: Link,
    /// Attempts to connect since the last success, for the back-off.
    connect_failures: u32,
    powered: bool,
    ecus: Vec<Ecu>,
    job: Option<Job>,
    finished: VecDeque<native::Finished>,
    native: native::Session,
    edgehog: edgehog::Session,
    truth: Truth,
}

/// One ECU: what it is and what it runs.
#[derive(Debug, Clone)]
struct Ecu {
    name: String,
    hardware_id: String,
    primary: bool,
    installed: Image,
    /// The operation that brought the image.
    operation: Option<Uuid>,
    /// What a liar reports instead.
    claim: Option<BaseImage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    Connecting,
    Up,
}

impl Robot {
    /// A robot that has just been switched on.
    #[must_use]
    pub fn new(config: RobotConfig, profile: Arc<Profile>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(config.index);
        let wants_ack = profile.messages.wants_ack.happens(&mut rng);
        let first_connect = if profile.link.offline_at_start.happens(&mut rng) {
            profile.link.offline_for.draw(&mut rng)
        } else {
            0
        };
        let ecus = config.ecus.into_iter().map(|ecu| Ecu {
            name: ecu.name,
            hardware_id: ecu.hardware_id,
            primary: ecu.primary,
            installed: ecu.image,
            operation: None,
            claim: None,
        });
        let mut robot = Self {
            id: config.id,
            protocol: config.protocol,
            rng,
            now: 0,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            last_id: 0,
            link: Link::Down,
            connect_failures: 0,
            powered: true,
            ecus: ecus.collect(),
            job: None,
            finished: VecDeque::new(),
            native: native::Session::new(config.first_boot, wants_ack),
            edgehog: edgehog::Session::default(),
            truth: Truth::default(),
            profile,
        };
        if robot.protocol == Protocol::Edgehog {
            robot.edgehog_starts();
        }
        robot.arm_mishaps();
        robot.timers.set(Timer::Connect, first_connect);
        robot
    }

    /// Tells the robot what happened.
    pub fn handle(&mut self, now: u64, input: Input) {
        self.handle_timeout(now);
        match input {
            Input::Connected { session_present } => self.connected(session_present),
            Input::Disconnected => self.disconnected(),
            Input::Acknowledged(id) => self.acknowledged(id),
            Input::Fetched { fetch, result } => self.fetched(fetch, result),
            Input::PowerLost if !self.powered => {}
            Input::PowerLost => self.power_down(false),
            // What arrives after the robot hung up is lost, as it is with a real one.
            Input::Received(_) if self.link != Link::Up => {}
            Input::Received(message) => self.received(message),
        }
    }

    /// Tells the robot what time it is.
    pub fn handle_timeout(&mut self, now: u64) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Connect => self.connect(),
                Timer::GoOffline => self.go_offline(),
                Timer::PowerLoss => self.power_down(false),
                Timer::Started => self.started(),
                Timer::Step => self.step(),
                Timer::Release => self.release_held(),
            }
        }
    }

    /// When the robot next wants [`Robot::handle_timeout`], in its own milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.timers.next()
    }

    /// What the robot wants done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The robot's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which protocol it speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Number of the current start of the robot's software, counted from the configuration's `first_boot`.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.native.boot
    }

    /// What each ECU really runs, with its name and the operation that brought it.
    pub fn installed(&self) -> impl Iterator<Item = (&str, &Image, Option<Uuid>)> {
        self.ecus
            .iter()
            .map(|ecu| (ecu.name.as_str(), &ecu.installed, ecu.operation))
    }

    /// What really happened so far.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The operation that the robot works on.
    #[must_use]
    pub fn running(&self) -> Option<Uuid> {
        self.job.as_ref().map(|job| job.operation)
    }

    /// Whether the robot is connected, works on nothing and has nothing left to say.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_heard() && self.job.is_none()
    }

    /// Whether the robot is connected, and everything that it said is acknowledged.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        let heard = match self.protocol {
            Protocol::Native => self.native.is_settled(),
            Protocol::Edgehog => self.edgehog.is_settled(),
        };
        self.link == Link::Up && heard
    }

    /// Whether the robot is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link == Link::Up
    }

    fn received(&mut self, message: Downlink) {
        match (message, self.protocol) {
            (Downlink::Request { ecu, request }, Protocol::Native) => {
                self.native_request(&ecu, request)
            }
            (Downlink::Ack(ack), Protocol::Native) => self.durable(ack),
            (Downlink::EdgehogRequest(request), Protocol::Edgehog) => self.edgehog_request(request),
            (Downlink::ConsumerProperties(listed), Protocol::Edgehog) => {
                self.consumer_list(&listed);
            }
            (
                Downlink::ConsumerProperty {
                    interface,
                    path,
                    value,
                },
                Protocol::Edgehog,
            ) => self.consumer_property(&interface, &path, value),
            (Downlink::BadControl { reason, fatal }, Protocol::Edgehog) => {
                self.bad_control(reason, fatal);
            }
            (Downlink::TooLarge { topic, bytes }, Protocol::Edgehog) => {
                self.too_large(topic, bytes);
            }
            (Downlink::Malformed { topic, reason }, _) => {
                self.truth.violated(Violation::Malformed { topic, reason });
            }
            (other, protocol) => self.truth.violated(Violation::Malformed {
                topic: String::new(),
                reason: format!("{} sent to a robot that speaks {protocol}", kind(&other)),
            }),
        }
    }

    fn publish(&mut self, message: Message) -> PublishId {
        self.last_id += 1;
        let id = PublishId(self.last_id);
        self.outputs.push_back(Output::Publish { id, message });
        id
    }

    fn random(&mut self) -> u64 {
        rand::Rng::next_u64(&mut self.rng)
    }

    fn after(&mut self, timer: Timer, delay: u64) {
        self.timers.set(timer, self.now.saturating_add(delay));
    }
}

fn kind(message: &Downlink) -> &'static str {
    match message {
        Downlink::Request { .. } => "native request",
        Downlink::Ack(_) => "native acknowledgement",
        Downlink::EdgehogRequest(_) => "edgehog request",
        Downlink::ConsumerProperties(_) | Downlink::BadControl { .. } => "property list",
        Downlink::ConsumerProperty { .. } => "server property",
        Downlink::TooLarge { .. } => "edgehog message",
        Downlink::Malformed { .. } => "malformed message",
    }
}
