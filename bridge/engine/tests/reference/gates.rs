//! Thresholds, phases and the end of a rollout.

use super::model::{Member, Model, Rollout, Status, count, is_final};
use rollcall_engine::{
    Completion, EndReason, FailureKind, Mechanism, PauseReason, Percent, PhaseSize, Run,
    TargetState, ThresholdAction,
};

const MINUTE: u64 = 60_000;
/// Minutes by which local clocks are ahead of UTC.
const CLOCKS: [u64; 2] = [0, 330];

/// Half of the robots are in India.
fn clock(robot: usize) -> u64 {
    CLOCKS[robot / 2 % 2]
}

/// Windows open every twenty minutes, by the clock where the robot is, and stay open for five.
fn is_open(minute: u64, first: u64, robot: usize) -> bool {
    (minute + clock(robot) + 20 - first) % 20 < 5
}

/// The minute of the hour in which its windows open first.
fn first_minute(mechanism: &Mechanism) -> Option<u64> {
    let opens = mechanism.windows.as_ref()?.windows[0].opens.to_string();
    opens.split(',').next()?.parse().ok()
}

/// Strictly more than the share.
fn exceeds(part: u32, share: Percent, whole: u32) -> bool {
    u64::from(part) * 10_000 > u64::from(share.in_hundredths()) * u64::from(whole)
}

/// The share, or more.
fn reaches(part: u32, share: Percent, whole: u32) -> bool {
    u64::from(part) * 10_000 >= u64::from(share.in_hundredths()) * u64::from(whole)
}

impl Model {
    /// Acts if a threshold holds. One that ends the rollout is stronger than one that pauses it.
    pub(super) fn thresholds(&mut self, r: usize) {
        self.threshold(r);
        // A paused rollout is not paused again, so this is one that ends it.
        self.threshold(r);
    }

    /// What an operator has resumed after counts again with the next failure only.
    pub(super) fn threshold(&mut self, r: usize) {
        let rollout = &self.rollouts[r];
        let Some(run) = rollout.run() else { return };
        let failed = rollout.failed();
        if matches!(run, Run::Ending { .. }) {
            return;
        }
        let mechanism = rollout.mechanism.clone();
        let affected = count(rollout.members.iter());
        if let Some(most) = mechanism.max_failure_percentage
            && exceeds(failed, most, affected)
        {
            return self.end(r, EndReason::MaxFailures);
        }
        let running = run == Run::Running && failed > rollout.excused;
        let tried = count(rollout.members.iter().filter(|m| m.has_tried()));
        for (number, rule) in (0_u16..).zip(&mechanism.abort) {
            let of_kind = rollout.members.iter().filter(|member| {
                let failures = member.failures();
                !failures.is_empty()
                    && (rule.kind == FailureKind::All || failures.contains(&rule.kind))
            });
            let holds = tried >= rule.min_tried && reaches(count(of_kind), rule.percentage, tried);
            match rule.action {
                ThresholdAction::Abort if holds => {
                    return self.end(r, EndReason::Failures { rule: number });
                }
                ThresholdAction::Pause if holds && running => {
                    return self.pause(r, PauseReason::Failures { rule: number });
                }
                _ => {}
            }
        }
        for (number, phase) in mechanism.phases.iter().enumerate() {
            let rollout = &self.rollouts[r];
            let of_phase = || rollout.members.iter().filter(|m| m.phase == number);
            let failed = count(of_phase().filter(|m| !m.failures().is_empty()));
            let most = phase.error_threshold;
            let holds = most.is_some_and(|most| exceeds(failed, most, count(of_phase())));
            let number = u16::try_from(number).expect("worlds are small");
            match phase.on_error {
                ThresholdAction::Abort if holds => {
                    return self.end(r, EndReason::PhaseErrors { phase: number });
                }
                ThresholdAction::Pause if holds && running => {
                    return self.pause(r, PauseReason::PhaseErrors { phase: number });
                }
                _ => {}
            }
        }
    }

    /// Opens the phases whose gate is passed.
    pub(super) fn phases(&mut self, r: usize) {
        let now = self.now;
        loop {
            let rollout = &mut self.rollouts[r];
            if rollout.run() != Some(Run::Running) || rollout.is_last_phase() {
                return;
            }
            if rollout.passed.is_none() && rollout.phase_passes() {
                rollout.passed = Some(now);
            }
            let number = u16::try_from(rollout.phase).expect("worlds are small");
            let phase = &rollout.mechanism.phases[rollout.phase];
            let nobody = rollout.of_phase().iter().all(|m| m.is_withdrawn());
            match rollout.passed {
                None if rollout.of_phase().iter().any(|m| m.is_open()) => return,
                None => return self.pause(r, PauseReason::PhaseMissed { phase: number }),
                Some(passed) if !nobody && passed + phase.soak > now => return,
                Some(_) if phase.approval => {
                    return self.pause(r, PauseReason::Approval { phase: number });
                }
                Some(_) => {}
            }
            self.open_next_phase(r);
        }
    }

    /// When the robot's window opens; `None`: it is open, or there are none.
    pub(super) fn opens(&self, mechanism: &Mechanism, robot: usize) -> Option<u64> {
        self.opens_after(self.now, mechanism, robot)
    }

    /// The same, asked at another time.
    pub(super) fn opens_after(&self, at: u64, mechanism: &Mechanism, robot: usize) -> Option<u64> {
        let first = first_minute(mechanism)?;
        let minute = at / MINUTE;
        let next = (minute..).find(|minute| is_open(*minute, first, robot))?;
        (next > minute).then_some(next * MINUTE)
    }

    /// Since when it is as it is now, open or closed; the beginning of time, if it always was.
    pub(super) fn window_since(&self, mechanism: &Mechanism, robot: usize) -> u64 {
        let Some(first) = first_minute(mechanism) else {
            return 0;
        };
        let minute = self.now / MINUTE;
        let is_open = |minute, robot| is_open(minute, first, robot);
        let now = is_open(minute, robot);
        let other = (0..minute)
            .rev()
            .find(|minute| is_open(*minute, robot) != now);
        other.map_or(0, |minute| (minute + 1) * MINUTE)
    }

    /// The first opening of any of its windows after `looked`.
    pub(super) fn next_opening(&self, mechanism: &Mechanism) -> Option<u64> {
        let first = first_minute(mechanism)?;
        let begins = |minute: u64| {
            CLOCKS
                .iter()
                .any(|clock| (minute + clock + 20 - first).is_multiple_of(20))
        };
        let mut minutes = (self.looked / MINUTE + 1)..;
        Some(minutes.find(|minute| begins(*minute))? * MINUTE)
    }

    pub(super) fn open_next_phase(&mut self, r: usize) {
        self.rollouts[r].phase += 1;
        self.rollouts[r].opened.push(self.now);
        self.rollouts[r].passed = None;
    }

    /// A24: completed when nothing is open.
    pub(super) fn complete(&mut self, r: usize) {
        let now = self.now;
        let rollout = &mut self.rollouts[r];
        let Some(run) = rollout.run() else { return };
        // Others may join.
        let ending = matches!(run, Run::Ending { .. });
        if rollout.mechanism.dynamic && !ending && now < rollout.deadline {
            return;
        }
        if rollout.members.iter().any(Member::is_open) {
            return;
        }
        let outcome = match run {
            Run::Ending { why, .. } => why.outcome(),
            _ => rollout.outcome(),
        };
        rollout.status = Status::Completed(outcome);
    }
}

impl Rollout {
    pub(super) fn is_last_phase(&self) -> bool {
        self.phase + 1 >= self.mechanism.phases.len()
    }

    pub(super) fn of_phase(&self) -> Vec<&Member> {
        let of_phase = |member: &&Member| member.phase == self.phase;
        self.members.iter().filter(of_phase).collect()
    }

    fn phase_passes(&self) -> bool {
        let of_phase = self.of_phase();
        let counted = count(of_phase.iter().filter(|m| !m.is_withdrawn()));
        let succeeded = count(of_phase.iter().filter(|m| m.has_succeeded()));
        let threshold = self.mechanism.phases[self.phase].success_threshold;
        reaches(succeeded, threshold, counted)
    }

    /// When the newest open phase has soaked, if it only waits for that.
    pub(super) fn soaks_until(&self) -> Option<u64> {
        if self.run() != Some(Run::Running) || self.is_last_phase() {
            return None;
        }
        let soaked = self.passed? + self.mechanism.phases[self.phase].soak;
        (!self.of_phase().iter().all(|m| m.is_withdrawn())).then_some(soaked)
    }

    fn outcome(&self) -> Completion {
        let never_told = self.members.iter().any(|member| {
            let expired = member
                .targets
                .iter()
                .any(|t| t.state == TargetState::Expired);
            expired && member.targets.iter().all(|t| t.attempt == 0)
        });
        let failed = self.members.iter().any(|member| {
            let expired = |t: &super::model::Target| t.state == TargetState::Expired;
            !member.failures().is_empty() || member.targets.iter().any(expired)
        });
        let succeeded = self.members.iter().any(Member::has_succeeded);
        match (never_told, failed, succeeded) {
            (true, ..) => Completion::Expired,
            (false, false, _) => Completion::Success,
            (false, true, true) => Completion::Partial,
            (false, true, false) => Completion::Failure,
        }
    }

    /// How many robots each phase has: the sum of the percentages so far, rounded up, so that rounding never adds up.
    pub(super) fn phase_sizes(&self, canary: impl Fn(&&Member) -> bool) -> Vec<u32> {
        let all = count(self.members.iter());
        let (mut left, mut sum, mut shared) = (all, 0_u64, 0_u32);
        let mut sizes = Vec::new();
        for (number, phase) in self.mechanism.phases.iter().enumerate() {
            let size = match &phase.size {
                PhaseSize::Percentage(percent) => {
                    sum += u64::from(percent.in_hundredths());
                    let upto = (sum * u64::from(all)).div_ceil(10_000);
                    let upto = u32::try_from(upto).expect("worlds are small");
                    let size = upto - shared;
                    shared = upto;
                    size
                }
                PhaseSize::Robots(robots) => *robots,
                PhaseSize::Rest => left,
                // Those of it that chance did not put into a phase before.
                PhaseSize::Group(_) => {
                    let later = self.members.iter().filter(|m| m.phase >= number);
                    count(later.filter(&canary))
                }
            };
            sizes.push(size.min(left));
            left -= size.min(left);
        }
        sizes
    }

    /// Every target is where it stays.
    pub(super) fn is_over(&self) -> bool {
        let targets = self.members.iter().flat_map(|member| &member.targets);
        targets.map(|target| target.state).all(is_final)
    }
}
