//! What of a client may outlive its connection.

use super::inbound::Inbound;
use super::outbound::Outbound;
use crate::message::Delivery;
use std::collections::VecDeque;

/// Protocol state of one session. A connection owns it while it lives; the router keeps it in between.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// Waits for the client's return; empty while it is connected.
    pub(crate) queue: VecDeque<Delivery>,
}
