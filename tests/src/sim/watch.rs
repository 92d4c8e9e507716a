//! Looks at the engine after every single input: what changed, and what it wants sent.
//!
//! The rules that need a view of the whole state are in `standing`.

use super::Broken;
use super::at_work::AtWork;
use super::clock;
use super::gates::Gates;
use super::naive::Naive;
use super::patience::{Patience, is_offline};
use super::promises::Promises;
use super::standing;
use super::tally::Tally;
use rollcall_engine::{
    CancelGoal, CancelReason, Command, Ecu, EcuName, Effect, FailureClass, FailureReason,
    ForceDowngrade, Image, Input, Member, Protocol, Refusal, Reply, Request, RequestKind, Robot,
    RobotKey, Rollout, RolloutId, RolloutStatus, Row, Run, State, SuccessKind, Target, TargetState,
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One input in so many is watched for changing nothing when it is refused, and every command of a small world.
const SAMPLE: u64 = 40;
const SMALL: usize = 200;

/// An operation that the server has asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) rollout: RolloutId,
    pub(super) robot: RobotKey,
    pub(super) ecu: EcuName,
    pub(super) attempt: u16,
    pub(super) image: Image,
    pub(super) first: u64,
    /// How it ended, if the target waits for another attempt since, or has begun one.
    pub(super) over: Option<TargetState>,
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) naive: Naive,
    pub(super) gates: Gates,
    patience: Patience,
    at_work: AtWork,
    promises: Promises,
    pub(super) tally: Tally,
    pub(super) asked: BTreeMap<Uuid, Asked>,
    members: BTreeMap<(RolloutId, RobotKey), Member>,
    /// When a target got its first event, and when its image was applied.
    taken: BTreeMap<(RolloutId, RobotKey, u8), u64>,
    applied: BTreeMap<(RolloutId, RobotKey, u8), u64>,
    /// When the server was down.
    pub(super) downtimes: Vec<(u64, u64)>,
    inputs: u64,
    next_sample: u64,
    next_whole: u64,
    /// What a death before the next commit takes back: the naive opinion as of the last commit, if commands have come
    /// since, and the operations that were wanted since.
    durable_naive: Option<Box<Naive>>,
    durable_gates: Option<Gates>,
    fresh: Vec<Uuid>,
    /// Who has come into which rollout by the current input, and how that ran before.
    joined: Vec<(RolloutId, RobotKey, Run)>,
    over: Vec<Uuid>,
    /// Retries of a target by class.
    retried: BTreeMap<((RolloutId, RobotKey, u8), FailureClass), u8>,
}

/// How launched rollouts ran before an input.
type Runs = BTreeMap<RolloutId, Run>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

/// How far a target is; greater never goes back to smaller. `None` for what is final.
const fn advance(state: &TargetState) -> Option<(u8, u8)> {
    Some(match state {
        TargetState::Pending => (0, 0),
        TargetState::Requested => (1, 0),
        TargetState::Acknowledged => (2, 0),
        TargetState::Downloading { progress } => (3, *progress),
        TargetState::Downloaded => (4, 0),
        TargetState::Installing { progress } => (5, *progress),
        TargetState::Applied => (6, 0),
        TargetState::Verifying => (7, 0),
        TargetState::Succeeded { .. }
        | TargetState::Failed { .. }
        | TargetState::RolledBack
        | TargetState::Skipped { .. }
        | TargetState::Cancelled { .. }
        | TargetState::Superseded { .. }
        | TargetState::Expired => return None,
    })
}

impl Watch {
    /// Takes the state's fingerprint before some of the inputs, and before every command.
    pub(super) fn before_apply(&mut self, state: &State, input: &Input) -> Option<u64> {
        self.inputs += 1;
        if self.durable_gates.is_none() {
            self.durable_gates = Some(self.gates.clone());
        }
        self.gates.before(state, input);
        let robots = state.counters().robots;
        let command = matches!(input, Input::Command { .. }) && self.members.len() < SMALL;
        if !(command && robots < 100) && self.inputs < self.next_sample {
            return None;
        }
        // A look at everything costs as much as there is to look at.
        self.next_sample = self.inputs + SAMPLE + u64::from(robots) + self.members.len() as u64;
        Some(standing::fingerprint(state))
    }

    /// Checks what an input did.
    pub(super) fn after_apply(
        &mut self,
        state: &State,
        input: &Input,
        reply: &Result<Reply, Refusal>,
        touched: &[Row],
        effects: &[Effect],
        sample: Option<u64>,
    ) -> Result<(), Broken> {
        self.tally.inputs += 1;
        if let Err(refusal) = reply {
            self.tally.refused(refusal.code());
            ensure(touched.is_empty() && effects.is_empty(), || {
                format!("refusal {refusal} has rows or effects")
            })?;
            if let Some(before) = sample {
                ensure(before == standing::fingerprint(state), || {
                    format!("refusal {refusal} changed the state")
                })?;
            }
        }
        if let Input::Link { robot, .. } = input
            && let Some(robot) = state.robot(*robot)
        {
            for id in &robot.open {
                standing::member(state, *id, robot.key, &mut self.promises)?;
            }
        }
        let before = self.gates.runs();
        for row in touched {
            if let Row::Member(id, key) = row {
                self.member(state, input, &before, (*id, *key))?;
            }
        }
        self.at_work.look(state, touched);
        let touched_and = (touched, &self.at_work);
        self.gates.after(state, input, reply.is_ok(), touched_and)?;
        self.patience.after(state, input, touched);
        self.tally_runs(state, &before, touched);
        effects
            .iter()
            .try_for_each(|effect| self.effect(state, (input, &before), effect))
    }

    /// Judges who has come into a rollout, once the naive opinion knows what there is.
    pub(super) fn after_joins(&mut self, state: &State, input: &Input) -> Result<(), Broken> {
        for (id, key, run) in self.joined.drain(..) {
            self.tally.saw("joined", &"");
            self.naive.joined(state, input, run, (id, key))?;
        }
        Ok(())
    }

    fn tally_runs(&mut self, state: &State, before: &Runs, touched: &[Row]) {
        for row in touched {
            let Row::Rollout(id) = row else { continue };
            let rollout = state.rollout(*id);
            let run = rollout.and_then(Rollout::run);
            if run == before.get(id).copied() {
                continue;
            }
            if !before.contains_key(id) && rollout.is_some_and(|rollout| rollout.manual) {
                self.tally.saw("by hand", &"");
            }
            match run {
                Some(Run::Paused { why, .. }) => self.tally.saw("paused", &why),
                Some(Run::Ending { why, .. }) => self.tally.saw("ending", &why),
                Some(run) => self.tally.saw(run.word(), &""),
                None => {}
            }
        }
    }

    /// An operator's command is about to be applied.
    pub(super) fn before_command(&mut self, state: Option<&State>, command: &Command) {
        if self.durable_naive.is_none() {
            self.durable_naive = Some(Box::new(self.naive.clone()));
        }
        self.naive.before(state, command);
    }

    /// Everything up to now is on the disk.
    pub(super) fn committed(&mut self) {
        self.durable_naive = None;
        self.durable_gates = None;
        self.fresh.clear();
        self.over.clear();
    }

    /// What was not on the disk has never happened.
    pub(super) fn died(&mut self) {
        if let Some(naive) = self.durable_naive.take() {
            self.naive = *naive;
        }
        if let Some(gates) = self.durable_gates.take() {
            self.gates = gates;
        }
        for operation in self.over.drain(..) {
            if let Some(asked) = self.asked.get_mut(&operation) {
                asked.over = None;
            }
        }
        for operation in self.fresh.drain(..) {
            self.asked.remove(&operation);
        }
    }

    /// The server has come back, perhaps with less than it had in memory.
    pub(super) fn restarted(&mut self, state: &State) {
        self.tally.starts += 1;
        self.members = all_members(state);
        self.gates.restarted(state);
        self.patience.restarted();
        self.promises.restarted();
        self.at_work = AtWork::of(state);
        self.retried.clear();
    }

    /// After the writer has taken everything in, timers included.
    pub(super) fn after_turn(&mut self, state: &State, now: u64) -> Result<(), Broken> {
        if self.inputs < self.next_whole {
            return Ok(());
        }
        // Small worlds are looked at after every turn. In large ones the look takes long, so it waits a little; what an
        // input has touched is looked at in any case.
        let members = self.members.len() as u64;
        let often = if members < 1_000 { 6 } else { 1 };
        self.next_whole = self.inputs + members / often;
        self.whole(state, now)
    }

    /// Looks at everything.
    pub(super) fn whole(&mut self, state: &State, now: u64) -> Result<(), Broken> {
        let mut known = self.members.iter();
        for rollout in state.rollouts() {
            for (key, member) in rollout.members.iter() {
                ensure(known.next() == Some((&(rollout.id, key), member)), || {
                    let id = rollout.id.0;
                    format!(
                        "robot {} in rollout {id} has changed but was not named as touched: {member:?}",
                        key.0
                    )
                })?;
            }
        }
        ensure(known.next().is_none(), || "a member is gone".to_owned())?;
        clock::nothing_is_late(state, now)?;
        self.patience.nobody_is_late(state, now)?;
        self.naive.nobody_is_left_out(state, now)?;
        self.gates.everything(state, now)?;
        standing::everything(state, now, &mut self.promises)
    }

    fn member(
        &mut self,
        state: &State,
        input: &Input,
        before: &Runs,
        (id, key): (RolloutId, RobotKey),
    ) -> Result<(), Broken> {
        let member = state
            .rollout(id)
            .and_then(|rollout| rollout.members.get(&key));
        let Some(member) = member else {
            return Err(Broken(format!(
                "member {} of rollout {} is gone",
                key.0, id.0
            )));
        };
        let old = self.members.insert((id, key), member.clone());
        let came = member.skipped.is_none() && old.as_ref().is_none_or(|old| old.skipped.is_some());
        if let Some(run) = before.get(&id).filter(|_| came) {
            self.joined.push((id, key, *run));
        }
        let offline = |member: &Member| member.targets.iter().any(|t| is_offline(t.state));
        if offline(member) && !old.as_ref().is_some_and(offline) {
            let rollout = state.rollout(id).expect("it has this member");
            self.patience.failed(state, rollout, key, old.as_ref())?;
        }
        for (index, target) in member.targets.iter().enumerate() {
            let old = old.as_ref().and_then(|old| old.targets.get(index));
            self.moved(state, input, (id, key), old, target)?;
        }
        standing::member(state, id, key, &mut self.promises)
    }

    /// Requirements 6.2: only forward, and a final state never changes.
    fn moved(
        &mut self,
        state: &State,
        input: &Input,
        (id, key): (RolloutId, RobotKey),
        old: Option<&Target>,
        new: &Target,
    ) -> Result<(), Broken> {
        let place = (id, key, new.ecu);
        let Some(old) = old else {
            return ensure(
                new.state == TargetState::Pending || new.state.is_final() || new.attempt == 1,
                || format!("{place:?} begins as {new:?}"),
            );
        };
        let is_active = |target: &Target| standing::is_active(target);
        let again = is_active(old) && (new.attempt > old.attempt || !is_active(new));
        let end = match (again, new.state) {
            // To wait again, and to be given up in the same moment because the robot is gone.
            (true, offline) if is_offline(offline) => {
                Some(self.waits_again(state, place, old, new)?)
            }
            // The same, where a newer rollout has the ECU meanwhile (X20).
            (true, TargetState::Superseded { .. }) => {
                Some(self.waits_again(state, place, old, new)?)
            }
            (true, TargetState::Pending | TargetState::Requested) => {
                Some(self.waits_again(state, place, old, new)?)
            }
            _ => None,
        };
        let forward = match (advance(&old.state), advance(&new.state)) {
            (None, _) => old.state == new.state,
            (Some(_), None) => true,
            (Some(from), Some(to)) => from <= to || end.is_some(),
        };
        ensure(forward && old.attempt <= new.attempt, || {
            format!(
                "6.2: {place:?} went from {:?} to {:?} by {input:?}",
                old.state, new.state
            )
        })?;
        if old.state == new.state && end.is_none() {
            return Ok(());
        }
        if let Some(end) = end {
            self.patience(state, place, old, end)?;
        }
        self.tally.reached(&new.state);
        let now = state.now().0;
        if matches!(old.state, TargetState::Pending | TargetState::Requested)
            && !new.state.is_final()
        {
            self.taken.insert(place, now);
        }
        let is_applied =
            |state: &TargetState| matches!(state, TargetState::Applied | TargetState::Verifying);
        if is_applied(&new.state) && !is_applied(&old.state) {
            self.applied.insert(place, now);
        }
        self.patience(state, place, old, new.state)
    }

    /// A target may go back for another attempt when its class of failure has a retry left, or when it was recalled.
    /// Says how the attempt ended.
    fn waits_again(
        &mut self,
        state: &State,
        place: (RolloutId, RobotKey, u8),
        old: &Target,
        new: &Target,
    ) -> Result<TargetState, Broken> {
        let now = state.now().0;
        let goal = old.cancelling.as_ref().map(|cancelling| cancelling.goal);
        let known = old.retry.as_ref().map(|retry| (retry.used, retry.at));
        let retry = new
            .retry
            .as_ref()
            .filter(|retry| known != Some((retry.used, retry.at)));
        let robot = state.robot(place.1);
        let ecu = robot.map(|robot| &robot.ecus[usize::from(place.2)].name);
        let operation =
            ecu.map(|ecu| rollcall_engine::operation_id(place.0, place.1, ecu, old.attempt));
        let (end, word) = match retry {
            Some(retry) => {
                let class = retry.failure.class();
                let rollout = state.rollout(place.0);
                let rule = class.and_then(|class| {
                    rollout?
                        .mechanism
                        .retries
                        .iter()
                        .find(|rule| rule.class == class)
                });
                let (Some(class), Some(rule)) = (class, rule) else {
                    return Err(Broken(format!(
                        "{place:?} is tried again without a rule: {new:?}"
                    )));
                };
                // After a start the count begins anew: what it was is in the row, which is looked at elsewhere.
                let times = self.retried.entry((place, class)).or_default();
                *times += 1;
                let used = retry.used[class as usize];
                let wait = rule.backoff.saturating_mul(1 << (used.max(1) - 1));
                let at = now + wait.min(rule.max_backoff);
                ensure(
                    *times <= rule.times && used <= rule.times && retry.at.0 == at,
                    || {
                        format!(
                            "retries: {place:?} waits until {at} by {rule:?}, not so: {retry:?}"
                        )
                    },
                )?;
                let reason = retry.failure;
                (TargetState::Failed { reason }, "retry")
            }
            None => {
                ensure(goal == Some(CancelGoal::Recall), || {
                    format!("6.2: {place:?} waits again for no reason: {old:?} became {new:?}")
                })?;
                let reason = CancelReason::ByOperator;
                (TargetState::Cancelled { reason }, "recall")
            }
        };
        self.tally.saw(word, &"");
        if let Some(asked) = operation.and_then(|operation| self.asked.get_mut(&operation)) {
            asked.over = Some(end);
            self.over.extend(operation);
        }
        Ok(end)
    }

    /// Design 5.1, time: nobody is given up before the spans of the mechanism have passed while the server was up.
    fn patience(
        &self,
        state: &State,
        place: (RolloutId, RobotKey, u8),
        old: &Target,
        new: TargetState,
    ) -> Result<(), Broken> {
        let now = state.now().0;
        let Some(rollout) = state.rollout(place.0) else {
            return Ok(());
        };
        // It waited for a retry that never came: the failure stands, which was judged when it began to wait.
        let stands = old.retry.as_ref().is_some_and(|retry| {
            let reason = retry.failure;
            new == TargetState::Failed { reason }
        });
        if stands && old.state == TargetState::Pending {
            return Ok(());
        }
        let mechanism = &rollout.mechanism;
        let (since, span) = match new {
            TargetState::Failed {
                reason: FailureReason::RequestTimeout,
            } => (
                Some(old.since.0),
                mechanism.request_timeout * (u64::from(mechanism.request_resends) + 1),
            ),
            TargetState::Failed {
                reason: FailureReason::InProgressTimeout,
            } => (
                self.taken.get(&place).copied(),
                mechanism.in_progress_timeout,
            ),
            TargetState::Failed {
                reason: FailureReason::NotConfirmed,
            } => (self.applied.get(&place).copied(), mechanism.confirm_timeout),
            TargetState::Expired => {
                let launched = match rollout.status {
                    RolloutStatus::Launched { launched, .. }
                    | RolloutStatus::Completed { launched, .. } => launched,
                    RolloutStatus::Prepared => {
                        return Err(Broken(format!("{place:?} expired before the launch")));
                    }
                };
                let end = mechanism.schedule.end;
                if end.is_some_and(|end| end.0 <= now) {
                    return Ok(());
                }
                // What an operator says later counts from the launch by the clock.
                let said = self
                    .gates
                    .deadline_said(place.0)
                    .map(|at| at.max(launched.0));
                let before = said.map_or(0, |at| self.downtime(launched.0, at));
                (Some(launched.0), mechanism.deadline.saturating_sub(before))
            }
            _ => return Ok(()),
        };
        let Some(since) = since else {
            return Err(Broken(format!("{place:?} became {new:?} out of nothing")));
        };
        let waited = self.uptime(since, now);
        ensure(waited >= span, || {
            format!(
                "X3 5.1: {place:?} was given up as {new:?} after {waited} ms of uptime, {span} were promised"
            )
        })
    }

    fn uptime(&self, from: u64, to: u64) -> u64 {
        to - from - self.downtime(from, to)
    }

    fn downtime(&self, from: u64, to: u64) -> u64 {
        let overlap = |(down, up): &(u64, u64)| (*up).min(to).saturating_sub((*down).max(from));
        self.downtimes.iter().map(overlap).sum()
    }

    /// A8, A9, A10, A16: what may be sent at all.
    fn effect(
        &mut self,
        state: &State,
        cause: (&Input, &Runs),
        effect: &Effect,
    ) -> Result<(), Broken> {
        let Effect::Request(request) = effect else {
            return Ok(());
        };
        match request.kind {
            RequestKind::Update => self.update(state, cause, request),
            RequestKind::Cancel => {
                self.tally.cancels += 1;
                ensure(self.asked.contains_key(&request.operation), || {
                    format!("a Cancel of an operation that was never asked for: {request:?}")
                })
            }
        }
    }

    fn update(
        &mut self,
        state: &State,
        (input, before): (&Input, &Runs),
        request: &Request,
    ) -> Result<(), Broken> {
        self.tally.requests += 1;
        let broken = |what: &str| Err(Broken(format!("{what}: {request:?}")));
        let Some(robot) = state.robot(request.robot) else {
            return broken("request to nobody");
        };
        let Some((rollout, target)) = state.active_target(robot) else {
            return broken("6.2: request for an operation that is not under way");
        };
        let ecu = &robot.ecus[usize::from(target.ecu)];
        let current =
            rollcall_engine::operation_id(rollout.id, robot.key, &ecu.name, target.attempt);
        if current != request.operation
            || target.state != TargetState::Requested
            || ecu.name != request.ecu
        {
            return broken("6.2: resend after an event, or of a finished operation");
        }
        if !rollout.is_launched() || rollout.members[&robot.key].skipped.is_some() {
            return broken(
                "A9 A16: request of a rollout that is not running, or to a skipped robot",
            );
        }
        if robot.removed.is_some()
            || !robot.ready()
            || robot.link.connection != Some(request.connection)
        {
            return broken("design 4: request to a robot that cannot hear it");
        }
        // What the same input has begun and given up again never leaves.
        let called_off = target.cancelling.is_some();
        if called_off && (self.asked.contains_key(&request.operation) || state.is_wanted(request)) {
            return broken("5.1: an Update whose Cancel is wanted");
        }
        if !is_its_turn(rollout, robot, target) {
            return broken("5.1: secondaries by name, the primary last");
        }
        let Some(image) = state
            .image(request.image)
            .filter(|image| image.key == target.image)
        else {
            return broken("request for another image than the target's");
        };
        let mapped = rollout.images.get(&ecu.hardware_id) == Some(&image.key);
        if !mapped
            || !image.hardware_ids.contains(&ecu.hardware_id)
            || robot.hold(target.ecu.into()).is_some()
        {
            return broken("A10: incompatible dispatch");
        }
        if !may_follow(rollout, image, robot, ecu) {
            return broken("E15 E17: the versions forbid it");
        }
        let is_new = !self.asked.contains_key(&request.operation);
        clock::may_send(rollout, robot, state.now().0, is_new)?;
        if is_new {
            self.fresh.push(request.operation);
            let run = before.get(&rollout.id).copied();
            self.gates.told(run, state, input, request, rollout)?;
        }
        let asked = self
            .asked
            .entry(request.operation)
            .or_insert_with(|| Asked {
                rollout: rollout.id,
                robot: robot.key,
                ecu: ecu.name.clone(),
                attempt: request.attempt,
                image: image.clone(),
                first: state.now().0,
                over: None,
            });
        let same =
            asked.image == *image && asked.attempt == request.attempt && asked.ecu == ecu.name;
        if same && asked.robot == robot.key && asked.rollout == rollout.id {
            return Ok(());
        }
        broken("E19: an operation changed between two sends")
    }
}

fn all_members(state: &State) -> BTreeMap<(RolloutId, RobotKey), Member> {
    let members = |rollout: &Rollout| {
        let id = rollout.id;
        rollout
            .members
            .iter()
            .map(move |(key, member)| ((id, key), member.clone()))
            .collect::<Vec<_>>()
    };
    state.rollouts().flat_map(members).collect()
}

/// Design 5.1: everything before it is done. What is held may be left out, and come later than its turn.
fn is_its_turn(rollout: &Rollout, robot: &Robot, target: &Target) -> bool {
    let before = rollout.members[&robot.key].targets.iter();
    let mut before = before.take_while(|other| other.ecu != target.ecu);
    let held = |other: &Target| robot.hold(other.ecu.into()).is_some();
    before.all(|other| other.ecu < target.ecu && (other.state.is_final() || held(other)))
}

/// Whether the server gave the operation up for reasons of its own, so that the robot may still be at it.
pub(super) const fn is_given_up(state: &TargetState) -> bool {
    match state {
        TargetState::Expired | TargetState::RolledBack => true,
        TargetState::Failed { reason } => matches!(
            reason,
            FailureReason::RequestTimeout
                | FailureReason::InProgressTimeout
                | FailureReason::NotConfirmed
                | FailureReason::Interrupted
        ),
        TargetState::Cancelled { reason } => {
            use rollcall_engine::CancelReason as By;
            matches!(
                reason,
                By::RobotRemoved | By::ByOperator | By::RolloutCancelled | By::RolloutAborted
            )
        }
        TargetState::Succeeded {
            how: SuccessKind::Installed | SuccessKind::AlreadyCurrent,
        }
        | TargetState::Skipped { .. }
        | TargetState::Superseded { .. }
        | TargetState::Pending
        | TargetState::Requested
        | TargetState::Acknowledged
        | TargetState::Downloading { .. }
        | TargetState::Downloaded
        | TargetState::Installing { .. }
        | TargetState::Applied
        | TargetState::Verifying => false,
    }
}

/// E17 and device-contract 4.6, said once more: three numbers, and nothing that this world's images do not have.
fn may_follow(rollout: &Rollout, image: &Image, robot: &Robot, ecu: &Ecu) -> bool {
    let runs = ecu.reported.as_ref().expect("E15: it has reported");
    let numbers = |version: &str| -> Option<Vec<u32>> {
        // The pre-releases of this world are those of 0.0.0, which is below everything.
        let core = version.split(['+', '-']).next()?;
        core.split('.').map(|number| number.parse().ok()).collect()
    };
    let (Some(wanted), Some(found)) = (
        numbers(image.reference.version.as_str()),
        numbers(&runs.version),
    ) else {
        return rollout.mechanism.force_downgrade == ForceDowngrade::All;
    };
    // What an Edgehog device calls its image is its maker's business.
    let names = robot.protocol != Some(Protocol::Edgehog) && !runs.name.is_empty();
    let other_image = names && runs.name != image.reference.name.as_str();
    let ordered = other_image || wanted >= found;
    let met = image.from_version.is_none() || (!other_image && found >= vec![2, 0, 0]);
    match rollout.mechanism.force_downgrade {
        ForceDowngrade::No => ordered && met,
        ForceDowngrade::All => true,
        ForceDowngrade::WithinRequirement => met,
    }
}
