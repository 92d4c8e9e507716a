//! Connections between robots and the server's broker, one packet after the other.
//!
//! **Invariant**: what arrives, arrives in the order in which it was sent; a cut lets a part of what is under way
//! through and loses everything behind it, in either direction on its own.

use rollcall_engine::RobotKey;

/// A connection's number, also the broker's name for it less one.
pub(super) type LinkId = usize;

/// One connection, from the robot's attempt on.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) robot: usize,
    /// Whose connection the broker takes it for, once it has accepted.
    pub(super) key: Option<RobotKey>,
    /// The robot believes in it.
    pub(super) robot_open: bool,
    /// The broker believes in it.
    pub(super) server_open: bool,
    last_up: u64,
    last_down: u64,
    /// What arrives later than this is lost.
    pub(super) up_until: u64,
    pub(super) down_until: u64,
}

/// From robot to broker.
#[derive(Debug, Clone)]
pub(super) enum Up {
    Connect,
    Subscribe(Vec<&'static str>),
    Publish {
        ticket: Option<u64>,
        topic: String,
        payload: Vec<u8>,
    },
    /// DISCONNECT.
    Bye,
}

/// From broker to robot.
#[derive(Debug, Clone)]
pub(super) enum Down {
    /// CONNACK.
    Welcome,
    /// PUBACK or PUBCOMP.
    Settled(u64),
    Message {
        topic: String,
        payload: Vec<u8>,
    },
}

impl Link {
    pub(super) fn new(robot: usize) -> Self {
        Self {
            robot,
            key: None,
            robot_open: true,
            server_open: false,
            last_up: 0,
            last_down: 0,
            up_until: u64::MAX,
            down_until: u64::MAX,
        }
    }

    /// When a packet that leaves now and travels for `latency` reaches the broker.
    pub(super) fn up_at(&mut self, now: u64, latency: u64) -> u64 {
        self.last_up = self.last_up.max(now + latency);
        self.last_up
    }

    /// When a packet that leaves now and travels for `latency` reaches the robot.
    pub(super) fn down_at(&mut self, now: u64, latency: u64) -> u64 {
        self.last_down = self.last_down.max(now + latency);
        self.last_down
    }
}
