//! Since when a gate holds what waits for it.
//!
//! That is kept where it costs nothing per target: by the rollout, the robot, its connection, the calendar. Of a slot, and of an
//! ECU before the robot's, nothing is kept: since everything else would have let the target through.

use crate::inventory::Robot;
use crate::rollout::{Rollout, RolloutId, Run};
use crate::state::State;
use crate::target::Target;
use crate::time::Timestamp;
use crate::wait::WaitReason;

impl State {
    /// Since when the pending target waits for `reason`; never longer than it is pending.
    pub(crate) fn waits_since(
        &self,
        id: RolloutId,
        robot: &Robot,
        target: &Target,
        reason: &WaitReason,
    ) -> Option<Timestamp> {
        let rollout = self.rollouts.get(&id)?;
        let link = &robot.link;
        let said = if link.introduced {
            link.window_since
        } else {
            link.since
        };
        let since = match reason {
            WaitReason::Launch { .. } => Some(rollout.created),
            WaitReason::Paused(_) | WaitReason::Stopped => rollout.halted(),
            WaitReason::Deadline => rollout.deadline(),
            WaitReason::Phase { .. } => {
                let course = &rollout.course;
                course.phase_passed.or(Some(course.phase_opened))
            }
            WaitReason::Window { zone, .. } => {
                let windows = rollout.mechanism.windows.as_ref();
                windows.and_then(|windows| windows.closed_since(self.now, zone))
            }
            WaitReason::Rate { .. } => rollout.course.newest_start,
            WaitReason::Offline { .. } | WaitReason::NotSubscribed => Some(link.since),
            // A Manifest or an introspection says what is amiss.
            WaitReason::Introduction => Some(said),
            WaitReason::Hold(_) => link.introduced.then_some(said),
            WaitReason::Busy { .. } => Some(robot.active_since),
            WaitReason::Slot { .. } | WaitReason::Turn => self.free_since(rollout, robot, target),
            // What becomes pending again is either.
            WaitReason::Retry { .. } | WaitReason::Order { .. } => None,
        };
        Some(since.unwrap_or_default().max(target.since))
    }

    /// Since when nothing but a slot, or the robot's other work, can have held the target back.
    fn free_since(&self, rollout: &Rollout, robot: &Robot, target: &Target) -> Option<Timestamp> {
        let member = rollout.members.get(&robot.key)?;
        let opened = [
            rollout.course.running_since,
            rollout.course.opened(member.phase),
            rollout.open_since(robot, self.now).unwrap_or_default(),
            robot.link.since,
            target.retry_at().unwrap_or_default(),
        ];
        opened.into_iter().max()
    }
}

impl Rollout {
    /// Since when it does not run, if it is launched.
    const fn halted(&self) -> Option<Timestamp> {
        match self.run() {
            Some(
                Run::Paused { since, .. } | Run::Stopped { since } | Run::Ending { since, .. },
            ) => Some(since),
            Some(Run::Running) | None => None,
        }
    }
}
