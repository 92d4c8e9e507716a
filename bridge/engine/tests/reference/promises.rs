//! "Until T, then X": what `why` says comes true at T when nothing happens before.

use rollcall_engine::{
    FailureReason, RobotKey, Rollout, RolloutId, RolloutStatus, Run, State, TargetState,
    WaitReason, Why,
};

/// What ends the wait for a device's properties.
const SETTLES: &str = "is judged by what it has said when the property window ends";

/// What was said of a target that waits.
#[derive(Debug)]
pub(super) struct Promise {
    rollout: RolloutId,
    robot: RobotKey,
    /// Index of the answer.
    index: usize,
    said: Why,
}

/// What is said of those that wait until `at`.
pub(super) fn promises(state: &State, at: u64) -> Vec<Promise> {
    let mut promises = Vec::new();
    for rollout in state.rollouts() {
        for robot in state.robots(None) {
            let answers = state.why(rollout.id, robot.key).unwrap_or_default();
            for (index, said) in answers.into_iter().enumerate() {
                if said.waits_for.is_some() && said.until.is_some_and(|until| until.0 == at) {
                    promises.push(Promise {
                        rollout: rollout.id,
                        robot: robot.key,
                        index,
                        said,
                    });
                }
            }
        }
    }
    promises
}

impl Promise {
    /// Which gate opened, or ended the wait.
    pub(super) fn is_kept(&self, state: &State) -> Result<&'static str, String> {
        let rollout = state.rollout(self.rollout).ok_or("the rollout is gone")?;
        let answers = state.why(self.rollout, self.robot).unwrap_or_default();
        let now = answers.get(self.index).ok_or("nothing is said any more")?;
        let was = self.said.waits_for.as_ref().ok_or("nothing was said")?;
        let (gate, kept) = match (self.said.then, was) {
            // Of whatever it waits for, the end of the rollout ends it.
            _ if self.ends_the_rollout(rollout) => ("the end", now.state.is_final()),
            ("the rollout launches, as the fleet is then", WaitReason::Launch { .. }) => {
                let launched = rollout.status != RolloutStatus::Prepared;
                ("launch", launched || rollout.missed_start.is_some())
            }
            ("the phase before it has soaked", WaitReason::Phase { phase, .. }) => (
                "phase",
                rollout.course.phase >= *phase || !rollout.is_launched(),
            ),
            ("is tried again with a new operation", WaitReason::Retry { .. }) => {
                let waits = matches!(now.waits_for, Some(WaitReason::Retry { .. }));
                ("retry", !waits)
            }
            (SETTLES, WaitReason::Introduction) => {
                let waits = matches!(now.waits_for, Some(WaitReason::Introduction));
                ("introduction", !waits)
            }
            ("its window opens", WaitReason::Window { .. }) => {
                let waits = matches!(now.waits_for, Some(WaitReason::Window { .. }));
                ("window", !waits)
            }
            ("the next robot in line is told", WaitReason::Rate { .. }) => {
                let waits = matches!(now.waits_for, Some(WaitReason::Rate { .. }));
                let told = rollout.course.newest_start == self.said.until;
                ("rate", !waits || told)
            }
            // At that very moment a threshold ends or pauses it.
            _ if rollout.run() != Some(Run::Running) => ("cut short", true),
            ("fails as offline (DEP_E151)", WaitReason::Offline { .. }) => {
                let reason = FailureReason::Offline;
                ("offline", now.state == TargetState::Failed { reason })
            }
            _ => return Err(format!("no end is known of {:?}", self.said)),
        };
        match kept {
            true => Ok(gate),
            false => Err(format!("{:?} became {now:?}", self.said)),
        }
    }

    /// It was said to last as long as the rollout does.
    fn ends_the_rollout(&self, rollout: &Rollout) -> bool {
        let by_gate = match &self.said.waits_for {
            Some(WaitReason::Launch { start }) => *start,
            Some(WaitReason::Phase { soaks_until, .. }) => *soaks_until,
            Some(WaitReason::Retry { at, .. }) => Some(*at),
            Some(WaitReason::Window { opens, .. }) => *opens,
            Some(WaitReason::Rate { next, .. }) => Some(*next),
            Some(WaitReason::Offline { fails }) => *fails,
            Some(WaitReason::Introduction) if self.said.then == SETTLES => self.said.until,
            _ => None,
        };
        rollout.status != RolloutStatus::Prepared && by_gate != self.said.until
    }
}
