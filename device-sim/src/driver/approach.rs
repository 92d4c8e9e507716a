//! One attempt of one robot to connect: its turn, pairing, TLS, CONNECT, CONNACK.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustls::ClientConfig;
use tokio::time::Instant;

use super::MqttVersion;
use super::connection::{Connection, Happening};
use super::pairing::Paired;
use super::robot::Task;
use super::trouble::Trouble;
use super::wire::{Manner, Target};
use crate::model::{Input, Protocol};

/// Where an attempt goes, and with what.
struct Door {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    secret: Option<String>,
}

impl Task {
    /// Tries once, and tells the model how it went.
    pub(super) async fn connect(&mut self, clean_session: bool) -> Input {
        let shared = self.shared.clone();
        let _turn = shared.gate.enter().await;
        self.arriving = Some(Instant::now());
        match self.approach(clean_session).await {
            Ok(session_present) => {
                shared.stats.connects.fetch_add(1, Relaxed);
                Input::Connected { session_present }
            }
            Err(trouble) => {
                shared.stats.connect_failures.fetch_add(1, Relaxed);
                shared.stats.refused_for(trouble.reason.clone());
                self.lost(&trouble)
            }
        }
    }

    async fn approach(&mut self, clean_session: bool) -> Result<bool, Trouble> {
        let door = self.door().await?;
        let secured = door.tls.is_some();
        let target = self.target(door, clean_session);
        let patience = target.manner.patience();
        let began = Instant::now();
        let mut connection = Connection::open(target);
        self.attempts += 1;
        let answer = tokio::time::timeout(patience, connection.next()).await;
        let answer = answer.unwrap_or_else(|_| Err(Trouble::new("broker is silent")));
        let stats = &self.shared.stats;
        let arrived = match &answer {
            Ok(_) => true,
            Err(trouble) => trouble.secured,
        };
        stats
            .tls_handshakes
            .fetch_add(u64::from(secured && arrived), Relaxed);
        match answer? {
            Happening::Connected { session_present } => {
                stats.connect_time.record(began.elapsed());
                self.connection = Some(connection);
                Ok(session_present)
            }
            _ => Err(Trouble::new("broker did not begin with CONNACK")),
        }
    }

    /// Pairs if the run says so; otherwise takes the next broker, so that one that is down strands
    /// nobody.
    async fn door(&mut self) -> Result<Door, Trouble> {
        let shared = self.shared.clone();
        if let Some(service) = &shared.pairing {
            let process = self.robot.boot();
            let id = self.robot.id().to_owned();
            let base = rollcall_proto::topic::Base {
                realm: &shared.options.realm,
                robot: &id,
            };
            let pairing = self.identity.pair(service, base, process, &shared.stats);
            let Paired { host, port, tls } = pairing.await?;
            return Ok(Door {
                host,
                port,
                tls: Some(tls),
                secret: None,
            });
        }
        let options = &shared.options;
        let broker = &options.brokers[(self.index + self.attempts) % options.brokers.len()];
        Ok(Door {
            host: broker.host.clone(),
            port: broker.port,
            tls: broker.tls.then(|| shared.tls.clone()),
            secret: Some(options.fleet[self.index].secret.clone()),
        })
    }

    fn target(&self, door: Door, clean_session: bool) -> Target {
        let v5 = match (self.robot.protocol(), self.shared.options.mqtt) {
            (Protocol::Edgehog, _) | (_, MqttVersion::V3) => false,
            (_, MqttVersion::V5) => true,
            (_, MqttVersion::Mixed) => self.index % 2 == 1,
        };
        let manner = match self.robot.protocol() {
            Protocol::Native => Manner::NATIVE,
            Protocol::Edgehog => Manner::EDGEHOG,
        };
        let Door {
            host,
            port,
            tls,
            secret,
        } = door;
        Target {
            host,
            port,
            client_id: self.base().to_string(),
            secret,
            tls,
            clean_session,
            v5,
            manner,
        }
    }

    /// The connection is gone, or never came to be.
    pub(super) fn lost(&mut self, trouble: &Trouble) -> Input {
        let robot = self.robot.id();
        tracing::debug!(robot, error = trouble.text, "connection is gone");
        self.shared.stats.failed(trouble.text.clone());
        self.connection = None;
        Input::Disconnected
    }
}
