//! One lean robot: connects, introduces itself, plays its script for every request, and comes back after each loss.

use super::wire::Wire;
use super::{Fleet, Identity, Life, Script};
use bytes::{Bytes, BytesMut};
use rollcall_broker::QoS;
use rollcall_broker::codec::Packet;
use rollcall_proto::native::{
    BaseImage, Manifest, OtaEvent, OtaRequest, PROTOCOL_VERSION, RequestKind,
};
use rollcall_proto::topic::Base;
use rollcall_proto::{Code, Status};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// All lean robots live through one boot; what they lose is connections.
const BOOT: u64 = 1;

/// What ECUs run before the first update.
const FIRST_VERSION: &str = "1.0.0";

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(50);

/// A publish that is to be acknowledged.
#[derive(Debug, Clone)]
struct Outgoing {
    topic: Arc<str>,
    payload: Bytes,
    /// Set for events: what is to be noted once acknowledged. Only events are sent again after a loss: what else
    /// there is to say is said at every introduction.
    event: Option<(u64, Uuid, Status, u8)>,
}

/// The operation under way.
struct Current {
    operation: Uuid,
    ecu: usize,
    step: usize,
    image_name: String,
    image_version: String,
    sha256: [u8; 32],
}

struct Robot {
    identity: Identity,
    script: Arc<Script>,
    fleet: Arc<Fleet>,
    life: Life,
    images: Vec<BaseImage>,
    event_topics: Vec<Arc<str>>,
    counter: u64,
    current: Option<Current>,
    waiting: VecDeque<Outgoing>,
    in_flight: VecDeque<(u16, Outgoing)>,
    next_packet_id: u16,
}

/// Lives until `stop`, then tells what happened.
pub async fn live(
    identity: Identity,
    script: Arc<Script>,
    address: SocketAddr,
    fleet: Arc<Fleet>,
    stop: CancellationToken,
) -> Life {
    let mut robot = Robot::new(identity, script, fleet);
    let mut buffers = (Vec::new(), BytesMut::new());
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            // A connection only ends in an error; the robot comes back.
            _ = robot.session(address, &mut buffers) => {}
        }
        robot.lost();
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    robot.life
}

impl Robot {
    fn new(identity: Identity, script: Arc<Script>, fleet: Arc<Fleet>) -> Self {
        let base = Base {
            realm: &identity.realm,
            robot: &identity.id,
        };
        let event_topics = identity
            .ecus
            .iter()
            .map(|ecu| base.ota_event(&ecu.name).into())
            .collect();
        let image = |hardware_id: &str| BaseImage {
            name: format!("{hardware_id}-os"),
            version: FIRST_VERSION.to_owned(),
            build_id: None,
            digest: None,
            operation: None,
        };
        let images = identity
            .ecus
            .iter()
            .map(|ecu| image(&ecu.hardware_id))
            .collect();
        let versions = identity
            .ecus
            .iter()
            .map(|ecu| (ecu.name.clone(), FIRST_VERSION.to_owned()))
            .collect();
        let life = Life {
            id: identity.id.clone(),
            versions,
            ..Life::default()
        };
        Self {
            identity,
            script,
            fleet,
            life,
            images,
            event_topics,
            counter: 0,
            current: None,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_packet_id: 0,
        }
    }

    async fn session(
        &mut self,
        address: SocketAddr,
        buffers: &mut (Vec<u8>, BytesMut),
    ) -> io::Result<()> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut out, mut input) = std::mem::take(buffers);
        out.clear();
        input.clear();
        let mut wire = Wire::new(stream, out, input);
        let base = Base {
            realm: &self.identity.realm,
            robot: &self.identity.id,
        };
        let (client_id, requests) = (base.to_string(), base.ota_request_filter());
        wire.connect(&client_id, &self.identity.secret)?;
        wire.flush().await?;
        loop {
            match wire.next()? {
                Some(Packet::ConnAck(connack))
                    if connack.code == rollcall_broker::ReasonCode::Success =>
                {
                    break;
                }
                Some(other) => return Err(io::Error::other(format!("refused: {other:?}"))),
                None => wire.fill().await?,
            }
        }
        wire.subscribe(requests)?;
        self.introduce();
        self.fleet.online.fetch_add(1, SeqCst);
        let result = self.serve(&mut wire).await;
        self.fleet.online.fetch_sub(1, SeqCst);
        result
    }

    /// Manifest and images go out before what is left of earlier events.
    fn introduce(&mut self) {
        let base = Base {
            realm: &self.identity.realm,
            robot: &self.identity.id,
        };
        let manifest = Manifest {
            protocol: PROTOCOL_VERSION,
            boot: BOOT,
            wants_ack: false,
            ecus: self.identity.ecus.clone(),
        };
        let mut first = vec![(base.manifest(), manifest.encode())];
        for (ecu, image) in self.identity.ecus.iter().zip(&self.images) {
            first.push((base.base_image(&ecu.name), image.encode()));
        }
        for (topic, payload) in first.into_iter().rev() {
            self.waiting.push_front(Outgoing {
                topic: topic.into(),
                payload: payload.into(),
                event: None,
            });
        }
    }

    async fn serve(&mut self, wire: &mut Wire) -> io::Result<()> {
        loop {
            while self.in_flight.len() < self.script.window && self.prepare_next() {
                // Introductions are not held up.
                let is_event = self
                    .waiting
                    .front()
                    .is_some_and(|next| next.event.is_some());
                if is_event && !self.script.pause.is_zero() {
                    tokio::time::sleep(self.script.pause).await;
                }
                self.send_next(wire)?;
            }
            wire.flush().await?;
            wire.fill().await?;
            while let Some(packet) = wire.next()? {
                self.handle(packet, wire)?;
            }
        }
    }

    /// Makes sure that something waits to be sent, if there is anything to say.
    fn prepare_next(&mut self) -> bool {
        if self.waiting.is_empty() {
            self.advance();
        }
        !self.waiting.is_empty()
    }

    fn send_next(&mut self, wire: &mut Wire) -> io::Result<()> {
        let Some(outgoing) = self.waiting.pop_front() else {
            return Ok(());
        };
        self.next_packet_id = self.next_packet_id % 60_000 + 1;
        wire.publish(
            &outgoing.topic,
            &outgoing.payload,
            self.script.qos,
            self.next_packet_id,
        )?;
        self.in_flight.push_back((self.next_packet_id, outgoing));
        Ok(())
    }

    /// The next step of the operation under way, or its end.
    fn advance(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        let (operation, ecu) = (current.operation, current.ecu);
        if let Some((status, progress)) = self.script.steps.get(current.step).copied() {
            current.step += 1;
            return self.say(ecu, operation, status, progress, None);
        }
        if self.script.fails(operation) {
            self.end(operation, false);
            return self.say(ecu, operation, Status::Failure, 0, Some(Code::NetworkError));
        }
        let Some(done) = self.current.take() else {
            return;
        };
        let name = self.identity.ecus[ecu].name.clone();
        let image = BaseImage {
            name: done.image_name,
            version: done.image_version,
            build_id: None,
            digest: Some(done.sha256),
            operation: Some(operation),
        };
        self.life
            .versions
            .insert(name.clone(), image.version.clone());
        let base = Base {
            realm: &self.identity.realm,
            robot: &self.identity.id,
        };
        let outgoing = Outgoing {
            topic: base.base_image(&name).into(),
            payload: image.encode().into(),
            event: None,
        };
        self.images[ecu] = image;
        self.waiting.push_back(outgoing);
        self.end(operation, true);
    }

    fn end(&mut self, operation: Uuid, installed: bool) {
        self.current = None;
        if let Some((_, outcome)) = self.life.operations.get_mut(&operation) {
            *outcome = Some(installed);
        }
        // Counted before it is said, so that the robots never count more than the server may.
        self.fleet.ended.fetch_add(1, SeqCst);
    }

    fn say(
        &mut self,
        ecu: usize,
        operation: Uuid,
        status: Status,
        progress: u8,
        code: Option<Code>,
    ) {
        self.counter += 1;
        let event = OtaEvent {
            boot: BOOT,
            counter: self.counter,
            operation,
            status,
            progress,
            code,
            message: String::new(),
        };
        self.waiting.push_back(Outgoing {
            topic: Arc::clone(&self.event_topics[ecu]),
            payload: event.encode().into(),
            event: Some((self.counter, operation, status, progress)),
        });
    }

    fn handle(&mut self, packet: Packet, wire: &mut Wire) -> io::Result<()> {
        match packet {
            Packet::PubAck(ack) => self.acknowledged(ack.packet_id),
            Packet::PubRec(ack) => {
                self.acknowledged(ack.packet_id);
                wire.pubrel(ack.packet_id)?;
            }
            Packet::Publish(publish) => {
                if publish.qos != QoS::AtMostOnce {
                    wire.puback(publish.packet_id)?;
                }
                let ecu =
                    publish.topic.rsplit('/').next().and_then(|name| {
                        self.identity.ecus.iter().position(|ecu| ecu.name == name)
                    });
                match (ecu, OtaRequest::decode(&publish.payload)) {
                    (Some(ecu), Ok(request)) => self.requested(ecu, request),
                    _ => self
                        .fleet
                        .violation(format!("{}: malformed request", self.identity.id)),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, packet_id: u16) {
        let Some(index) = self.in_flight.iter().position(|(id, _)| *id == packet_id) else {
            return self
                .fleet
                .violation(format!("{}: acknowledgement of nothing", self.identity.id));
        };
        if index != 0 && self.script.qos == QoS::AtLeastOnce {
            self.fleet.violation(format!(
                "{}: acknowledgement out of order",
                self.identity.id
            ));
        }
        let Some((_, outgoing)) = self.in_flight.remove(index) else {
            return;
        };
        if let Some((counter, operation, status, progress)) = outgoing.event {
            self.fleet.acknowledged.fetch_add(1, SeqCst);
            self.life.last = Some((operation, status, progress));
            if self.script.keep_log {
                self.life.acknowledged.push((BOOT, counter));
            }
        }
    }

    fn requested(&mut self, ecu: usize, request: OtaRequest) {
        if self.life.operations.is_empty() {
            self.fleet.told.lock().insert(self.identity.id.clone());
        }
        if request.kind == RequestKind::Cancel
            || self.life.operations.contains_key(&request.operation)
        {
            // What is under way goes on; what is done is told by the image and the events that still wait.
            return;
        }
        let (id, name) = (&self.identity.id, &self.identity.ecus[ecu]);
        if let Some(current) = &self.current {
            let (one, two) = (current.operation, request.operation);
            return self
                .fleet
                .violation(format!("{id}: two operations at once: {one} and {two}"));
        }
        if request.hardware_id != name.hardware_id {
            let (asked, is) = (&request.hardware_id, &name.hardware_id);
            return self
                .fleet
                .violation(format!("{id}: image for {asked} offered to {is}"));
        }
        self.fleet.begin();
        self.life
            .operations
            .insert(request.operation, (name.name.clone(), None));
        self.current = Some(Current {
            operation: request.operation,
            ecu,
            step: 0,
            image_name: request.image_name,
            image_version: request.image_version,
            sha256: request.sha256,
        });
    }

    /// The connection is gone: events that were not acknowledged are said again, in their order.
    fn lost(&mut self) {
        self.waiting.retain(|outgoing| outgoing.event.is_some());
        while let Some((_, outgoing)) = self.in_flight.pop_back() {
            if outgoing.event.is_some() {
                self.waiting.push_front(outgoing);
            }
        }
    }
}
