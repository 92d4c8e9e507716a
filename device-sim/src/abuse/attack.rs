//! What an attack is.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use super::arena::Arena;

/// A running attack.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Findings, Fault>> + Send>>;

/// One idea of how to harm a broker.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What it does, for `--list`.
    pub(super) what: &'static str,
    pub(super) needs: Needs,
    pub(super) run: fn(Arc<Arena>) -> Running,
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a broker has to offer for an attack to mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// A listener.
    Listener,
    /// Clients that are let in; robots will do.
    Client,
    /// Clients that may publish and subscribe to the same topics.
    Routing,
    /// Two robots.
    Robots,
    /// A listener with TLS.
    Tls,
    /// A listener for WebSocket.
    WebSocket,
}

/// What an attack saw.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What the server did, in a few words.
    pub(super) said: String,
    /// What the server should have counted.
    pub(super) counted: Vec<Counted>,
}

impl Findings {
    pub(super) fn said(said: impl Into<String>) -> Self {
        Self {
            said: said.into(),
            counted: Vec::new(),
        }
    }

    /// Adds kinds of events which, together, must have been counted so many times.
    pub(super) fn counted(mut self, kinds: &'static [&'static str], at_least: usize) -> Self {
        self.counted.push(Counted { kinds, at_least });
        self
    }
}

/// Counters that must have gone up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// Values of the label `kind` of Rollcall's `rollcall_mqtt_events_total`.
    pub(super) kinds: &'static [&'static str],
    pub(super) at_least: usize,
}

/// The server treated the attacker in a way in which no server may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) String);

impl Fault {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::TimedOut => "the server does not answer in time".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Errs with what is wrong unless it holds.
pub(super) fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault(wrong())) }
}
