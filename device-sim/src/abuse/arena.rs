//! What attacks share: the broker, their identities, and how hard to hit.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::attack::Fault;
use super::incoming::Incoming;
use super::packet::{self, Connect, Version};
use super::peer::{Heard, Peer};
use super::target::{Guests, Robot, Target};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Connections of a flood.
    pub(super) connections: usize,
    /// Messages, subscriptions or topics of a flood.
    pub(super) things: usize,
    /// How long a slow attack goes on.
    pub(super) time: Duration,
    /// Whether every attack waits until those are gone who never said a whole CONNECT; otherwise only the first does.
    pub(super) waits: bool,
}

impl Effort {
    pub(super) const SHORT: Self = Self {
        connections: 200,
        things: 2_000,
        time: Duration::from_millis(600),
        waits: false,
    };
    pub(super) const FULL: Self = Self {
        connections: 1_500,
        things: 100_000,
        time: Duration::from_secs(12),
        waits: true,
    };
}

/// The place of an attack.
#[derive(Debug)]
pub(super) struct Arena {
    pub(super) target: Target,
    pub(super) websocket: Option<Target>,
    pub(super) guests: Guests,
    /// Whether clients that are no robots are let in.
    pub(super) open: bool,
    pub(super) robots: Vec<Robot>,
    pub(super) effort: Effort,
    pub(super) seed: u64,
    next: AtomicU32,
}

/// A client that is connected, or what it was told instead.
#[derive(Debug)]
pub(super) enum Entry {
    Accepted(Peer),
    Refused(u8),
    Closed,
}

impl Arena {
    pub(super) fn new(
        target: Target,
        websocket: Option<Target>,
        guests: Guests,
        robots: Vec<Robot>,
        effort: Effort,
        seed: u64,
    ) -> Self {
        Self {
            target,
            websocket,
            guests,
            open: true,
            robots,
            effort,
            seed,
            next: AtomicU32::new(0),
        }
    }

    /// A number that nobody else of this run has.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A CONNECT that ought to be accepted. Where only robots are let in it is a robot's, of which there are as many
    /// as the file of credentials has: the first one is innocent, the others take turns.
    pub(super) fn attacker(&self, version: Version) -> Connect {
        let number = self.number();
        if self.open {
            return self.guests.connect(version, &format!("x{number}"));
        }
        let others = self.robots.len().saturating_sub(1).max(1);
        let number = usize::try_from(number).unwrap_or(0) % others;
        match self.robots.get(1 + number).or_else(|| self.robots.first()) {
            Some(robot) => robot.connect(version),
            None => self.guests.connect(version, "x"),
        }
    }

    /// How many attackers can be connected at one time.
    pub(super) fn attackers(&self, wanted: usize) -> usize {
        if self.open {
            wanted
        } else {
            wanted.min(self.robots.len().saturating_sub(1)).max(1)
        }
    }

    /// A topic on which an attacker may publish, if the broker lets it publish at all.
    pub(super) fn topic(&self, name: &str) -> String {
        self.guests.topic(name)
    }

    /// An open connection that has said nothing.
    pub(super) async fn silent(&self, version: Version) -> Result<Peer, Fault> {
        Ok(Peer::open(&self.target, version).await?)
    }

    /// Sends a CONNECT and waits for the answer.
    pub(super) async fn enter(&self, connect: &Connect) -> Result<Entry, Fault> {
        let peer = self.silent(connect.version).await?;
        self.enter_on(peer, connect).await
    }

    /// The same on a connection that has said nothing yet.
    pub(super) async fn enter_on(&self, mut peer: Peer, connect: &Connect) -> Result<Entry, Fault> {
        if !peer.offer(&connect.encode()).await.goes_on()? {
            return Ok(Entry::Closed);
        }
        match peer.hear().await? {
            Heard::Packet(Incoming::ConnAck { code: 0, .. }) => Ok(Entry::Accepted(peer)),
            Heard::Packet(Incoming::ConnAck { code, .. }) => Ok(Entry::Refused(code)),
            Heard::Packet(other) => Err(Fault::new(format!("{other:?} instead of a CONNACK"))),
            Heard::Closed => Ok(Entry::Closed),
            Heard::Silence => Err(Fault::new("no answer to a CONNECT")),
        }
    }

    /// A client that must be let in.
    pub(super) async fn client(&self, version: Version) -> Result<Peer, Fault> {
        self.accepted(&self.attacker(version)).await
    }

    /// The same with a CONNECT of one's own.
    pub(super) async fn accepted(&self, connect: &Connect) -> Result<Peer, Fault> {
        match self.enter(connect).await? {
            Entry::Accepted(peer) => Ok(peer),
            Entry::Refused(code) => Err(Fault::new(format!(
                "a client is refused with code 0x{code:02x}"
            ))),
            Entry::Closed => Err(Fault::new("a client is hung up on instead of let in")),
        }
    }

    /// A client that has subscribed.
    pub(super) async fn subscriber(
        &self,
        version: Version,
        filter: &str,
        qos: u8,
    ) -> Result<Peer, Fault> {
        let mut peer = self.client(version).await?;
        subscribed(&mut peer, filter, qos).await?;
        Ok(peer)
    }
}

/// Subscribes, which must be granted.
pub(super) async fn subscribed(peer: &mut Peer, filter: &str, qos: u8) -> Result<(), Fault> {
    let bytes = packet::subscribe(peer.version(), 1, &[filter], qos);
    peer.send(&bytes).await?;
    match peer.hear().await? {
        Heard::Packet(Incoming::SubAck { codes }) if codes.iter().all(|code| *code < 0x80) => {
            Ok(())
        }
        other => Err(Fault::new(format!(
            "a subscription to {filter} is answered with {other:?}"
        ))),
    }
}
