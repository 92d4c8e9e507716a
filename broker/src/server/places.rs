//! Places of which there are so many. Each is given back however the task that holds it ends, also by a panic.

use super::hub::Hub;
use crate::event::ConnectionId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One place of those that a counter counts.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// A place, if fewer than `limit` are taken.
    pub(crate) fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let room = |taken: usize| (taken < limit).then_some(taken + 1);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection holds until it is accepted: a place of its listener, so that strangers who say nothing at one
/// listener keep nobody from another.
#[derive(Debug)]
pub(crate) struct Handshaking {
    _listener: Place,
    _all: Place,
}

impl Handshaking {
    pub(super) fn begin(hub: &Hub, listener: &Arc<AtomicUsize>) -> Option<Self> {
        Some(Self {
            _listener: Place::take(listener, hub.limits.max_handshaking)?,
            _all: Place::take(&hub.handshaking, usize::MAX)?,
        })
    }
}

/// A connection that the hub knows.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) hub: Arc<Hub>,
    pub(super) id: ConnectionId,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_also_by_a_task_that_panics() {
        let count = Arc::new(AtomicUsize::new(0));
        let first = Place::take(&count, 1).unwrap();
        assert!(Place::take(&count, 1).is_none());
        let task = std::thread::spawn(move || {
            let _first = first;
            panic!("as a bug would");
        });
        assert!(task.join().is_err());
        assert!(Place::take(&count, 1).is_some());
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
