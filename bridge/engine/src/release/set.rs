//! Which robots a release reaches: a pool in the order of a salted hash, and its front (X9).

use super::{Release, Salt, Sampling, Share};
use crate::inventory::{Robot, RobotKey};
use crate::rank::rank;
use crate::rollout::RolloutId;
use crate::state::State;
use std::collections::BTreeSet;

impl Salt {
    /// Puts robots into the order of choice. Equal ranks are as good as impossible; registration decides then.
    pub(super) fn order<'r>(self, robots: impl Iterator<Item = &'r Robot>) -> Vec<RobotKey> {
        let mut ranked: Vec<_> = robots.map(|robot| (self.rank(robot), robot.key)).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, key)| key).collect()
    }

    fn rank(self, robot: &Robot) -> u64 {
        rank(&self.0, &robot.id)
    }
}

impl State {
    /// How many of `pool`, which is in the order of choice, the share reaches.
    pub(super) fn reach(
        &self,
        pool: &[RobotKey],
        share: Share,
        salt: Salt,
        sampling: Sampling,
    ) -> usize {
        match sampling {
            Sampling::Exact => share.count(pool.len()),
            Sampling::Bernoulli => pool.partition_point(|key| {
                let robot = self.robots.get(key);
                robot.is_some_and(|robot| share.takes(salt.rank(robot)))
            }),
        }
    }

    /// The release's robots in the order of choice: the front of its pool, and those that came later.
    pub(super) fn set_of(&self, release: &Release) -> Vec<RobotKey> {
        let front: Vec<_> = release.front().to_vec();
        if release.sampling == Sampling::Exact {
            return front;
        }
        let mut set: BTreeSet<_> = front.into_iter().collect();
        for rollout in release.rollouts().filter_map(|id| self.rollouts.get(&id)) {
            let told = rollout.members.iter();
            let told = told.filter(|(_, member)| member.skipped.is_none());
            set.extend(told.map(|(key, _)| key));
        }
        let robots = set.iter().filter_map(|key| self.robots.get(key));
        release.salt.order(robots)
    }

    /// Whether a robot that came after the release belongs to it, to be told by the rollout `id`.
    pub(crate) fn joins_release(&self, release: &Release, id: RolloutId, robot: &Robot) -> bool {
        let newest = release.rollouts().last() == Some(id);
        let chosen = release.percentage().takes(release.salt.rank(robot));
        newest
            && chosen
            && self.in_channel(release.channel, robot)
            && !self.has_been_told(release, robot)
    }

    /// The smallest share that reaches the robot at this place of the pool; `None` when no share does.
    #[must_use]
    pub fn share_that_takes(
        &self,
        release: &Release,
        place: usize,
        robot: &Robot,
    ) -> Option<Share> {
        let mut shares = (1..=100).filter_map(|percent| Share::new(percent).ok());
        shares.find(|share| match release.sampling {
            Sampling::Exact => place < share.count(release.pool.len()),
            Sampling::Bernoulli => share.takes(release.salt.rank(robot)),
        })
    }

    fn has_been_told(&self, release: &Release, robot: &Robot) -> bool {
        let mut rollouts = release.rollouts().filter_map(|id| self.rollouts.get(&id));
        rollouts.any(|rollout| {
            let member = rollout.members.get(&robot.key);
            member.is_some_and(|member| member.skipped.is_none())
        })
    }
}

impl Release {
    /// The part of its pool that it reaches.
    #[must_use]
    pub fn front(&self) -> &[RobotKey] {
        let reach = usize::try_from(self.reach()).unwrap_or(usize::MAX);
        &self.pool[..reach.min(self.pool.len())]
    }
}
