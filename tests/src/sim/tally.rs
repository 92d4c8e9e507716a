//! How much of everything a simulation saw, so that a run cannot pass by never meeting what it is for.

use rollcall_engine::TargetState;
use std::collections::BTreeMap;

/// Counts over one simulation or many.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Inputs applied by the engine.
    pub inputs: u64,
    /// Updates that the engine wanted sent, resends included.
    pub requests: u64,
    /// Cancels that the engine wanted sent.
    pub cancels: u64,
    /// Properties that devices were seen to have as the server sets them.
    pub properties: u64,
    /// Starts of the server after a death.
    pub starts: u64,
    /// Deaths of the server by their moment.
    pub deaths: BTreeMap<&'static str, u64>,
    /// Losses of power under the real store.
    pub power_losses: u64,
    /// Batches that were there although their commit did not return.
    pub in_flight_kept: u64,
    /// Batches whose commit did not return, and that were not there.
    pub in_flight_lost: u64,
    /// OTAEvents that were acknowledged to robots, and were in the history after every loss of power.
    pub acknowledged: u64,
    /// Operations that robots really installed.
    pub installed: u64,
    /// Robots at work on something that the server had given up, greatest number at one moment.
    pub excess: u64,
    /// Updates to a robot that was still at work on something that the server had given up.
    pub given_up_and_busy: u64,
    /// Rollouts that were launched.
    pub rollouts: u64,
    /// Refusals by their code.
    pub refusals: BTreeMap<&'static str, u64>,
    /// What rollouts did, and waits that were looked at.
    pub seen: BTreeMap<String, u64>,
    /// How often a target came to a state, by the state's name.
    pub states: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn refused(&mut self, code: &'static str) {
        *self.refusals.entry(code).or_default() += 1;
    }

    pub(super) fn died(&mut self, moment: &'static str) {
        *self.deaths.entry(moment).or_default() += 1;
    }

    pub(super) fn in_flight(&mut self, kept: bool) {
        match kept {
            true => self.in_flight_kept += 1,
            false => self.in_flight_lost += 1,
        }
    }

    pub(super) fn saw(&mut self, what: &str, which: &impl std::fmt::Debug) {
        let which = format!("{which:?}");
        let which = which.split([' ', '{', '"']).next().unwrap_or_default();
        let what = format!("{what} {which}").trim_end().to_owned();
        *self.seen.entry(what).or_default() += 1;
    }

    pub(super) fn reached(&mut self, state: &TargetState) {
        let name = match state {
            TargetState::Failed { reason } => format!("Failed {reason:?}"),
            TargetState::Cancelled { reason } => format!("Cancelled {reason:?}"),
            TargetState::Succeeded { how } => format!("Succeeded {how:?}"),
            other => format!("{other:?}")
                .split([' ', '{'])
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        *self.states.entry(name).or_default() += 1;
    }

    /// Adds the counts of another simulation.
    pub fn add(&mut self, other: &Self) {
        self.inputs += other.inputs;
        self.requests += other.requests;
        self.cancels += other.cancels;
        self.properties += other.properties;
        self.starts += other.starts;
        self.power_losses += other.power_losses;
        self.in_flight_kept += other.in_flight_kept;
        self.in_flight_lost += other.in_flight_lost;
        self.acknowledged += other.acknowledged;
        self.installed += other.installed;
        self.excess = self.excess.max(other.excess);
        self.given_up_and_busy += other.given_up_and_busy;
        self.rollouts += other.rollouts;
        for (code, count) in &other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        for (moment, count) in &other.deaths {
            *self.deaths.entry(moment).or_default() += count;
        }
        for (what, count) in &other.seen {
            *self.seen.entry(what.clone()).or_default() += count;
        }
        for (state, count) in &other.states {
            *self.states.entry(state.clone()).or_default() += count;
        }
    }
}
