//! Who may connect, publish and subscribe: a robot below its own base and nowhere else.
//!
//! A robot shows a certificate, or user name and secret. A certificate that comes here was verified in the handshake
//! against the CA; whether it is the robot's newest one is known here only.

use crate::api::tokens::{digest, same};
use crate::config::Open;
use crate::pki::RobotCertificate;
use crate::registry::{self, Entry, Registry};
use crate::writer::{Status, wall_clock};
use rollcall_broker::{
    Access, ConnectRefusal, ConnectRequest, Principal, PublishAccess, QoS, ReasonCode,
    SessionPolicy, SubscribeAccess,
};
use rollcall_engine::Protocol;
use rollcall_proto::topic::{Base, is_device_publishable};
use std::sync::Arc;

/// The broker's questions, answered from the inventory.
#[derive(Debug)]
pub(crate) struct FleetAccess {
    realm: String,
    open: Open,
    /// Register unknown robots by their first words, without credentials; every listener is loopback then.
    dev: bool,
    registry: Registry,
    /// Where refusals are counted.
    status: Arc<Status>,
}

/// Why a connection is refused: what counts it, and what its client is told.
struct Refused {
    counter: &'static str,
    refusal: ConnectRefusal,
}

impl Refused {
    fn new(counter: &'static str, code: ReasonCode, why: impl Into<rollcall_broker::Why>) -> Self {
        Self {
            counter,
            refusal: ConnectRefusal {
                code,
                why: why.into(),
            },
        }
    }
}

impl FleetAccess {
    pub(crate) const fn new(
        realm: String,
        open: Open,
        dev: bool,
        registry: Registry,
        status: Arc<Status>,
    ) -> Self {
        Self {
            realm,
            open,
            dev,
            registry,
            status,
        }
    }

    /// A client that has shown a certificate: its name is its client id.
    fn certified(&self, der: &[u8], connect: &ConnectRequest<'_>) -> Result<Principal, Refused> {
        let not_ours =
            |why: String| Refused::new("certificate_not_a_robots", ReasonCode::NotAuthorized, why);
        let certificate =
            RobotCertificate::read(der).map_err(|fault| not_ours(fault.to_string()))?;
        let base = Base::parse(&certificate.name)
            .ok()
            .filter(|base| base.realm == self.realm)
            .ok_or_else(|| {
                not_ours(format!(
                    "the certificate is not a robot's of the realm {}; ask for one through the pairing API",
                    self.realm
                ))
            })?;
        if !connect.client_id.is_empty() && connect.client_id != certificate.name {
            return Err(Refused::new(
                "certificate_of_another_robot",
                ReasonCode::NotAuthorized,
                format!(
                    "the certificate is that of {0}; its client id is {0}",
                    certificate.name
                ),
            ));
        }
        let Some(entry) = self.registry.get(base.robot) else {
            return Err(unknown(base.robot));
        };
        check_allowed(&entry, base.robot)?;
        let current = entry.credentials.certificate;
        if current.is_none_or(|current| current.serial != certificate.serial) {
            return Err(Refused::new(
                "certificate_revoked",
                ReasonCode::NotAuthorized,
                "the certificate is revoked, since the robot was given another one or another secret; verify it and ask \
                 for a new one through the pairing API",
            ));
        }
        // The handshake has looked at this too, unless it went on with an older one.
        if certificate.not_after_ms <= wall_clock().0 {
            return Err(Refused::new(
                "certificate_expired",
                ReasonCode::NotAuthorized,
                "the certificate has expired; ask for a new one through the pairing API",
            ));
        }
        Ok(principal(&certificate.name, &entry))
    }

    fn robot(&self, base: Base<'_>, connect: &ConnectRequest<'_>) -> Result<Principal, Refused> {
        if let Some(entry) = self.registry.get(base.robot) {
            if !self.dev {
                check_secret(connect, &entry)?;
            }
            check_allowed(&entry, base.robot)?;
            return Ok(principal(connect.client_id, &entry));
        }
        if self.dev {
            let tag = self.registry.provisional(base.robot).ok_or_else(|| {
                Refused::new(
                    "too_many_newcomers",
                    ReasonCode::QuotaExceeded,
                    "too many robots have registered themselves; restart the server",
                )
            })?;
            return Ok(Principal {
                client_id: Arc::from(connect.client_id),
                tag,
                sessions: SessionPolicy::AlwaysClean,
            });
        }
        Err(unknown(base.robot))
    }

    fn admit(&self, connect: &ConnectRequest<'_>) -> Result<Principal, Refused> {
        if let Some(der) = connect.certificate {
            return self.certified(der, connect);
        }
        match Base::parse(connect.client_id) {
            Ok(base) if base.realm == self.realm => self.robot(base, connect),
            _ if self.open.anonymous => {
                let id = if connect.client_id.is_empty() {
                    connect.proposed_id
                } else {
                    Some(connect.client_id)
                };
                let id = id.ok_or_else(|| {
                    Refused::new(
                        "client_id",
                        ReasonCode::ClientIdentifierNotValid,
                        "an empty client id needs a clean session",
                    )
                })?;
                Ok(Principal {
                    client_id: Arc::from(id),
                    tag: 0,
                    sessions: SessionPolicy::Persistent,
                })
            }
            _ => Err(Refused::new(
                "client_id",
                ReasonCode::ClientIdentifierNotValid,
                format!("a robot's client id is {}/<robot id>", self.realm),
            )),
        }
    }
}

fn principal(client_id: &str, entry: &Entry) -> Principal {
    Principal {
        client_id: Arc::from(client_id),
        tag: registry::tag(entry.key, &entry.credentials),
        // An Edgehog device re-sends its properties only when no session is present.
        sessions: match entry.protocol {
            Some(Protocol::Native) => SessionPolicy::Persistent,
            Some(Protocol::Edgehog) | None => SessionPolicy::AlwaysClean,
        },
    }
}

fn unknown(robot: &str) -> Refused {
    Refused::new(
        "unknown_robot",
        ReasonCode::NotAuthorized,
        format!("robot {robot} is not registered; add it with `rollcall robot add`"),
    )
}

fn check_allowed(entry: &Entry, robot: &str) -> Result<(), Refused> {
    if entry.credentials.inhibited.is_none() {
        return Ok(());
    }
    Err(Refused::new(
        "credentials_inhibited",
        ReasonCode::NotAuthorized,
        format!(
            "robot {robot} is inhibited; `rollcall robot credentials allow {robot}` lets it in again"
        ),
    ))
}

impl Access for FleetAccess {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        self.admit(connect).map_err(|refused| {
            self.status.refuse(refused.counter);
            refused.refusal
        })
    }

    fn publish(&self, principal: &Principal, topic: &str, _: QoS, _: bool) -> PublishAccess {
        let deny = |why: &'static str| PublishAccess::Deny { why: why.into() };
        if principal.tag == 0 {
            // Nobody but the server and the robots themselves speaks on robots' topics.
            return if below_realm(topic, &self.realm) {
                deny("the topic belongs to a robot")
            } else if self.open.publish.iter().any(|rule| covers(rule, topic)) {
                PublishAccess::Route
            } else {
                deny("no rule of mqtt.open.publish covers the topic")
            };
        }
        match Base::parse(&principal.client_id) {
            Ok(base) if is_device_publishable(&base, topic) => PublishAccess::Intake,
            _ => {
                deny("a robot publishes only on its own device-owned interfaces and control topics")
            }
        }
    }

    fn subscribe(&self, principal: &Principal, filter: &str) -> SubscribeAccess {
        let own = |base: Base<'_>| base.may_subscribe(filter);
        let (granted, why) = if principal.tag == 0 {
            // What robots publish is never routed, so a wildcard shows nothing of them.
            let covered = self.open.subscribe.iter().any(|rule| covers(rule, filter));
            (
                covered,
                "no rule of mqtt.open.subscribe covers the topic filter",
            )
        } else {
            (
                Base::parse(&principal.client_id).is_ok_and(own),
                "a robot subscribes only below its own base",
            )
        };
        if granted {
            SubscribeAccess::Grant {
                max_qos: QoS::ExactlyOnce,
            }
        } else {
            SubscribeAccess::Deny { why: why.into() }
        }
    }
}

/// Whether every topic that `wanted` (a topic name or filter) matches is matched by `rule` too.
fn covers(rule: &str, wanted: &str) -> bool {
    let mut wanted = wanted.split('/');
    for level in rule.split('/') {
        match (level, wanted.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(other)) if other != "#" => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    wanted.next().is_none()
}

fn below_realm(topic: &str, realm: &str) -> bool {
    topic
        .strip_prefix(realm)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn check_secret(connect: &ConnectRequest<'_>, entry: &Entry) -> Result<(), Refused> {
    let refused = |counter, why: &'static str| {
        Err(Refused::new(
            counter,
            ReasonCode::BadUserNameOrPassword,
            why,
        ))
    };
    if connect.username != Some(connect.client_id) {
        return refused("wrong_user_name", "a robot's user name is its client id");
    }
    // Hashes of a 256-bit secret are compared, so timing says nothing; comparing all bytes costs nothing either.
    if same(&digest(connect.password.unwrap_or_default()), &entry.secret) {
        return Ok(());
    }
    refused(
        "wrong_secret",
        "the password is not the robot's credentials secret; `rollcall robot credentials rotate` makes another",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_broker::ProtocolVersion;

    fn access(open: bool, dev: bool) -> FleetAccess {
        let all = vec!["#".to_owned()];
        let open = Open {
            anonymous: open,
            publish: all.clone(),
            subscribe: all,
        };
        FleetAccess::new(
            "fleet".into(),
            open,
            dev,
            Registry::default(),
            Arc::default(),
        )
    }

    fn connect<'a>(id: &'a str) -> ConnectRequest<'a> {
        ConnectRequest {
            client_id: id,
            proposed_id: None,
            username: Some(id),
            password: Some(b"x"),
            certificate: None,
            peer: "127.0.0.1:9".parse().unwrap(),
            version: ProtocolVersion::V5,
            clean_start: true,
        }
    }

    #[test]
    fn an_unknown_robot_is_refused_and_told_what_to_do() {
        let refused = access(false, false)
            .authenticate(&connect("fleet/r1"))
            .unwrap_err();
        assert_eq!(refused.code, ReasonCode::NotAuthorized);
        assert!(refused.why.contains("rollcall robot add"));
    }

    #[test]
    fn clients_that_are_no_robots_need_an_open_broker() {
        assert!(
            access(false, false)
                .authenticate(&connect("anybody"))
                .is_err()
        );
        let open = access(true, false);
        let client = open.authenticate(&connect("anybody")).unwrap();
        assert_eq!(client.tag, 0);
        assert_eq!(
            open.publish(&client, "a/b", QoS::AtMostOnce, false),
            PublishAccess::Route
        );
        assert!(matches!(
            open.publish(
                &client,
                "fleet/r1/rollcall.v1.OTARequest/main",
                QoS::AtMostOnce,
                false
            ),
            PublishAccess::Deny { .. }
        ));
    }

    #[test]
    fn a_rule_covers_what_lies_within_it() {
        for (rule, wanted, covered) in [
            ("#", "a/b", true),
            ("#", "#", true),
            ("a/#", "a", true),
            ("a/#", "a/+/c", true),
            ("a/#", "#", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a/b/c", false),
            ("a/b", "a/+", false),
        ] {
            assert_eq!(covers(rule, wanted), covered, "{rule} {wanted}");
        }
    }

    #[test]
    fn a_robot_stays_below_its_own_base() {
        let access = access(false, true);
        let robot = access.authenticate(&connect("fleet/r1")).unwrap();
        let publish = |topic| access.publish(&robot, topic, QoS::AtLeastOnce, false);
        assert_eq!(
            publish("fleet/r1/rollcall.v1.Manifest"),
            PublishAccess::Intake
        );
        for topic in [
            "fleet/r2/rollcall.v1.Manifest",
            "fleet/r1/rollcall.v1.OTARequest/main",
            "other",
            "fleet/r1x",
        ] {
            assert!(
                matches!(publish(topic), PublishAccess::Deny { .. }),
                "{topic}"
            );
        }
        assert!(matches!(
            access.subscribe(&robot, "fleet/r1/#"),
            SubscribeAccess::Grant { .. }
        ));
        for filter in ["#", "fleet/+/x", "fleet/r2/#", "+/r1/#", "fleet/#"] {
            assert!(
                matches!(
                    access.subscribe(&robot, filter),
                    SubscribeAccess::Deny { .. }
                ),
                "{filter}"
            );
        }
    }
}
