//! Credentials: secrets and certificates of robots, and the tokens with which robots that nobody registered pair.
//!
//! ```text
//! pending ── connects, or gets a certificate ──► confirmed ── inhibit ──► inhibited ── allow ──► as before
//!    ▲                                               │
//!    └────────────────────── rotate ─────────────────┘
//! ```
//!
//! A pending robot may register itself, as its [`Registration`] says: after `rotate` only if the operator wants it, or
//! whoever stole the robot would let himself in again.
//!
//! **Invariant**: a robot has one secret and at most one certificate, the newest; nothing older is kept, so a device that
//! asks for a certificate at every connection costs no more than one that never does.

use crate::input::RobotSpec;
use crate::inventory::{Robot, RobotKey};
use crate::names::{RobotId, TokenName};
use crate::outcome::{Effect, Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Tokens at one time; each registration compares with all of them.
pub(crate) const MAX_TOKENS: usize = 256;

/// A certificate's number.
pub type Serial = [u8; 16];

/// What lets a robot in, beside its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials {
    /// When the present secret was made.
    pub since: Timestamp,
    /// How many secrets the robot had before it: tells a connection that was let in under an older one.
    pub generation: u32,
    /// The newest certificate; every older one is revoked.
    pub certificate: Option<Certificate>,
    /// Since when it gets neither certificates nor connections.
    pub inhibited: Option<Timestamp>,
    /// With which pairing tokens it may register while its secret was never used.
    pub registration: Registration,
}

/// With which pairing tokens a pending robot may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    /// With any that is good.
    #[default]
    Open,
    /// It has registered with this one, and may do so again without another use, as when the answer was lost; or with
    /// any other that is good.
    Made(TokenKey),
    /// With none: an operator has given it the secret.
    Closed,
}

/// A certificate that was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// Its number.
    pub serial: Serial,
    /// When it was issued.
    pub issued: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
}

/// How far a robot's pairing has come, in Astarte's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialsStatus {
    /// The present secret was never used.
    Pending,
    /// It was.
    Confirmed,
    /// An operator has shut the robot out.
    Inhibited,
}

/// A pairing token's number in this database, never used twice, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenKey(pub u32);

/// A token with which robots may register themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingToken {
    /// Its number here.
    pub key: TokenKey,
    /// What people call it; unique.
    pub name: TokenName,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is no longer taken.
    pub expires: Option<Timestamp>,
    /// How many registrations it is good for.
    pub uses: Option<u32>,
    /// How many there were.
    pub used: u32,
}

/// A pairing token to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingTokenSpec {
    /// What people call it.
    pub name: TokenName,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// From when on it is no longer taken.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// How many registrations it is good for.
    #[serde(default)]
    pub uses: Option<u32>,
}

impl PairingToken {
    /// Whether it may be used once more at `now`.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.is_in_force(now) && self.uses.is_none_or(|uses| self.used < uses)
    }

    /// Whether robots that have registered with it may do so again at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Robot {
    /// How far the robot's pairing has come.
    #[must_use]
    pub fn credentials_status(&self) -> CredentialsStatus {
        let connected = self.online() || self.cursor.last_seen > self.credentials.since;
        if self.credentials.inhibited.is_some() {
            CredentialsStatus::Inhibited
        } else if self.credentials.certificate.is_some() || connected {
            CredentialsStatus::Confirmed
        } else {
            CredentialsStatus::Pending
        }
    }

    /// Whether it has its secret, which was never used, by this token.
    fn has_registered_with(&self, token: TokenKey) -> bool {
        self.credentials_status() == CredentialsStatus::Pending
            && self.credentials.registration == Registration::Made(token)
    }

    /// Whether a robot that is known may register itself.
    fn check_registration(&self) -> Result<(), Refusal> {
        let id = self.id.clone();
        match (self.credentials_status(), self.credentials.registration) {
            (CredentialsStatus::Inhibited, _) => Err(Refusal::CredentialsInhibited { id }),
            (CredentialsStatus::Confirmed, _) => Err(Refusal::AlreadyPaired { id }),
            (CredentialsStatus::Pending, Registration::Closed) => {
                Err(Refusal::RegistrationClosed { id })
            }
            (CredentialsStatus::Pending, Registration::Open | Registration::Made(_)) => Ok(()),
        }
    }

    /// Gives the robot another secret: whatever it had before is void.
    fn renew_secret(&mut self, secret: [u8; 32], registration: Registration, now: Timestamp) {
        self.secret = secret;
        self.credentials.since = now;
        self.credentials.registration = registration;
        self.credentials.generation = self.credentials.generation.wrapping_add(1);
        self.credentials.certificate = None;
    }
}

impl State {
    fn known_robot(&self, id: &RobotId) -> Result<RobotKey, Refusal> {
        self.robot_key(id.as_str())
            .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })
    }

    /// Notes the certificate that was signed for the robot. `secret` is what it was asked for with, if it was: a
    /// certificate for a secret that is void by now must not come into force.
    pub(crate) fn issue_certificate(
        &mut self,
        id: &RobotId,
        serial: Serial,
        not_after: Timestamp,
        secret: Option<[u8; 32]>,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self.known_robot(id)?;
        let now = self.now;
        let Some(robot) = self.robots.get_mut(&key) else {
            return Err(Refusal::RobotGone);
        };
        if robot.credentials.inhibited.is_some() {
            return Err(Refusal::CredentialsInhibited { id: id.clone() });
        }
        if secret.is_some_and(|secret| secret != robot.secret) {
            return Err(Refusal::SecretReplaced { id: id.clone() });
        }
        robot.credentials.certificate = Some(Certificate {
            serial,
            issued: now,
            not_after,
        });
        changes.touch(Row::Robot(key));
        Ok(Reply::Robot(key))
    }

    pub(crate) fn inhibit_credentials(
        &mut self,
        id: &RobotId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self.known_robot(id)?;
        let now = self.now;
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.credentials.inhibited = robot.credentials.inhibited.or(Some(now));
        }
        changes.touch(Row::Robot(key));
        self.shut_out(key, "the robot's credentials are inhibited", changes);
        Ok(Reply::Robot(key))
    }

    pub(crate) fn allow_credentials(
        &mut self,
        id: &RobotId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self.known_robot(id)?;
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.credentials.inhibited = None;
        }
        changes.touch(Row::Robot(key));
        Ok(Reply::Robot(key))
    }

    pub(crate) fn rotate_credentials(
        &mut self,
        id: &RobotId,
        secret: [u8; 32],
        allow_pairing: bool,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self.known_robot(id)?;
        self.shut_out(key, "the robot's credentials were replaced", changes);
        let now = self.now;
        let registration = if allow_pairing {
            Registration::Open
        } else {
            Registration::Closed
        };
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.renew_secret(secret, registration, now);
        }
        changes.touch(Row::Robot(key));
        Ok(Reply::Robot(key))
    }

    /// Ends the robot's connection, whose end is taken as known.
    pub(crate) fn shut_out(&mut self, key: RobotKey, why: &'static str, changes: &mut Changes) {
        let connection = self
            .robots
            .get(&key)
            .and_then(|robot| robot.link.connection);
        if let Some(connection) = connection {
            changes.effects.push(Effect::Disconnect { connection, why });
            self.disconnected(key, connection, changes);
        }
    }

    pub(crate) fn add_pairing_token(
        &mut self,
        spec: PairingTokenSpec,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if self.token_named(&spec.name).is_some() {
            return Err(Refusal::TokenExists { name: spec.name });
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(Refusal::TooMany {
                what: "pairing tokens; remove some",
                max: MAX_TOKENS,
            });
        }
        self.counters.tokens += 1;
        let key = TokenKey(self.counters.tokens);
        let token = PairingToken {
            key,
            name: spec.name,
            digest: spec.digest,
            created: self.now,
            expires: spec.expires,
            uses: spec.uses,
            used: 0,
        };
        self.tokens.insert(key, token);
        changes.touch(Row::Counters);
        changes.touch(Row::PairingToken(key));
        Ok(Reply::Done)
    }

    pub(crate) fn remove_pairing_token(
        &mut self,
        name: &TokenName,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self
            .token_named(name)
            .map(|token| token.key)
            .ok_or_else(|| Refusal::UnknownToken { name: name.clone() })?;
        self.tokens.remove(&key);
        changes.touch(Row::PairingToken(key));
        Ok(Reply::Done)
    }

    /// A robot registers itself with a pairing token: a new one as an Edgehog device, a known one whose secret was never
    /// used gets another secret. `token` is what was authenticated; its name may be another token's by now.
    pub(crate) fn pair(
        &mut self,
        (token, name): (TokenKey, TokenName),
        id: RobotId,
        secret: [u8; 32],
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let now = self.now;
        let known = self.robot_key(id.as_str());
        let again = known
            .and_then(|key| self.robots.get(&key))
            .is_some_and(|robot| robot.has_registered_with(token));
        let good = |token: &PairingToken| match again {
            true => token.is_in_force(now),
            false => token.is_good(now),
        };
        if !self.tokens.get(&token).is_some_and(good) {
            return Err(Refusal::UnknownToken { name });
        }
        let key = match known {
            None => self.add_unknown(id, secret, changes)?,
            Some(key) => key,
        };
        let Some(robot) = self.robots.get_mut(&key) else {
            return Err(Refusal::RobotGone);
        };
        if known.is_some() {
            robot.check_registration()?;
            robot.renew_secret(secret, Registration::Made(token), now);
        } else {
            robot.credentials.registration = Registration::Made(token);
        }
        changes.touch(Row::Robot(key));
        if !again && let Some(token) = self.tokens.get_mut(&token) {
            token.used = token.used.saturating_add(1);
            changes.touch(Row::PairingToken(token.key));
        }
        Ok(Reply::Robot(key))
    }

    fn add_unknown(
        &mut self,
        id: RobotId,
        secret: [u8; 32],
        changes: &mut Changes,
    ) -> Result<RobotKey, Refusal> {
        let spec = RobotSpec {
            id: id.clone(),
            name: None,
            model: None,
            labels: BTreeMap::new(),
            tags: BTreeSet::new(),
            ecus: Vec::new(),
            secret,
        };
        self.add_robot(spec, changes)?;
        self.known_robot(&id)
    }

    fn token_named(&self, name: &TokenName) -> Option<&PairingToken> {
        self.tokens.values().find(|token| token.name == *name)
    }

    /// The pairing token with the number `key`.
    #[must_use]
    pub fn pairing_token(&self, key: TokenKey) -> Option<&PairingToken> {
        self.tokens.get(&key)
    }

    /// All pairing tokens, oldest first.
    pub fn pairing_tokens(&self) -> impl Iterator<Item = &PairingToken> {
        self.tokens.values()
    }

    /// Puts stored pairing tokens back; part of rebuilding a state.
    #[must_use]
    pub fn with_pairing_tokens(mut self, tokens: impl IntoIterator<Item = PairingToken>) -> Self {
        self.tokens = tokens.into_iter().map(|token| (token.key, token)).collect();
        self
    }
}
