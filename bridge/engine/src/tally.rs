//! What a rollout's robots add up to, as thresholds, rates and phases count them: by robot, never by ECU.

use crate::mechanism::FailureKind;
use crate::rollout::{Member, RobotProgress};
use crate::target::{Target, TargetState};

/// Robots of a launched rollout by what became of them. Derived from its members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Told of at least one ECU.
    pub told: u32,
    /// Successful, or failed.
    pub tried: u32,
    /// Successful.
    pub succeeded: u32,
    /// At least one ECU failed for good or rolled back, whatever the others do.
    pub failed: u32,
    /// Those of `failed` by kind: failed, rejected, timed out, rolled back. A robot may be in several.
    kinds: [u32; 4],
    /// The same by phase; one when there are no phases.
    pub phases: Vec<PhaseTally>,
}

/// The robots of a phase by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PhaseTally {
    /// In all, without those that were skipped as a whole.
    pub robots: u32,
    /// Not done.
    pub open: u32,
    /// Successful.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
    /// Done without having tried: cancelled, superseded or skipped.
    pub withdrawn: u32,
}

/// One robot's part in a tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// Not so only before the robot came in.
    exists: bool,
    pub(crate) open: bool,
    told: bool,
    succeeded: bool,
    /// A bit per kind.
    kinds: u8,
}

const KINDS: [FailureKind; 4] = [
    FailureKind::Failed,
    FailureKind::Rejected,
    FailureKind::TimedOut,
    FailureKind::RolledBack,
];

impl Tally {
    /// Robots that failed in this way.
    #[must_use]
    pub fn kind(&self, kind: FailureKind) -> u32 {
        let place = KINDS.iter().position(|k| *k == kind);
        place.map_or(self.failed, |place| self.kinds[place])
    }

    pub(crate) fn of<'a>(members: impl IntoIterator<Item = &'a Member>) -> Self {
        let mut tally = Self::default();
        for member in members {
            tally.join(member);
        }
        tally
    }

    /// A robot comes in.
    pub(crate) fn join(&mut self, member: &Member) {
        if member.skipped.is_none() {
            self.phase(member.phase).robots += 1;
            self.shift(member.phase, Standing::default(), member.standing());
        }
    }

    /// A robot of this phase stood so, and now stands so.
    pub(crate) fn shift(&mut self, phase: u16, before: Standing, after: Standing) {
        if before == after {
            return;
        }
        let turn = |count: &mut u32, before: bool, after: bool| {
            *count = *count + u32::from(after) - u32::from(before);
        };
        turn(&mut self.told, before.told, after.told);
        turn(&mut self.tried, before.tried(), after.tried());
        turn(&mut self.succeeded, before.succeeded, after.succeeded);
        turn(&mut self.failed, before.failed(), after.failed());
        for (bit, count) in self.kinds.iter_mut().enumerate() {
            turn(
                count,
                before.kinds >> bit & 1 == 1,
                after.kinds >> bit & 1 == 1,
            );
        }
        let phase = self.phase(phase);
        turn(&mut phase.open, before.open, after.open);
        turn(&mut phase.succeeded, before.succeeded, after.succeeded);
        turn(&mut phase.failed, before.failed(), after.failed());
        turn(&mut phase.withdrawn, before.withdrawn(), after.withdrawn());
    }

    fn phase(&mut self, phase: u16) -> &mut PhaseTally {
        let phase = usize::from(phase);
        if self.phases.len() <= phase {
            self.phases.resize(phase + 1, PhaseTally::default());
        }
        &mut self.phases[phase]
    }
}

impl Standing {
    const fn failed(self) -> bool {
        self.kinds != 0
    }

    const fn withdrawn(self) -> bool {
        self.exists && !self.open && !self.tried()
    }

    const fn tried(self) -> bool {
        self.succeeded || self.failed()
    }
}

impl Member {
    pub(crate) fn standing(&self) -> Standing {
        let kind = |target: &Target| match target.state {
            TargetState::Failed { reason } => Some(reason.kind()),
            TargetState::RolledBack => Some(FailureKind::RolledBack),
            _ => None,
        };
        let mut standing = Standing {
            exists: true,
            open: self.is_open(),
            told: self.is_told(),
            succeeded: self.progress() == RobotProgress::Successful,
            kinds: 0,
        };
        for kind in self.targets.iter().filter_map(kind) {
            if let Some(bit) = KINDS.iter().position(|k| *k == kind) {
                standing.kinds |= 1 << bit;
            }
        }
        standing
    }

    /// Whether the robot was told of any ECU.
    #[must_use]
    pub fn is_told(&self) -> bool {
        let told = |target: &Target| target.attempt > 0 || target.state.is_active();
        self.targets.iter().any(told)
    }
}
