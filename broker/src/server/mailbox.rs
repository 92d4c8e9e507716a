//! What others leave for one connection: verdicts, messages, an order to leave.

use crate::event::{ConnectionId, Verdict};
use parking_lot::Mutex;

/// Shared between a connection's task and everybody who has something for it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    id: ConnectionId,
    verdicts: Mutex<Vec<(u64, Verdict)>>,
}

impl Mailbox {
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn settle(&self, sequence: u64, verdict: Verdict) {
        self.verdicts.lock().push((sequence, verdict));
    }
}
