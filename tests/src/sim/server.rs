//! The server without its process: engine and batches here, commits, deaths and returns below.
//!
//! **Invariant**: what leaves (acknowledgements, requests, answers) leaves after the commit of the batch that led to
//! it, or not at all.

mod commits;
mod deaths;

use super::Broken;
use super::disk::RealDisk;
use super::rows::Rows;
use super::watch::Watch;
use rollcall::device;
use rollcall::history::{self, Entry};
use rollcall_engine::{
    Actor, Command, Effect, Input, LinkEvent, Outcome, Protocol, Refusal, Reply, Report, RobotKey,
    Rollout, RolloutId, RolloutStatus, Row, State, Timer, Timestamp,
};
use std::collections::{BTreeSet, HashSet, VecDeque};

/// Something that waits for the writer.
#[derive(Debug, Clone)]
pub(super) enum Incoming {
    Link {
        key: RobotKey,
        event: LinkEvent,
    },
    Publish {
        key: RobotKey,
        connection: u64,
        ticket: Option<u64>,
        topic: String,
        payload: Vec<u8>,
    },
    Command(Command),
}

/// What leaves after a commit.
#[derive(Debug, Clone)]
pub(super) enum Leaving {
    /// PUBACK or PUBCOMP. With the event, if it was one that counts as told.
    Settled {
        connection: u64,
        ticket: u64,
    },
    /// The publish was refused, and the protocol answers that with a disconnect.
    HangUp {
        connection: u64,
    },
    /// An Edgehog device asked for its server-owned properties.
    Properties {
        connection: u64,
        key: RobotKey,
    },
    Effect(Effect),
}

/// One line of the history as it is stored: an input that was taken, and when.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) reply: Reply,
}

impl Record {
    fn new(at: Timestamp, robot: Option<RobotKey>, entry: Entry, reply: Reply) -> Self {
        let record = history::Record {
            seq: 1,
            at,
            engine: rollcall_engine::VERSION,
            robot: robot.map(|robot| (robot, 0)),
            rollouts: Vec::new(),
            entry,
        };
        Self {
            bytes: record.encode().expect("every command has a JSON form"),
            reply,
        }
    }

    /// What was recorded, read back.
    pub(super) fn read(&self) -> (Timestamp, Input) {
        let record = history::Record::decode(1, self.bytes.clone().into());
        let record = record.expect("what was stored can be read");
        (record.at, record.input().expect("it was an input"))
    }
}

/// A batch on its way to the disk.
#[derive(Debug, Default)]
struct Batch {
    history: Vec<Record>,
    touched: BTreeSet<Row>,
    leaving: Vec<Leaving>,
    events: Vec<Publish>,
}

/// Topic and payload.
pub(super) type Publish = (String, Vec<u8>);

/// One server over all its lives.
#[derive(Debug)]
pub(super) struct Server {
    /// `None` while it is down.
    pub(super) state: Option<State>,
    /// What is durable. In worlds with a real disk: what must be on it.
    pub(super) rows: Rows,
    pub(super) disk: Option<RealDisk>,
    /// The power went while a batch was on its way.
    power_is_off: bool,
    pub(super) history: Vec<Record>,
    pub(super) queue: VecDeque<Incoming>,
    batch: Option<Batch>,
    /// OTAEvents in the durable history.
    durable: HashSet<Publish>,
    /// OTAEvents that were refused.
    refused: HashSet<Publish>,
    /// OTAEvents that are durable, as robots were told.
    acknowledged: HashSet<Publish>,
    /// Time that the engine was told to be lost, all starts together.
    pub(super) lost: u64,
    /// Rollouts were running at the last commit, so the time is made durable every few seconds.
    heartbeat: bool,
    /// What was on the disk after so many records, for the replay.
    pub(super) checkpoints: Vec<(usize, Rows)>,
    next_checkpoint: usize,
}

/// Records between two checkpoints, at least.
const CHECKPOINT: usize = 100;

impl Server {
    pub(super) fn new() -> Self {
        Self {
            state: Some(State::default()),
            rows: Rows::default(),
            disk: None,
            power_is_off: false,
            history: Vec::new(),
            queue: VecDeque::new(),
            batch: None,
            durable: HashSet::new(),
            refused: HashSet::new(),
            acknowledged: HashSet::new(),
            lost: 0,
            heartbeat: false,
            checkpoints: Vec::new(),
            next_checkpoint: CHECKPOINT,
        }
    }

    /// Whether a robot may be told that this event is settled: it is durable, or was refused. What it is told once
    /// must stay.
    pub(super) fn answers_for(&mut self, event: &Publish) -> bool {
        if self.durable.contains(event) {
            self.acknowledged.insert(event.clone());
            return true;
        }
        self.refused.contains(event)
    }

    pub(super) fn is_committing(&self) -> bool {
        self.batch.is_some()
    }

    /// When the engine's next timer comes due, if the writer can look at it.
    pub(super) fn next_timer(&self) -> Option<u64> {
        let state = self.state.as_ref().filter(|_| !self.is_committing())?;
        state.next_timer().map(|(at, _)| at.0)
    }

    /// One turn of the writer: everything that has queued up, then the timers that are due. The batch is on its way to
    /// the disk afterwards.
    pub(super) fn turn(&mut self, now: u64, watch: &mut Watch) -> Result<(), Broken> {
        self.beat(now)?;
        let mut batch = Batch::default();
        while let Some(incoming) = self.queue.pop_front() {
            self.take(now, incoming, &mut batch, watch)?;
        }
        let mut fired = 0;
        while let Some((_, timer)) = self
            .state
            .as_ref()
            .and_then(State::next_timer)
            .filter(|(at, _)| at.0 <= now)
        {
            // A few for each robot and each rollout: more of them at one instant go round in a circle.
            fired += 1;
            let most = self.state.as_ref().map_or(0, |state| {
                let counters = state.counters();
                20 * (counters.robots + counters.rollouts)
            });
            if fired > most {
                return Err(Broken(format!(
                    "livelock: {timer:?} fires for ever at {now}"
                )));
            }
            self.due(now, timer, &mut batch, watch)?;
        }
        if let Some(state) = &self.state {
            watch.after_turn(state, now)?;
        }
        self.batch = Some(batch);
        Ok(())
    }

    fn due(
        &mut self,
        now: u64,
        timer: Timer,
        batch: &mut Batch,
        watch: &mut Watch,
    ) -> Result<(), Broken> {
        // A start time that comes is a launch like any other.
        let prepared = match timer {
            Timer::Rollout(id) => self.rollout(id).filter(|r| !is_launched(r)),
            Timer::Robot(_) => None,
        };
        let launch = prepared.map(|rollout| Command::LaunchRollout {
            rollout: rollout.id,
            accept_drift: true,
        });
        if let Some(launch) = &launch {
            watch.before_command(self.state.as_ref(), launch);
        }
        let outcome = self.apply(now, Input::Due(timer), batch, watch)?;
        outcome.map_err(|refusal| Broken(format!("timer {timer:?} was refused: {refusal}")))?;
        if let (Some(launch), Timer::Rollout(id), Some(state)) = (launch, timer, &self.state)
            && state.rollout(id).is_some_and(is_launched)
        {
            watch.tally.saw("launched by the clock", &"");
            watch.naive.after(state, &launch, &Ok(Reply::Rollout(id)))?;
        }
        Ok(())
    }

    fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.state.as_ref()?.rollout(id)
    }

    fn take(
        &mut self,
        now: u64,
        incoming: Incoming,
        batch: &mut Batch,
        watch: &mut Watch,
    ) -> Result<(), Broken> {
        match incoming {
            Incoming::Link { key, event } => {
                let reply = self.apply(now, Input::Link { robot: key, event }, batch, watch)?;
                // The robot was removed while its connection waited in the queue.
                if let (Err(Refusal::RobotGone), LinkEvent::Connected { connection }) =
                    (reply, event)
                {
                    batch.leaving.push(Leaving::HangUp { connection });
                }
            }
            Incoming::Command(command) => {
                watch.before_command(self.state.as_ref(), &command);
                let input = Input::Command {
                    by: Actor("sim".to_owned()),
                    command: command.clone(),
                };
                let reply = self.apply(now, input.clone(), batch, watch)?;
                if let Some(state) = &self.state {
                    watch.naive.after(state, &command, &reply)?;
                    watch.after_joins(state, &input)?;
                }
            }
            Incoming::Publish {
                key,
                connection,
                ticket,
                topic,
                payload,
            } => {
                return self.take_publish(
                    now,
                    (key, connection, ticket),
                    (topic, payload),
                    batch,
                    watch,
                );
            }
        }
        Ok(())
    }

    fn take_publish(
        &mut self,
        now: u64,
        (key, connection, ticket): (RobotKey, u64, Option<u64>),
        publish: Publish,
        batch: &mut Batch,
        watch: &mut Watch,
    ) -> Result<(), Broken> {
        let settled = ticket.map(|ticket| Leaving::Settled { connection, ticket });
        let robot = self.state.as_ref().and_then(|state| state.robot(key));
        let message = match device::read(robot, &publish.0, &publish.1) {
            Ok(message) => message,
            // What it said last overtakes its removal, with which its introspection went. It is disconnected anyway.
            Err(_) if robot.is_none_or(|robot| robot.removed.is_some()) => {
                batch.leaving.push(Leaving::HangUp { connection });
                self.refused.insert(publish);
                return Ok(());
            }
            Err(error) => {
                return Err(Broken(format!("{} cannot be read: {error}", publish.0)));
            }
        };
        if message == device::Message::EmptyCache {
            batch.leaving.push(Leaving::Properties { connection, key });
        }
        // Telemetry of QoS 0 stays in the writer's memory.
        let Some(report) = message.report().filter(|report| {
            let telemetry = matches!(report, Report::Value(value) if !value.property);
            ticket.is_some() || !telemetry
        }) else {
            batch.leaving.extend(settled);
            return Ok(());
        };
        let is_event = matches!(report, Report::Event(_));
        let entry = Entry::Publish {
            topic: publish.0.clone(),
            payload: publish.1.clone().into(),
        };
        let input = Input::Report { robot: key, report };
        match self.apply_as(now, input, entry, batch, watch)? {
            Ok(reply) => {
                batch.leaving.extend(settled);
                let news = is_event && reply != Reply::Duplicate;
                batch.events.extend(Some(publish).filter(|_| news));
            }
            Err(_) => {
                let edgehog = publish.0.contains("io.edgehog") || self.speaks_edgehog(key);
                batch.leaving.extend(if edgehog {
                    Some(Leaving::HangUp { connection })
                } else {
                    settled
                });
                self.refused.insert(publish);
            }
        }
        Ok(())
    }

    fn speaks_edgehog(&self, key: RobotKey) -> bool {
        let robot = self.state.as_ref().and_then(|state| state.robot(key));
        robot.is_some_and(|robot| robot.protocol == Some(Protocol::Edgehog))
    }

    /// Applies what is recorded as it is.
    fn apply(
        &mut self,
        now: u64,
        input: Input,
        batch: &mut Batch,
        watch: &mut Watch,
    ) -> Result<Result<Reply, Refusal>, Broken> {
        let entry = match input.clone() {
            Input::Command { by, command } => Entry::Command { by, command },
            Input::Link { event, .. } => Entry::Link(event),
            Input::Due(timer) => Entry::Due(timer),
            Input::Started { down_since, base } => Entry::Started { down_since, base },
            Input::Report { .. } => {
                return Err(Broken("a report is recorded as it came".to_owned()));
            }
        };
        self.apply_as(now, input, entry, batch, watch)
    }

    /// Applies one input under the eyes of the watch, and puts what follows into the batch.
    fn apply_as(
        &mut self,
        now: u64,
        input: Input,
        entry: Entry,
        batch: &mut Batch,
        watch: &mut Watch,
    ) -> Result<Result<Reply, Refusal>, Broken> {
        let Some(state) = &mut self.state else {
            return Err(Broken("a dead server was given something".to_owned()));
        };
        let sample = watch.before_apply(state, &input);
        let Outcome {
            reply,
            touched,
            effects,
        } = state.apply(Timestamp(now), input.clone());
        watch.after_apply(state, &input, &reply, &touched, &effects, sample)?;
        if !matches!(input, Input::Command { .. }) {
            watch.after_joins(state, &input)?;
        }
        let Ok(answer) = reply else { return Ok(reply) };
        batch
            .leaving
            .extend(effects.into_iter().map(Leaving::Effect));
        if !matches!(answer, Reply::Duplicate | Reply::Stale) {
            batch.touched.extend(touched);
            let robot = match input {
                Input::Link { robot, .. }
                | Input::Report { robot, .. }
                | Input::Due(Timer::Robot(robot)) => Some(robot),
                Input::Command { .. } | Input::Due(_) | Input::Started { .. } => None,
            };
            let record = Record::new(state.now(), robot, entry, answer);
            batch.history.push(record);
        }
        Ok(reply)
    }
}

/// Events of Rollcall's own protocol are numbered, so each is one of a kind.
pub(super) fn is_native(event: &Publish) -> bool {
    event.0.contains("rollcall.v1")
}

/// It is, or was.
fn is_launched(rollout: &Rollout) -> bool {
    rollout.status != RolloutStatus::Prepared
}
