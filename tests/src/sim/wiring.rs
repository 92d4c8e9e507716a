//! Between robots and server: who hears what of whom, and when.

use super::Broken;
use super::network::{Down, Link, LinkId, Up};
use super::scenario::SECOND;
use super::server::Incoming;
use super::world::{Happening, REALM, World};
use device_sim::model::{Downlink, Input, Message, Output};
use rollcall::device;
use rollcall_engine::{Effect, LinkEvent, Protocol, Request, RobotKey};
use rollcall_proto::edgehog::purge;
use rollcall_proto::native::Ack;
use rollcall_proto::topic::Base;

fn connection(link: LinkId) -> u64 {
    link as u64 + 1
}

fn link_of(connection: u64) -> LinkId {
    usize::try_from(connection - 1).unwrap_or(usize::MAX)
}

impl World {
    /// Gives a robot something, and does what it wants done.
    pub(super) fn tell(&mut self, index: usize, input: Input) -> Result<(), Broken> {
        self.trace.line(self.now, || {
            format!("{} hears {input:?}", self.actors[index].robot.id())
        });
        let time = self.now - self.epoch;
        self.actors[index].robot.handle(time, input);
        self.react(index)
    }

    /// Does what a robot wants done.
    pub(super) fn react(&mut self, index: usize) -> Result<(), Broken> {
        while let Some(output) = self.actors[index].robot.poll_output() {
            match output {
                Output::Connect { .. } => {
                    self.links.push(Link::new(index));
                    self.actors[index].link = Some(self.links.len() - 1);
                    self.uplink(index, Up::Connect);
                }
                Output::Disconnect { graceful } => self.robot_hangs_up(index, graceful),
                Output::Subscribe(filters) => {
                    self.uplink(
                        index,
                        Up::Subscribe(filters.iter().map(|(filter, _)| *filter).collect()),
                    );
                }
                Output::Publish { id, message } => self.publish(index, id.0, &message),
                Output::Fetch { fetch, url, .. } => {
                    let result = self.artifact(&url);
                    let at = self.now + self.dice.within(1, 2 * SECOND);
                    self.at(at, Happening::Fetched(index, fetch, result));
                }
                // The answer comes too late and is ignored.
                Output::AbandonFetch(_) => {}
            }
        }
        let actor = &mut self.actors[index];
        self.timers.set(index, actor.timeout(self.epoch));
        if !actor.has_new_violations() {
            return Ok(());
        }
        let recovered = || self.server.rows.recover();
        let state = match &self.server.state {
            Some(state) => std::borrow::Cow::Borrowed(state),
            None => std::borrow::Cow::Owned(recovered()),
        };
        let excused = actor.check_violations(&state, &self.watch.asked)?;
        self.watch.tally.given_up_and_busy += excused;
        Ok(())
    }

    fn publish(&mut self, index: usize, id: u64, message: &Message) {
        let actor = &mut self.actors[index];
        let base = Base {
            realm: REALM,
            robot: actor.robot.id(),
        };
        let (topic, payload, qos) = (message.topic(&base), message.payload(), message.qos());
        let operation = match message {
            Message::Event { event, .. } => {
                let number = (event.boot, event.counter);
                actor
                    .numbered
                    .insert(number, (topic.clone(), payload.clone()));
                Some(event.operation)
            }
            Message::EdgehogEvent(event) => Some(event.operation),
            _ => None,
        };
        if let Some(operation) = operation {
            actor
                .told
                .insert(id, (operation, (topic.clone(), payload.clone())));
        }
        let ticket = (qos > 0).then_some(id);
        let packet = Up::Publish {
            ticket,
            topic,
            payload,
        };
        if qos == 1 && self.dice.chance(self.hazards.duplicate) {
            self.uplink(index, packet.clone());
        }
        self.uplink(index, packet);
    }

    fn uplink(&mut self, index: usize, packet: Up) {
        let Some(link) = self.actors[index].link else {
            return;
        };
        let latency = self.latency();
        let at = self.links[link].up_at(self.now, latency);
        self.at(at, Happening::Arrive(link, packet));
    }

    fn robot_hangs_up(&mut self, index: usize, graceful: bool) {
        let Some(link) = self.actors[index].link else {
            return;
        };
        if graceful {
            self.uplink(index, Up::Bye);
        } else {
            self.lose_uplink(link);
        }
        self.actors[index].link = None;
        self.links[link].robot_open = false;
    }

    /// A part of what is under way to the server arrives; the server notices soon, or by its keep-alive timer.
    fn lose_uplink(&mut self, link: LinkId) {
        let latency = self.latency();
        self.links[link].up_until = self.now + latency;
        let silence = if self.dice.chance(50) {
            0
        } else {
            self.dice.within(SECOND, 90 * SECOND)
        };
        let at = self.now + latency + silence;
        self.at(at, Happening::ServerHearsClose(link));
    }

    /// Cuts the wire of one connected robot; both sides notice in their own time.
    pub(super) fn cut_something(&mut self) {
        let linked: Vec<_> = self.actors.iter().filter_map(|actor| actor.link).collect();
        if linked.is_empty() {
            return;
        }
        let link = *self.dice.pick(&linked);
        self.trace.line(self.now, || {
            format!("connection {} is cut", connection(link))
        });
        self.lose_uplink(link);
        let latency = self.latency();
        self.links[link].down_until = self.now + latency;
        let at = self.now + latency + self.dice.within(0, 30 * SECOND);
        self.at(at, Happening::RobotHearsClose(link));
    }

    /// The server is gone: all robots notice, sooner or later.
    pub(super) fn everybody_is_cut_off(&mut self) {
        for link in 0..self.links.len() {
            if self.links[link].server_open {
                self.close_from_server(link);
            }
        }
    }

    fn close_from_server(&mut self, link: LinkId) {
        self.links[link].server_open = false;
        let latency = self.latency();
        let at = self.links[link].down_at(self.now, latency);
        self.links[link].down_until = self.links[link].down_until.min(at);
        self.at(at, Happening::RobotHearsClose(link));
    }

    /// The broker closes a connection of its own will, and tells the engine.
    pub(super) fn hang_up(&mut self, number: u64) {
        let link = link_of(number);
        if self.links[link].server_open {
            self.close_from_server(link);
            self.link_event(link, LinkEvent::Disconnected { connection: number });
        }
    }

    pub(super) fn robot_hears_close(&mut self, link: LinkId) -> Result<(), Broken> {
        let index = self.links[link].robot;
        if !std::mem::take(&mut self.links[link].robot_open) {
            return Ok(());
        }
        self.actors[index].link = None;
        self.tell(index, Input::Disconnected)
    }

    pub(super) fn server_hears_close(&mut self, link: LinkId) {
        if std::mem::take(&mut self.links[link].server_open) {
            self.link_event(
                link,
                LinkEvent::Disconnected {
                    connection: connection(link),
                },
            );
        }
    }

    /// A packet reaches the broker.
    pub(super) fn arrive(&mut self, link: LinkId, packet: Up) {
        if self.now > self.links[link].up_until {
            return;
        }
        if matches!(packet, Up::Connect) {
            return self.accept(link);
        }
        let Some(key) = self.links[link]
            .key
            .filter(|_| self.links[link].server_open)
        else {
            return;
        };
        match packet {
            Up::Connect => {}
            Up::Subscribe(filters) => {
                if filters.iter().any(|filter| filter.contains("OTARequest")) {
                    self.link_event(
                        link,
                        LinkEvent::Subscribed {
                            connection: connection(link),
                        },
                    );
                }
            }
            Up::Publish {
                ticket,
                topic,
                payload,
            } => {
                self.enqueue(Incoming::Publish {
                    key,
                    connection: connection(link),
                    ticket,
                    topic,
                    payload,
                });
            }
            Up::Bye => self.server_hears_close(link),
        }
    }

    fn accept(&mut self, link: LinkId) {
        let id = self.actors[self.links[link].robot].robot.id();
        let key = self
            .server
            .state
            .as_ref()
            .and_then(|state| state.robot_key(id));
        let Some(key) = key else {
            self.links[link].server_open = false;
            return self.close_from_server(link);
        };
        let actor = &mut self.actors[self.links[link].robot];
        let former = actor.accepted.replace(link);
        let former = former.filter(|former| self.links[*former].server_open);
        self.links[link].key = Some(key);
        self.links[link].server_open = true;
        // Whether the broker reports the end of the connection that is taken over before or after, must not matter.
        let before = self.dice.chance(50);
        if let Some(former) = former.filter(|_| before) {
            self.hang_up(connection(former));
        }
        self.link_event(
            link,
            LinkEvent::Connected {
                connection: connection(link),
            },
        );
        if let Some(former) = former.filter(|_| !before) {
            self.hang_up(connection(former));
        }
        self.send(connection(link), Down::Welcome);
    }

    /// Sends a packet to a robot, if its connection still exists.
    pub(super) fn send(&mut self, number: u64, packet: Down) {
        let link = link_of(number);
        if self.links[link].server_open {
            let latency = self.latency();
            let at = self.links[link].down_at(self.now, latency);
            self.at(at, Happening::Deliver(link, packet));
        }
    }

    /// A packet reaches the robot.
    pub(super) fn deliver(&mut self, link: LinkId, packet: Down) -> Result<(), Broken> {
        let index = self.links[link].robot;
        if !self.links[link].robot_open || self.now > self.links[link].down_until {
            return Ok(());
        }
        let input = match packet {
            Down::Welcome => Input::Connected {
                session_present: false,
            },
            Down::Settled(ticket) => {
                self.actors[index].check_settled(ticket, &mut self.server)?;
                Input::Acknowledged(device_sim::model::PublishId(ticket))
            }
            Down::Message { topic, payload } => {
                let base = Base {
                    realm: REALM,
                    robot: self.actors[index].robot.id(),
                };
                let message = Downlink::parse(&base, &topic, &payload);
                if let Downlink::Ack(ack) = message {
                    self.actors[index].check_ack(ack, &mut self.server)?;
                }
                Input::Received(message)
            }
        };
        self.tell(index, input)
    }

    /// Performs an effect of a durable input, as the bridge's outbox does.
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Request(request) => self.request(&request),
            Effect::Acknowledge {
                robot,
                connection,
                boot,
                counter,
            } => {
                let payload = Ack { boot, counter }.encode();
                self.message(connection, robot, |base| base.ack(), payload);
            }
            Effect::Property {
                robot,
                connection,
                path,
            } => self.property(robot, connection, &path),
            Effect::Disconnect { connection, .. } => self.hang_up(connection),
        }
    }

    fn request(&mut self, request: &Request) {
        let Some(state) = self
            .server
            .state
            .as_ref()
            .filter(|state| state.is_wanted(request))
        else {
            return;
        };
        let (Some(robot), Some(image)) = (state.robot(request.robot), state.image(request.image))
        else {
            return;
        };
        if robot.protocol == Some(Protocol::Edgehog) {
            let payload = device::edgehog_request(request, image.url.clone());
            return self.message(
                request.connection,
                request.robot,
                |base| base.edgehog_ota_request(),
                payload,
            );
        }
        let Some(ecu) = robot.ecus.iter().find(|ecu| ecu.name == request.ecu) else {
            return;
        };
        let payload = device::native_request(request, image, &ecu.hardware_id, image.url.clone());
        let name = request.ecu.clone();
        self.message(
            request.connection,
            request.robot,
            |base| base.ota_request(name.as_str()),
            payload,
        );
    }

    pub(super) fn send_properties(&mut self, connection: u64, key: RobotKey) {
        let settings = self.settings(key);
        let paths: Vec<_> = settings.iter().map(|(path, _)| path).collect();
        let payload = purge::encode(&paths);
        self.message(connection, key, |base| base.consumer_properties(), payload);
        for (path, payload) in settings {
            self.message(connection, key, |base| base.property(&path), payload);
        }
    }

    fn settings(&self, key: RobotKey) -> Vec<(String, Vec<u8>)> {
        let state = self.server.state.as_ref();
        let robot = state.and_then(|state| state.robot(key));
        let settings = robot.map(device::settings).unwrap_or_default();
        let settings = settings.into_iter();
        settings
            .map(|(path, payload)| (path.to_owned(), payload))
            .collect()
    }

    fn property(&mut self, key: RobotKey, connection: u64, path: &str) {
        let mut settings = self.settings(key).into_iter();
        let set = settings.find(|(known, _)| known == path);
        let payload = set.map(|(_, payload)| payload).unwrap_or_default();
        self.message(connection, key, |base| base.property(path), payload);
    }

    fn message(
        &mut self,
        connection: u64,
        key: RobotKey,
        topic: impl Fn(&Base<'_>) -> String,
        payload: Vec<u8>,
    ) {
        let Some(robot) = self
            .server
            .state
            .as_ref()
            .and_then(|state| state.robot(key))
        else {
            return;
        };
        let topic = topic(&Base {
            realm: REALM,
            robot: robot.id.as_str(),
        });
        self.send(connection, Down::Message { topic, payload });
    }
}
