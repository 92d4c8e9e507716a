//! A world in virtual time: robots, a network with delay, and the miniature server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use device_sim::model::{
    Artifact, Downlink, FetchError, FetchId, ImageLabel, Input, Output, PublishId, RealOutcome,
    Robot, RobotConfig,
};
use device_sim::profile::Profile;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollcall_proto::topic::Base;

use super::{Belief, MiniServer, Offer, REALM};

/// Something on its way. Messages and acknowledgements belong to one connection and die with it.
#[derive(Debug, Clone)]
enum Event {
    Connected(usize),
    Up {
        robot: usize,
        id: PublishId,
        topic: String,
        payload: Vec<u8>,
        qos: u8,
    },
    Acknowledged {
        robot: usize,
        id: PublishId,
    },
    Down {
        robot: usize,
        topic: String,
        payload: Vec<u8>,
    },
    Fetched {
        robot: usize,
        fetch: FetchId,
    },
}

pub struct World {
    pub now: u64,
    pub robots: Vec<Robot>,
    pub server: MiniServer,
    /// Every fetch fails while this is set.
    pub artifact_missing: bool,
    connections: Vec<u64>,
    queue: BTreeMap<(u64, u64), (u64, Event)>,
    timers: BTreeSet<(u64, usize)>,
    sequence: u64,
    rng: ChaCha8Rng,
    pub published: Vec<String>,
}

pub fn offer() -> Offer {
    Offer {
        url: "http://127.0.0.1/artifact".to_owned(),
        size: 1_000_000,
        sha256: [7; 32],
    }
}

impl World {
    pub fn new(configs: Vec<RobotConfig>, profile: Profile, seed: u64) -> Self {
        let profile = Arc::new(profile);
        let robots: Vec<_> = configs
            .into_iter()
            .map(|config| Robot::new(config, profile.clone()))
            .collect();
        let mut world = Self {
            now: 0,
            connections: vec![0; robots.len()],
            robots,
            server: MiniServer::new(offer()),
            artifact_missing: false,
            queue: BTreeMap::new(),
            timers: BTreeSet::new(),
            sequence: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            published: Vec::new(),
        };
        for index in 0..world.robots.len() {
            world.arm(index);
        }
        world
    }

    /// Runs until the condition holds; fails when nothing is left to happen or time runs out.
    pub fn run_until(&mut self, what: &str, limit_ms: u64, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            assert!(self.step(), "{what}: nothing is left to happen");
            assert!(
                self.now <= limit_ms,
                "{what}: not within {limit_ms} ms of virtual time"
            );
        }
    }

    /// The server is done, and so are the robots.
    pub fn is_at_rest(&self) -> bool {
        self.server.is_done() && self.robots.iter().all(Robot::is_settled)
    }

    fn step(&mut self) -> bool {
        let timer = self.timers.first().map(|(at, _)| *at);
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = timer.into_iter().chain(event).min() else {
            return false;
        };
        self.now = self.now.max(at);
        if event == Some(at) {
            let (_, (connection, event)) = self.queue.pop_first().unwrap();
            self.deliver(connection, event);
        } else {
            let (_, robot) = *self.timers.first().unwrap();
            self.timers.retain(|(_, armed)| *armed != robot);
            self.robots[robot].handle_timeout(self.now);
            self.perform(robot);
        }
        true
    }

    fn deliver(&mut self, connection: u64, event: Event) {
        let current = |robot: usize| self.connections[robot] == connection;
        match event {
            Event::Connected(robot) if current(robot) => {
                self.input(
                    robot,
                    Input::Connected {
                        session_present: false,
                    },
                );
            }
            // What was sent before a cut may still arrive; its acknowledgement does not.
            Event::Up {
                robot,
                id,
                topic,
                payload,
                qos,
            } => {
                self.published.push(topic.clone());
                let alive = current(robot);
                for down in self.server.uplink(&topic, &payload) {
                    if alive {
                        let (topic, payload) = (down.topic, down.payload);
                        self.send(
                            robot,
                            Event::Down {
                                robot,
                                topic,
                                payload,
                            },
                        );
                    }
                }
                if alive && qos > 0 {
                    self.send(robot, Event::Acknowledged { robot, id });
                }
            }
            Event::Acknowledged { robot, id } if current(robot) => {
                self.input(robot, Input::Acknowledged(id));
            }
            Event::Down {
                robot,
                topic,
                payload,
            } if current(robot) => {
                let id = self.robots[robot].id().to_owned();
                let base = Base {
                    realm: REALM,
                    robot: &id,
                };
                self.input(
                    robot,
                    Input::Received(Downlink::parse(&base, &topic, &payload)),
                );
            }
            Event::Fetched { robot, fetch } => {
                let Offer { size, sha256, .. } = self.server.offer.clone();
                let result = if self.artifact_missing {
                    Err(FetchError::Status(404))
                } else {
                    {
                        let (name, version) = ("os".to_owned(), super::VERSION.to_owned());
                        let label = Some(ImageLabel { name, version });
                        Ok(Artifact {
                            size,
                            sha256,
                            label,
                        })
                    }
                };
                self.input(robot, Input::Fetched { fetch, result });
            }
            _ => {}
        }
    }

    pub fn input(&mut self, robot: usize, input: Input) {
        self.robots[robot].handle(self.now, input);
        self.perform(robot);
    }

    /// A delay that keeps the order of one connection's messages.
    fn send(&mut self, robot: usize, event: Event) {
        self.sequence += 1;
        let at = self.now + 20;
        self.queue
            .insert((at, self.sequence), (self.connections[robot], event));
    }

    fn perform(&mut self, robot: usize) {
        while let Some(output) = self.robots[robot].poll_output() {
            match output {
                Output::Connect { .. } => {
                    self.connections[robot] += 1;
                    self.send(robot, Event::Connected(robot));
                }
                Output::Disconnect { graceful } => {
                    if !graceful && self.rng.random_bool(0.5) {
                        let connection = self.connections[robot];
                        self.queue.retain(|_, (of, event)| {
                            let up =
                                matches!(event, Event::Up { robot: from, .. } if *from == robot);
                            !(up && *of == connection)
                        });
                    }
                    self.connections[robot] += 1;
                }
                Output::Publish { id, message } => {
                    let name = self.robots[robot].id().to_owned();
                    let base = Base {
                        realm: REALM,
                        robot: &name,
                    };
                    let (topic, payload) = (message.topic(&base), message.payload());
                    let qos = message.qos();
                    self.send(
                        robot,
                        Event::Up {
                            robot,
                            id,
                            topic,
                            payload,
                            qos,
                        },
                    );
                }
                Output::Fetch { fetch, .. } => self.send(robot, Event::Fetched { robot, fetch }),
                Output::Subscribe(_) | Output::AbandonFetch(_) => {}
            }
        }
        self.arm(robot);
    }

    fn arm(&mut self, robot: usize) {
        self.timers.retain(|(_, armed)| *armed != robot);
        if let Some(at) = self.robots[robot].poll_timeout() {
            self.timers.insert((at.max(self.now), robot));
        }
    }

    /// Every operation's belief beside what really happened; panics with the seed's first difference.
    pub fn compare(&self) {
        let mut compared = 0;
        for robot in &self.robots {
            let side = &self.server.robots[robot.id()];
            for record in robot.truth().operations() {
                let Some(belief) = side.beliefs.get(&record.operation) else {
                    continue;
                };
                let agrees = match (record.outcome, belief) {
                    (Some(RealOutcome::Installed), Belief::Installed)
                    | (Some(RealOutcome::Pretended), Belief::NotProven)
                    | (Some(RealOutcome::RolledBack | RealOutcome::Canceled), Belief::Failed(_)) => {
                        true
                    }
                    (
                        Some(RealOutcome::Failed(code) | RealOutcome::Rejected(code)),
                        Belief::Failed(believed),
                    ) => *believed == Some(code),
                    _ => false,
                };
                assert!(
                    agrees,
                    "{}: {record:?} is believed to be {belief:?}",
                    robot.id()
                );
                compared += 1;
            }
        }
        assert!(compared > 0);
    }
}
