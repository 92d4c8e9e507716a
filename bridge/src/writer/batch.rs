//! One batch: what its inputs will need when they are durable.

use super::run::{Retention, Writer};
use super::{Chains, CommandError, Control, View, trail};
use crate::device::{self, Message, Rejected};
use crate::history::{Entry, Record};
use crate::records;
use crate::registry::{self, PROVISIONAL, key};
use crate::store::{Batch, HistoryEntry, Store};
use rollcall_broker::{Event, QoS, ReasonCode, Ticket, Unstored, Verdict};
use rollcall_engine::{
    Actor, Command, Effect, Input, LinkEvent, Outcome, Refusal, Reply, Report, RobotKey, RolloutId,
    Row, State, Timer, Timestamp, TokenKey,
};
use rollcall_proto::edgehog;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a connection is told whose credentials are void.
const SHUT_OUT: &str = "the robot's credentials were inhibited or replaced; ask for new ones";

/// Something to do with the durable state after the commit.
pub(super) type Answer = Box<dyn FnOnce(&View<'_>) + Send>;

/// What one commit will make durable, and what is to be done then.
#[derive(Default)]
pub(super) struct Pending {
    /// Inputs looked at, refused ones included: what bounds a batch.
    pub(super) inputs: usize,
    /// OTAEvents among the recorded inputs.
    pub(super) events: usize,
    /// OTARequests among the effects.
    pub(super) requests: usize,
    pub(super) history: Vec<HistoryEntry>,
    rows: BTreeSet<Row>,
    /// Robots of which connection tasks must hear.
    pub(super) robots: Vec<RobotKey>,
    /// Pairing tokens of which they must hear.
    pub(super) tokens: Vec<TokenKey>,
    pub(super) settlements: Vec<(Ticket, Verdict)>,
    pub(super) effects: Vec<Effect>,
    pub(super) answers: Vec<Answer>,
    /// What the broker wants to have stored.
    pub(super) sessions: Option<Unstored>,
}

impl Pending {
    /// Whether there is nothing to make durable.
    pub(super) fn is_empty(&self) -> bool {
        let sessions = self.sessions.as_ref();
        self.history.is_empty()
            && self.rows.is_empty()
            && sessions.is_none_or(|unstored| unstored.changes.is_empty())
    }

    /// The rollouts whose rows it holds.
    pub(super) fn rollouts(&self) -> impl Iterator<Item = RolloutId> {
        let all = Row::Rollout(RolloutId(0))..=Row::Rollout(RolloutId(u32::MAX));
        let rollout = |row: &Row| match row {
            Row::Rollout(id) => Some(*id),
            _ => None,
        };
        self.rows.range(all).filter_map(rollout)
    }

    /// The batch for the store.
    pub(super) fn batch(&mut self, state: &State, chains: &Chains) -> Batch {
        let sessions = self.sessions.iter_mut();
        let sessions = sessions.flat_map(|unstored| std::mem::take(&mut unstored.changes));
        let own = self.rows.iter();
        let own = own.filter_map(|row| records::change(state, chains, row));
        Batch {
            at_ms: state.now().0,
            history: std::mem::take(&mut self.history),
            rows: own.chain(sessions.map(records::mqtt::change)).collect(),
            counters: records::encode_counters(state.counters()),
        }
    }
}

impl<S: Store + Retention> Writer<S> {
    /// Takes in what robots do.
    pub(super) fn take_event(&mut self, event: Event, pending: &mut Pending) {
        pending.inputs += 1;
        match event {
            Event::Connected {
                connection, tag, ..
            } => {
                self.take_link(
                    tag,
                    LinkEvent::Connected {
                        connection: connection.0,
                    },
                    pending,
                );
            }
            Event::Disconnected {
                connection, tag, ..
            } => {
                self.telemetry.remove(&self.newcomers.robot(tag));
                self.take_link(
                    tag,
                    LinkEvent::Disconnected {
                        connection: connection.0,
                    },
                    pending,
                );
            }
            Event::Subscribed {
                connection,
                tag,
                filter,
                ..
            } => {
                if is_request_filter(&filter) {
                    self.take_link(
                        tag,
                        LinkEvent::Subscribed {
                            connection: connection.0,
                        },
                        pending,
                    );
                }
            }
            Event::Unsubscribed {
                connection,
                tag,
                filter,
            } => {
                if is_request_filter(&filter) {
                    self.take_link(
                        tag,
                        LinkEvent::Unsubscribed {
                            connection: connection.0,
                        },
                        pending,
                    );
                }
            }
            Event::Publish {
                ticket,
                tag,
                topic,
                payload,
                qos,
                ..
            } => {
                let durable = qos != QoS::AtMostOnce;
                self.take_publish(ticket, tag, (&topic, &payload, durable), pending);
            }
        }
    }

    pub(super) fn take_link(&mut self, tag: u64, event: LinkEvent, pending: &mut Pending) {
        if tag & PROVISIONAL != 0 {
            return self.newcomer_link(tag, event, pending);
        }
        if self.admits(tag) {
            return self.take_link_of(key(tag), event, pending);
        }
        if let LinkEvent::Connected { connection } = event {
            let why = SHUT_OUT;
            pending.effects.push(Effect::Disconnect { connection, why });
        }
    }

    /// Whether a connection still is what it was let in as: the credentials may have been inhibited or replaced between
    /// its CONNECT and now, or while its messages waited.
    fn admits(&self, tag: u64) -> bool {
        self.state.robot(key(tag)).is_none_or(|robot| {
            robot.credentials.inhibited.is_none()
                && registry::tag(robot.key, &robot.credentials) == tag
        })
    }

    pub(super) fn take_link_of(
        &mut self,
        robot: RobotKey,
        event: LinkEvent,
        pending: &mut Pending,
    ) {
        let _robot = trail::robot(&self.state, robot);
        tracing::trace!(?event, "link");
        let outcome = self.apply(self.clock.now(), Input::Link { robot, event });
        let refused = self
            .record(Some(robot), Entry::Link(event), outcome, pending)
            .is_err();
        if let LinkEvent::Connected { connection } = event
            && refused
        {
            // The robot was removed between its CONNECT and now.
            let why = "the robot was removed from the fleet";
            pending.effects.push(Effect::Disconnect { connection, why });
        }
    }

    pub(super) fn take_publish(
        &mut self,
        ticket: Ticket,
        tag: u64,
        (topic, payload, durable): (&str, &[u8], bool),
        pending: &mut Pending,
    ) {
        if tag & PROVISIONAL != 0 {
            return self.newcomer_publish(ticket, tag, (topic, payload, durable), pending);
        }
        if !self.admits(tag) {
            let verdict = Verdict::Disconnect {
                code: ReasonCode::NotAuthorized,
                why: SHUT_OUT.into(),
            };
            return pending.settlements.push((ticket, verdict));
        }
        self.take_publish_of(key(tag), ticket, (topic, payload, durable), pending);
    }

    pub(super) fn take_publish_of(
        &mut self,
        robot: RobotKey,
        ticket: Ticket,
        (topic, payload, durable): (&str, &[u8], bool),
        pending: &mut Pending,
    ) {
        let _robot = trail::robot(&self.state, robot);
        tracing::trace!(topic, bytes = payload.len(), durable, "publish");
        let at = self.clock.now();
        let report = match device::read(self.state.robot(robot), topic, payload) {
            // Nothing depends on telemetry, so it costs neither history nor disk.
            Ok(Message::Report(Report::Value(value))) if !durable && !value.property => {
                if self.streams.keep(robot, at, (&value.path, payload)) {
                    return pending.settlements.push((ticket, Verdict::Accepted));
                }
                let refusal = Refusal::DeviceFull;
                let rejected = Rejected {
                    code: refusal.code(),
                    why: refusal.to_string(),
                    disconnect: false,
                };
                return self.refuse(robot, ticket, topic, rejected, pending);
            }
            Ok(Message::Report(report)) => report,
            Ok(Message::State(state)) => {
                self.telemetry.insert(robot, state);
                return pending.settlements.push((ticket, Verdict::Accepted));
            }
            Ok(Message::EmptyCache) => {
                let connection = ticket.connection();
                let answer = self.outbox.consumer_properties(robot, connection);
                pending.answers.push(answer);
                return pending.settlements.push((ticket, Verdict::Accepted));
            }
            Ok(Message::Unused) => return pending.settlements.push((ticket, Verdict::Accepted)),
            Err(rejected) => return self.refuse(robot, ticket, topic, rejected, pending),
        };
        let is_event = matches!(report, Report::Event(_));
        let outcome = self.apply(at, Input::Report { robot, report });
        let entry = Entry::Publish {
            topic: topic.to_owned(),
            payload: payload.to_vec().into(),
        };
        match self.record(Some(robot), entry, outcome, pending) {
            Ok(reply) => {
                pending.events += usize::from(is_event && reply == Reply::Done);
                match reply {
                    Reply::Duplicate => self.status.refuse("duplicate_event"),
                    Reply::Late => self.status.refuse("late_event"),
                    Reply::Done
                    | Reply::Stale
                    | Reply::Robot(_)
                    | Reply::Image(_)
                    | Reply::Rollout(_)
                    | Reply::Release(_) => {}
                }
                pending.settlements.push((ticket, Verdict::Accepted));
            }
            Err(refusal) => {
                // What can be read, and is of no use, harms nobody.
                let rejected = Rejected {
                    code: refusal.code(),
                    why: refusal.to_string(),
                    disconnect: false,
                };
                self.refuse(robot, ticket, topic, rejected, pending);
            }
        }
    }

    /// Answers a publish that says nothing usable.
    fn refuse(
        &mut self,
        robot: RobotKey,
        ticket: Ticket,
        topic: &str,
        Rejected {
            code,
            why,
            disconnect,
        }: Rejected,
        pending: &mut Pending,
    ) {
        tracing::debug!(robot = robot.0, topic, code, why, "refused a publish");
        self.status.refuse(code);
        self.refusals.insert(
            robot,
            super::LastRefusal {
                at: self.clock.now(),
                code,
                why: why.clone(),
            },
        );
        let why: Arc<str> = why.into();
        let verdict = if disconnect {
            Verdict::Disconnect {
                code: ReasonCode::PayloadFormatInvalid,
                why,
            }
        } else {
            Verdict::Refused {
                code: ReasonCode::PayloadFormatInvalid,
                why,
            }
        };
        pending.settlements.push((ticket, verdict));
    }

    /// Takes in what people ask. Returns whether the writer shall stop.
    pub(super) fn take_control(&mut self, item: Control, pending: &mut Pending) -> bool {
        pending.inputs += 1;
        match item {
            Control::Shutdown => return true,
            Control::Query(ask) => pending.answers.push(ask),
            Control::Command {
                by,
                command,
                answer,
            } => {
                let reply = match self.status.intake_stopped() {
                    Some(why) => Err(CommandError::IntakeStopped { why }),
                    None => self
                        .take_command(by, command, pending)
                        .map_err(CommandError::Refused),
                };
                // Whoever asked may have gone; the command holds all the same.
                pending
                    .answers
                    .push(Box::new(move |_| drop(answer.send(reply))));
            }
        }
        false
    }

    pub(super) fn take_command(
        &mut self,
        by: Actor,
        command: Command,
        pending: &mut Pending,
    ) -> Result<Reply, Refusal> {
        let removed = match &command {
            Command::RemoveRobot { robot } => self.state.robot_key(robot.as_str()),
            _ => None,
        };
        // The record of a manual update is to be found at its robot (E21).
        let by_hand = match &command {
            Command::ManualUpdate(wish) => self.state.robot_key(wish.robot.as_str()),
            _ => None,
        };
        let input = Input::Command {
            by: by.clone(),
            command: command.clone(),
        };
        let outcome = self.apply(self.clock.now(), input);
        let robot = match outcome.reply {
            Ok(Reply::Robot(key)) => Some(key),
            _ => removed.or(by_hand),
        };
        let reply = self.record(robot, Entry::Command { by, command }, outcome, pending);
        match (&reply, &removed) {
            (Err(refusal), _) => self.status.refuse(refusal.code()),
            (Ok(_), Some(robot)) => {
                self.telemetry.remove(robot);
                self.streams.forget(*robot);
                self.refusals.remove(robot);
            }
            (Ok(_), None) => {}
        }
        reply
    }

    pub(super) fn apply_timer(&mut self, at: Timestamp, timer: Timer, pending: &mut Pending) {
        pending.inputs += 1;
        let outcome = self.apply(at, Input::Due(timer));
        let robot = match timer {
            Timer::Robot(robot) => Some(robot),
            Timer::Rollout(_) => None,
        };
        // A timer is never refused.
        let _ = self.record(robot, Entry::Due(timer), outcome, pending);
    }

    /// Puts an applied input into the batch: its history record, its rows, its effects. What changed nothing is not
    /// recorded.
    pub(super) fn record(
        &mut self,
        robot: Option<RobotKey>,
        entry: Entry,
        outcome: Outcome,
        pending: &mut Pending,
    ) -> Result<Reply, Refusal> {
        let reply = outcome.reply?;
        trail::steps(&self.state, &outcome.touched);
        let is_request = |effect: &&Effect| matches!(effect, Effect::Request(_));
        pending.requests += outcome.effects.iter().filter(is_request).count();
        pending.effects.extend(outcome.effects);
        if matches!(reply, Reply::Duplicate | Reply::Stale) {
            return Ok(reply);
        }
        let seq = self.next_history;
        let rollouts: BTreeSet<_> = outcome
            .touched
            .iter()
            .filter_map(|row| {
                if let Row::Rollout(id) = row {
                    Some(*id)
                } else {
                    None
                }
            })
            .collect();
        let record = Record {
            seq,
            at: self.state.now(),
            engine: rollcall_engine::VERSION,
            robot: robot.map(|robot| (robot, self.chains.set_robot(robot, seq))),
            rollouts: rollouts
                .into_iter()
                .map(|id| (id, self.chains.set_rollout(id, seq)))
                .collect(),
            entry,
        };
        match record.encode() {
            Ok(bytes) => {
                pending.history.push(HistoryEntry { seq, bytes });
                self.next_history += 1;
            }
            // The types rule it out; losing the explanation is better than losing the effect.
            Err(error) => tracing::error!(%error, "history record has no JSON form"),
        }
        for row in outcome.touched {
            match row {
                Row::Robot(key) => pending.robots.push(key),
                Row::PairingToken(key) => pending.tokens.push(key),
                _ => {}
            }
            pending.rows.insert(row);
        }
        // The end of the chain is kept in the cursor's row.
        pending.rows.extend(robot.map(Row::Cursor));
        Ok(reply)
    }
}

/// Whether a subscription is to OTARequests, of either protocol.
fn is_request_filter(filter: &str) -> bool {
    let Some(interface) = filter.splitn(3, '/').nth(2) else {
        return false;
    };
    matches!(interface.split('/').next(), Some("#" | "+"))
        || interface.starts_with("rollcall.v1.OTARequest")
        || interface
            .strip_prefix(edgehog::INTERFACE_PREFIX)
            .is_some_and(|rest| rest.starts_with("OTARequest"))
}
