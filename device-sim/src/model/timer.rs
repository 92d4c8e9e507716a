//! Every deadline of a robot in one table.

/// What a robot waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Try to connect.
    Connect,
    /// An offline episode begins.
    GoOffline,
    /// The power goes away.
    PowerLoss,
    /// The robot has started again.
    Started,
    /// The running operation's next step.
    Step,
    /// A held event is sent after all.
    Release,
}

impl Timer {
    const ALL: [Self; 6] = [
        Self::Connect,
        Self::GoOffline,
        Self::PowerLoss,
        Self::Started,
        Self::Step,
        Self::Release,
    ];
}

#[derive(Debug, Clone, Default)]
pub(super) struct Timers([Option<u64>; Timer::ALL.len()]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: u64) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        self.0 = Default::default();
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes the earliest timer that is due. Of equal ones the first of [`Timer::ALL`].
    pub(super) fn take_due(&mut self, now: u64) -> Option<Timer> {
        let due = Timer::ALL.into_iter().filter_map(|timer| {
            let at = self.0[timer as usize]?;
            (at <= now).then_some((at, timer))
        });
        let (_, timer) = due.min_by_key(|(at, _)| *at)?;
        self.stop(timer);
        Some(timer)
    }
}
