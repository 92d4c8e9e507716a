//! Helpers for stories about releases: publish, stop, resume, raise, and who is in the set.

use super::*;

pub const SALT: Salt = Salt(*b"sixteen bytes of");

pub fn share(percent: u64) -> Share {
    Share::new(percent).unwrap()
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

/// `os@2` for `hw` to `percent` of channel `production`.
pub fn release(percent: u64) -> ReleaseSpec {
    ReleaseSpec {
        channel: channel("production"),
        what: Released::Image("os@2".parse().unwrap()),
        percentage: Some(share(percent)),
        set: None,
        sampling: Sampling::Exact,
        salt: SALT,
        mechanism: Mechanism::default(),
    }
}

/// The same set as before, with `image`.
pub fn same_set(image: &str) -> ReleaseSpec {
    ReleaseSpec {
        what: Released::Image(image.parse().unwrap()),
        percentage: None,
        set: Some(ReleaseSet::Same),
        ..release(1)
    }
}

/// A new set, drawn with another salt.
pub fn new_set(percent: u64, away_from_former: bool) -> ReleaseSpec {
    ReleaseSpec {
        set: Some(ReleaseSet::New { away_from_former }),
        salt: Salt(*b"another sixteen!"),
        ..release(percent)
    }
}

/// A server with `count` robots on `hw` that are online, and the images `os@2` and `os@3` for it.
pub fn released_to(count: usize) -> (Fleet, Vec<RobotKey>) {
    let mut fleet = Fleet::default();
    fleet.start();
    let robots = fleet.robots(count);
    robots.iter().for_each(|robot| fleet.online(*robot));
    fleet.image("os@2", &["hw"]);
    fleet.image("os@3", &["hw"]);
    (fleet, robots)
}

impl Fleet {
    /// The server starts, or starts again.
    pub fn start(&mut self) {
        let down_since = Timestamp(self.now);
        let base = None;
        self.apply(Input::Started { down_since, base }).unwrap();
    }

    pub fn publish(&mut self, spec: ReleaseSpec) -> Result<ReleaseId, Refusal> {
        let reply = self.command(Command::PublishRelease(Box::new(spec)));
        reply.map(|reply| match reply {
            Reply::Release(id) => id,
            other => panic!("{other:?}"),
        })
    }

    pub fn stop_release(&mut self, release: ReleaseId) -> Result<Reply, Refusal> {
        self.command(Command::StopRelease { release })
    }

    pub fn resume_release(&mut self, release: ReleaseId) -> Result<Reply, Refusal> {
        self.command(Command::ResumeRelease { release })
    }

    pub fn raise(&mut self, release: ReleaseId, percent: u64) -> Result<Reply, Refusal> {
        self.command(Command::RaiseRelease {
            release,
            percentage: share(percent),
        })
    }

    pub fn released(&self, id: ReleaseId) -> &Release {
        self.state.release(id).unwrap()
    }

    /// The robots that the release's rollouts have, whatever became of them.
    pub fn set(&self, id: ReleaseId) -> BTreeSet<RobotKey> {
        let rollouts = self.released(id).rollouts();
        let rollouts = rollouts.map(|rollout| self.state.rollout(rollout).unwrap());
        rollouts
            .flat_map(|rollout| rollout.members.keys())
            .collect()
    }

    pub fn rollouts_of(&self, id: ReleaseId) -> Vec<RolloutId> {
        self.released(id).rollouts().collect()
    }

    /// Plays the update of everybody who was told since the last look.
    pub fn install_all(&mut self) -> BTreeSet<RobotKey> {
        let mut done = BTreeSet::new();
        loop {
            let requests = self.requests();
            if requests.is_empty() {
                return done;
            }
            for (robot, ecu, operation) in requests {
                self.install(robot, &ecu, operation);
                done.insert(robot);
            }
        }
    }
}
