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
            let members = rollout.members.iter();
            let members = members.filter(|(_, member)| member.skipped.is_none());
            set.extend(members.map(|(key, _)| key));
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
            && self.brings(release, robot).is_none()
    }

    /// The smallest share that reaches the robot; `None` when no share does.
    #[must_use]
    pub fn share_that_takes(&self, release: &Release, robot: &Robot) -> Option<Share> {
        let place = release.pool.iter().position(|key| *key == robot.key);
        let mut shares = (1..=100).filter_map(|percent| Share::new(percent).ok());
        shares.find(|share| match (release.sampling, place) {
            (Sampling::Exact, Some(place)) => place < share.count(release.pool.len()),
            (Sampling::Exact, None) => false,
            (Sampling::Bernoulli, _) => share.takes(release.salt.rank(robot)),
        })
    }

    /// The rollout that brings the release to the robot, if it goes to it.
    #[must_use]
    pub fn brings(&self, release: &Release, robot: &Robot) -> Option<RolloutId> {
        let has = |id: &RolloutId| {
            let member = self.rollouts.get(id)?.members.get(&robot.key)?;
            Some(member.skipped.is_none())
        };
        release.rollouts().filter(|id| has(id) == Some(true)).last()
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
