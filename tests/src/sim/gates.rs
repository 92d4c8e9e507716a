//! What a rollout's pace allows, said once more: caps, rates, phases, thresholds, and who is told while it does not run.
//!
//! Everything is recounted from the members; of the engine's own sums nothing is asked.

use super::Broken;
use super::at_work::AtWork;
use super::clock;
use rollcall_engine::{
    Command, Counting, EndReason, FailureKind, Input, Member, PauseReason, Percent, PhaseSize,
    Rate, Request, Rollout, RolloutId, Row, Run, State, TargetState, ThresholdAction, Timer,
};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE: u64 = 60_000;

/// What was seen of a rollout before the current input.
#[derive(Debug, Clone, Default)]
struct Known {
    run: Option<Run>,
    phase: u16,
    /// When enough robots of the phase had succeeded, while it ran.
    passed: Option<u64>,
    /// Failed robots that an operator had seen when the rollout went on.
    excused: u32,
    in_progress: u32,
    /// When an operator has said another deadline.
    deadline_said: Option<u64>,
    /// First tellings of the last minute.
    starts: Vec<u64>,
    /// A threshold has ended it, which was looked at then.
    aborted: bool,
    /// Rates, and since when.
    rates: Vec<(u64, u32)>,
}

/// What was seen of all rollouts.
#[derive(Debug, Clone, Default)]
pub(super) struct Gates {
    known: BTreeMap<RolloutId, Known>,
    /// Before a command that lets a rollout go on: its robots that have failed.
    failed: Option<(RolloutId, u32)>,
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

fn count<'a>(members: impl Iterator<Item = &'a Member>) -> u32 {
    u32::try_from(members.count()).unwrap_or(u32::MAX)
}

/// Strictly more than the share.
fn exceeds(part: u32, share: Percent, whole: u32) -> bool {
    u64::from(part) * 10_000 > u64::from(share.in_hundredths()) * u64::from(whole)
}

/// The share, or more.
fn reaches(part: u32, share: Percent, whole: u32) -> bool {
    u64::from(part) * 10_000 >= u64::from(share.in_hundredths()) * u64::from(whole)
}

fn is_open(member: &Member) -> bool {
    member.targets.iter().any(|target| !target.state.is_final())
}

/// It has heard of the rollout.
pub(super) fn is_told(member: &Member) -> bool {
    member.targets.iter().any(|target| target.attempt > 0)
}

/// Told of something, and not done with it.
pub(super) fn is_at_work(member: &Member) -> bool {
    let at_work = |state: TargetState| state != TargetState::Pending && !state.is_final();
    member.targets.iter().any(|target| at_work(target.state))
}

/// In which ways it failed, as far as thresholds count that.
fn failures(member: &Member) -> BTreeSet<FailureKind> {
    let kind = |state| match state {
        TargetState::Failed { reason } => Some(reason.kind()),
        TargetState::RolledBack => Some(FailureKind::RolledBack),
        _ => None,
    };
    let targets = member.targets.iter();
    targets.filter_map(|target| kind(target.state)).collect()
}

fn has_failed(member: &&Member) -> bool {
    !failures(member).is_empty()
}

fn has_succeeded(member: &&Member) -> bool {
    let succeeded = |state| matches!(state, TargetState::Succeeded { .. });
    let skipped = |state| matches!(state, TargetState::Skipped { .. });
    let mut targets = member.targets.iter().map(|target| target.state);
    targets.clone().any(succeeded) && targets.all(|state| succeeded(state) || skipped(state))
}

pub(super) fn is_withdrawn(member: &Member) -> bool {
    !is_open(member) && !has_failed(&member) && !has_succeeded(&member)
}

/// Everybody who gets something.
fn affected(rollout: &Rollout) -> impl Iterator<Item = &Member> {
    rollout.members.values().filter(|m| m.skipped.is_none())
}

fn of_phase(rollout: &Rollout, phase: u16) -> impl Iterator<Item = &Member> {
    affected(rollout).filter(move |member| member.phase == phase)
}

/// Whether nothing but a cap limits it, so that there is nothing to recount.
fn is_plain(rollout: &Rollout) -> bool {
    let mechanism = &rollout.mechanism;
    mechanism.rate.is_none()
        && mechanism.phases.is_empty()
        && mechanism.abort.is_empty()
        && mechanism.max_failure_percentage.is_none()
}

/// Which threshold holds, the strongest first: one that ends it, or with `pauses` one that pauses it.
fn threshold(rollout: &Rollout, pauses: bool) -> Option<String> {
    let mechanism = &rollout.mechanism;
    let failed = count(affected(rollout).filter(has_failed));
    if let Some(most) = mechanism.max_failure_percentage
        && exceeds(failed, most, count(affected(rollout)))
    {
        return Some(format!("more than {most} of the robots have failed"));
    }
    let rule = (0..mechanism.abort.len()).find(|rule| {
        let acts = pauses || mechanism.abort[*rule].action == ThresholdAction::Abort;
        acts && rule_holds(rollout, *rule)
    });
    let phase = (0..mechanism.phases.len()).find(|phase| {
        let acts = pauses || mechanism.phases[*phase].on_error == ThresholdAction::Abort;
        acts && phase_fails(rollout, *phase)
    });
    rule.map(|rule| format!("abort rule {rule} holds"))
        .or_else(|| phase.map(|phase| format!("too many of phase {phase} have failed")))
}

fn rule_holds(rollout: &Rollout, rule: usize) -> bool {
    let rule = &rollout.mechanism.abort[rule];
    let tried = |member: &&Member| has_failed(member) || has_succeeded(member);
    let tried = count(affected(rollout).filter(tried));
    let of_kind = affected(rollout).filter(|member| {
        let failures = failures(member);
        failures.contains(&rule.kind) || rule.kind == FailureKind::All && !failures.is_empty()
    });
    tried >= rule.min_tried && reaches(count(of_kind), rule.percentage, tried)
}

fn number(phase: usize) -> u16 {
    u16::try_from(phase).unwrap_or(u16::MAX)
}

fn phase_fails(rollout: &Rollout, phase: usize) -> bool {
    let failed = count(of_phase(rollout, number(phase)).filter(has_failed));
    let all = count(of_phase(rollout, number(phase)));
    let most = rollout.mechanism.phases[phase].error_threshold;
    most.is_some_and(|most| exceeds(failed, most, all))
}

/// Whether enough robots of the phase have succeeded.
fn phase_passes(rollout: &Rollout, phase: u16) -> bool {
    let counted = count(of_phase(rollout, phase).filter(|member| !is_withdrawn(member)));
    let succeeded = count(of_phase(rollout, phase).filter(has_succeeded));
    let of = &rollout.mechanism.phases[usize::from(phase)];
    reaches(succeeded, of.success_threshold, counted)
}

/// Robots per minute, worked out from the robots.
fn per_minute(rollout: &Rollout, rate: &Rate) -> u32 {
    let Some(growth) = &rate.growth else {
        return rate.per_minute;
    };
    let counted = match growth.counting {
        Counting::Told => count(affected(rollout).filter(|member| is_told(member))),
        Counting::Succeeded => count(affected(rollout).filter(has_succeeded)),
    };
    let mut per_minute = u64::from(rate.per_minute);
    for _ in 0..counted / growth.every {
        per_minute = (per_minute * u64::from(growth.factor.in_tenths())).div_ceil(10);
        per_minute = per_minute.min(u64::from(growth.max_per_minute));
    }
    u32::try_from(per_minute).unwrap_or(u32::MAX)
}

/// How many robots each phase must have. The percentages are added up before they are rounded, up.
fn phase_sizes(rollout: &Rollout) -> Vec<u32> {
    let all = count(affected(rollout));
    let (mut left, mut sum, mut before) = (all, 0_u64, 0_u32);
    let mut sizes = Vec::new();
    for phase in &rollout.mechanism.phases {
        let size = match &phase.size {
            PhaseSize::Percentage(share) => {
                sum += u64::from(share.in_hundredths());
                let upto = (sum * u64::from(all)).div_ceil(10_000);
                let upto = u32::try_from(upto).unwrap_or(u32::MAX);
                upto - std::mem::replace(&mut before, upto)
            }
            PhaseSize::Robots(robots) => *robots,
            // Whether those are the right ones is known where groups are.
            PhaseSize::Group(_) => count(of_phase(rollout, number(sizes.len()))),
            PhaseSize::Rest => left,
        };
        sizes.push(size.min(left));
        left -= size.min(left);
    }
    sizes
}

/// The command that lets this rollout go on, or begin.
fn lets_go_on(input: &Input, id: RolloutId) -> bool {
    let Input::Command { command, .. } = input else {
        return matches!(input, Input::Due(Timer::Rollout(due)) if *due == id);
    };
    matches!(
        command,
        Command::LaunchRollout { rollout, .. }
            | Command::ResumeRollout { rollout }
            | Command::ApprovePhase { rollout, .. } if *rollout == id
    )
}

fn sets_deadline(input: &Input, id: RolloutId) -> bool {
    let Input::Command { command, .. } = input else {
        return false;
    };
    matches!(command, Command::EditRollout { rollout, edit } if *rollout == id && edit.deadline.is_some())
}

/// The command makes a rollout and launches it.
fn by_hand(input: &Input) -> bool {
    matches!(
        input,
        Input::Command {
            command: Command::ManualUpdate(_),
            ..
        }
    )
}

impl Gates {
    /// Looks at what a command may change.
    pub(super) fn before(&mut self, state: &State, input: &Input) {
        self.failed = None;
        let Input::Command { command, .. } = input else {
            return;
        };
        if let Command::ResumeRollout { rollout } | Command::ApprovePhase { rollout, .. } = command
        {
            let rollout = state.rollout(*rollout);
            self.failed = rollout.map(|r| (r.id, count(affected(r).filter(has_failed))));
        }
    }

    /// Checks what an input did to the rollouts that it touched, before anybody looks at what is sent.
    pub(super) fn after(
        &mut self,
        state: &State,
        input: &Input,
        taken: bool,
        (touched, at_work): (&[Row], &AtWork),
    ) -> Result<(), Broken> {
        let ids: BTreeSet<_> = touched
            .iter()
            .filter_map(|row| match row {
                Row::Member(id, _) | Row::Rollout(id) => Some(*id),
                _ => None,
            })
            .collect();
        for id in ids {
            let Some(rollout) = state.rollout(id) else {
                self.known.remove(&id);
                continue;
            };
            let mut known = self.known.get(&id).cloned().unwrap_or_default();
            if let Some((_, failed)) = self.failed.filter(|(of, _)| taken && *of == id) {
                known.excused = failed;
            }
            if taken && sets_deadline(input, id) {
                known.deadline_said = Some(state.now().0);
            }
            let found = self.rollout(state, rollout, (input, at_work.count(id)), known);
            let found = found.map_err(|Broken(why)| Broken(format!("rollout {}: {why}", id.0)))?;
            self.known.insert(id, found);
        }
        Ok(())
    }

    fn rollout(
        &self,
        state: &State,
        rollout: &Rollout,
        (input, at_work): (&Input, u32),
        mut known: Known,
    ) -> Result<Known, Broken> {
        let now = state.now().0;
        let cap = rollout.mechanism.max_in_progress;
        ensure(at_work <= cap || at_work <= known.in_progress, || {
            format!("cap: {at_work} robots at work, {cap} allowed")
        })?;
        known.in_progress = at_work;
        let run = rollout.run();
        if known.run.is_none() && run.is_some() {
            clock::may_launch(rollout, input, now)?;
        }
        if !is_plain(rollout) && run.is_some() {
            if known.run.is_none() {
                sizes_are_exact(rollout)?;
            }
            known.aborted |= thresholds(rollout, &known)?;
            phases(rollout, input, &mut known, now)?;
            known.rates(rollout, now);
        }
        known.run = run;
        Ok(known)
    }

    /// Checks that somebody may be told of an operation that is new.
    pub(super) fn told(
        &mut self,
        before: Option<Run>,
        state: &State,
        input: &Input,
        request: &Request,
        rollout: &Rollout,
    ) -> Result<(), Broken> {
        let now = state.now().0;
        let id = rollout.id;
        let member = &rollout.members[&request.robot];
        let attempts: u32 = member.targets.iter().map(|t| u32::from(t.attempt)).sum();
        let first = attempts == 1;
        let broken = |what: &str| Err(Broken(format!("rollout {}: {what}: {request:?}", id.0)));
        let by_command = |which: fn(&Command) -> Option<RolloutId>| match input {
            Input::Command { command, .. } => which(command) == Some(id),
            _ => false,
        };
        let paused = by_command(|command| match command {
            Command::PauseRollout { rollout } => Some(*rollout),
            _ => None,
        });
        let ended = by_command(|command| match command {
            Command::StopRollout { rollout } | Command::CancelRollout { rollout } => Some(*rollout),
            _ => None,
        });
        let runs = match before {
            Some(Run::Running) => !(ended || paused && first),
            Some(Run::Paused { .. }) => !ended && (!first || lets_go_on(input, id)),
            None => lets_go_on(input, id) || by_hand(input),
            Some(Run::Stopped { .. }) => lets_go_on(input, id),
            Some(Run::Ending { .. }) => false,
        };
        if !runs {
            return broken("6.1: somebody is told while it does not run");
        }
        let known = self.known.entry(id).or_default();
        if known.in_progress > rollout.mechanism.max_in_progress {
            return broken("cap: somebody new while there are more than the cap");
        }
        let target = member
            .targets
            .iter()
            .find(|t| t.attempt == request.attempt && is_asked(t.state));
        let early = target
            .and_then(|t| t.retry.as_ref())
            .is_some_and(|retry| retry.at.0 > now);
        if early {
            return broken("backoff: tried again too early");
        }
        if !first {
            return Ok(());
        }
        if !rollout.mechanism.phases.is_empty() && member.phase > rollout.course.phase {
            return broken("phases: its phase is not open");
        }
        known.start(now).or_else(|why| broken(&why))
    }

    /// When all timers have fired: whatever was to open by itself is open.
    pub(super) fn everything(&self, state: &State, now: u64) -> Result<(), Broken> {
        for rollout in state.rollouts() {
            let known = self.known.get(&rollout.id).cloned().unwrap_or_default();
            let last = usize::from(known.phase) + 1 >= rollout.mechanism.phases.len();
            if rollout.run() != Some(Run::Running) || last {
                continue;
            }
            let soak = rollout.mechanism.phases[usize::from(known.phase)].soak;
            let soaked = known.passed.is_some_and(|passed| passed + soak <= now);
            ensure(!soaked, || {
                format!(
                    "phases: rollout {} has soaked since {:?} and does not go on",
                    rollout.id.0, known.passed
                )
            })?;
        }
        Ok(())
    }

    /// When an operator has said another deadline last.
    pub(super) fn deadline_said(&self, id: RolloutId) -> Option<u64> {
        self.known.get(&id)?.deadline_said
    }

    /// Whether a threshold has ended it: that was seen, or one holds still.
    pub(super) fn have_aborted(&self, rollout: &Rollout) -> bool {
        let seen = self
            .known
            .get(&rollout.id)
            .is_some_and(|known| known.aborted);
        seen || threshold(rollout, false).is_some()
    }

    /// How launched rollouts stand.
    pub(super) fn runs(&self) -> BTreeMap<RolloutId, Run> {
        let runs = self.known.iter();
        runs.filter_map(|(id, known)| Some((*id, known.run?)))
            .collect()
    }

    /// A server has come back with what is on its disk.
    pub(super) fn restarted(&mut self, state: &State) {
        self.known.retain(|id, _| state.rollout(*id).is_some());
    }
}

fn is_asked(state: TargetState) -> bool {
    state == TargetState::Requested
}

impl Known {
    fn rates(&mut self, rollout: &Rollout, now: u64) {
        let rate = rollout.mechanism.rate.as_ref();
        let rate = rate.map_or(u32::MAX, |rate| per_minute(rollout, rate));
        if self.rates.last().is_none_or(|(_, last)| *last != rate) {
            self.rates.push((now, rate));
        }
    }

    /// In no minute more robots are told for the first time than the greatest rate in that minute allows.
    fn start(&mut self, now: u64) -> Result<(), String> {
        self.starts.retain(|at| at + MINUTE > now);
        self.starts.push(now);
        let ends = self
            .rates
            .iter()
            .skip(1)
            .map(|(at, _)| *at)
            .chain([u64::MAX]);
        let rates = self.rates.iter().zip(ends);
        let in_force = rates.filter(|(_, end)| end.saturating_add(MINUTE) > now);
        let most = in_force.map(|((_, rate), _)| *rate).max();
        let found = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        match most.filter(|most| found > *most) {
            Some(most) => Err(format!("rate: {found} robots in a minute, {most} allowed")),
            None => Ok(()),
        }
    }
}

fn sizes_are_exact(rollout: &Rollout) -> Result<(), Broken> {
    let expected = phase_sizes(rollout);
    let phases = (0_u16..).take(expected.len());
    let found: Vec<_> = phases
        .map(|phase| count(of_phase(rollout, phase)))
        .collect();
    ensure(found == expected, || {
        format!("phases of {found:?} robots instead of {expected:?}")
    })
}

/// Thresholds act at the first moment at which they hold, and never before. Says whether one has ended the rollout.
fn thresholds(rollout: &Rollout, known: &Known) -> Result<bool, Broken> {
    let run = rollout.run();
    let failed = count(affected(rollout).filter(has_failed));
    let holds = match run {
        Some(Run::Running) => threshold(rollout, failed > known.excused),
        Some(Run::Paused { .. } | Run::Stopped { .. }) => threshold(rollout, false),
        Some(Run::Ending { .. }) | None => None,
    };
    ensure(holds.is_none(), || {
        format!("thresholds: {} and it goes on", holds.unwrap_or_default())
    })?;
    if run == known.run {
        return Ok(false);
    }
    let true_now = match run {
        Some(Run::Ending { why, .. }) => match why {
            EndReason::Operator => true,
            // Nobody here releases.
            EndReason::Replaced { .. } => false,
            EndReason::MaxFailures => threshold(rollout, false).is_some(),
            EndReason::Failures { rule } => rule_holds(rollout, rule.into()),
            EndReason::PhaseErrors { phase } => phase_fails(rollout, phase.into()),
        },
        Some(Run::Paused { why, .. }) => match why {
            PauseReason::Operator => true,
            PauseReason::Failures { rule } => rule_holds(rollout, rule.into()),
            PauseReason::PhaseErrors { phase } => phase_fails(rollout, phase.into()),
            PauseReason::Approval { phase } => phase_passes(rollout, phase),
            PauseReason::PhaseMissed { phase } => {
                !phase_passes(rollout, phase) && !of_phase(rollout, phase).any(is_open)
            }
        },
        _ => true,
    };
    ensure(true_now, || {
        format!("thresholds: it became {run:?} though nothing asks for that")
    })?;
    let by_operator = |run| {
        matches!(
            run,
            Run::Ending {
                why: EndReason::Operator,
                ..
            }
        )
    };
    Ok(run.is_some_and(|run| matches!(run, Run::Ending { .. }) && !by_operator(run)))
}

/// A phase opens when the gate of the one before it is passed.
fn phases(rollout: &Rollout, input: &Input, known: &mut Known, now: u64) -> Result<(), Broken> {
    let approve = |command: &Command| matches!(command, Command::ApprovePhase { rollout: id, .. } if *id == rollout.id);
    let mut approved = matches!(input, Input::Command { command, .. } if approve(command));
    if rollout.mechanism.phases.is_empty() {
        return Ok(());
    }
    ensure(rollout.course.phase >= known.phase, || {
        "phases: one closed again".to_owned()
    })?;
    while known.phase < rollout.course.phase {
        let phase = &rollout.mechanism.phases[usize::from(known.phase)];
        let nobody = of_phase(rollout, known.phase).all(is_withdrawn);
        let passes = phase_passes(rollout, known.phase);
        let passed = known.passed.unwrap_or(now);
        let soaked = nobody || passed + phase.soak <= now;
        let opens = passes && soaked && !phase.approval;
        ensure(opens || approved, || {
            format!(
                "phases: {} opens, passed {passes} at {passed}, soak {}, approval {}",
                known.phase + 1,
                phase.soak,
                phase.approval
            )
        })?;
        approved = false;
        known.phase += 1;
        known.passed = None;
    }
    let last = usize::from(known.phase) + 1 >= rollout.mechanism.phases.len();
    let runs = rollout.run() == Some(Run::Running);
    if known.passed.is_none() && !last && runs && phase_passes(rollout, known.phase) {
        known.passed = Some(now);
    }
    Ok(())
}
