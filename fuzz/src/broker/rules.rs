//! Who may do what, and a disk that somebody else looks after.

use rollcall_broker::{
    Access, ConnectRefusal, ConnectRequest, Principal, PublishAccess, QoS, ReasonCode,
    SessionPolicy, Storage, SubscribeAccess,
};

/// `r…` are robots, whose topics `i…` are taken in. Nobody may use `d…`.
#[derive(Debug)]
pub(super) struct Rules;

pub(super) fn tag(client_id: &str) -> u64 {
    if client_id.starts_with('r') {
        1 + client_id.bytes().map(u64::from).sum::<u64>()
    } else {
        0
    }
}

impl Access for Rules {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        if connect.username == Some("wrong") {
            return Err(ConnectRefusal {
                code: ReasonCode::BadUserNameOrPassword,
                why: "the fuzzer said so".into(),
            });
        }
        let id = connect.proposed_id.unwrap_or(connect.client_id);
        Ok(Principal {
            client_id: id.into(),
            tag: tag(id),
            sessions: if id.starts_with("rc") {
                SessionPolicy::AlwaysClean
            } else {
                SessionPolicy::Persistent
            },
        })
    }

    fn publish(&self, _: &Principal, topic: &str, _: QoS, _: bool) -> PublishAccess {
        match topic.as_bytes().first() {
            Some(b'i') => PublishAccess::Intake,
            Some(b'd') => PublishAccess::Deny {
                why: "denied".into(),
            },
            _ => PublishAccess::Route,
        }
    }

    fn subscribe(&self, _: &Principal, filter: &str) -> SubscribeAccess {
        match filter.as_bytes().first() {
            Some(b'd') => SubscribeAccess::Deny {
                why: "denied".into(),
            },
            _ => SubscribeAccess::Grant {
                max_qos: QoS::ExactlyOnce,
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct Disk;

impl Storage for Disk {
    fn wanted(&self) {}
}
