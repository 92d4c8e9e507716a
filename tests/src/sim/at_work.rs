//! Who works for which rollout, kept from one input to the next: a recount of a large fleet after every input would take
//! longer than everything else.

use super::gates::is_at_work;
use rollcall_engine::{RobotKey, RolloutId, Row, State};
use std::collections::{BTreeMap, BTreeSet};

/// Robots that were told of something and are not done with it.
#[derive(Debug, Default)]
pub(super) struct AtWork(BTreeMap<RolloutId, BTreeSet<RobotKey>>);

impl AtWork {
    /// Everybody, by one look at everything.
    pub(super) fn of(state: &State) -> Self {
        let mut all = Self::default();
        for rollout in state.rollouts() {
            let members = rollout.members.iter();
            let at_work = members.filter(|(_, member)| is_at_work(member));
            all.0
                .insert(rollout.id, at_work.map(|(key, _)| key).collect());
        }
        all
    }

    /// Looks at whom an input has touched.
    pub(super) fn look(&mut self, state: &State, touched: &[Row]) {
        for row in touched {
            let Row::Member(id, key) = row else { continue };
            let member = state.rollout(*id).and_then(|r| r.members.get(key));
            let robots = self.0.entry(*id).or_default();
            if member.is_some_and(is_at_work) {
                robots.insert(*key);
            } else {
                robots.remove(key);
            }
        }
    }

    /// How many robots work for the rollout.
    pub(super) fn count(&self, id: RolloutId) -> u32 {
        let robots = self.0.get(&id).map_or(0, BTreeSet::len);
        u32::try_from(robots).unwrap_or(u32::MAX)
    }
}
