//! Shares against a list of who is where: every message reaches one member, and the turns are fair.

use crate::codec::{Properties, QoS, RetainHandling, SubscribeOptions};
use crate::config::Limits;
use crate::connection::Session;
use crate::event::ConnectionId;
use crate::message::Message;
use crate::routing::{Claim, Opened, Router, SessionKey};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OPTIONS: SubscribeOptions = SubscribeOptions {
    qos: QoS::AtLeastOnce,
    no_local: false,
    retain_as_published: false,
    retain_handling: RetainHandling::Send,
};
const KEEP: Duration = Duration::from_secs(1_000);

fn open(router: &mut Router, name: &str, clean_start: bool, now: Instant) -> (SessionKey, Session) {
    let claim = Claim {
        name: &name.into(),
        clean_start,
        keep: KEEP,
        will: None,
        connection: ConnectionId(1),
    };
    match router.open(&claim, now, &mut Vec::new()).expect("room") {
        Opened::Ready(ready) => (ready.key, ready.session),
        Opened::Busy(owner) => panic!("busy with {owner}"),
    }
}

/// What happens to one of a few clients.
#[derive(Debug, Clone)]
enum Step {
    Come { client: usize, clean: bool },
    Go { client: usize, keep: bool },
    Join { client: usize, group: usize },
    Leave { client: usize, group: usize },
    Publish,
}

const GROUPS: [&str; 3] = ["$share/g/t", "$share/h/t", "$share/g/+"];

fn step() -> impl Strategy<Value = Step> {
    let client = 0..4_usize;
    let group = 0..GROUPS.len();
    prop_oneof![
        2 => (client.clone(), any::<bool>()).prop_map(|(client, clean)| Step::Come { client, clean }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, keep)| Step::Go { client, keep }),
        3 => (client.clone(), group.clone()).prop_map(|(client, group)| Step::Join { client, group }),
        1 => (client, group).prop_map(|(client, group)| Step::Leave { client, group }),
        5 => Just(Step::Publish),
    ]
}

/// A client that the router knows.
#[derive(Debug, Default)]
struct Known {
    /// Its session while it is there.
    online: Option<(SessionKey, Session)>,
    groups: Vec<usize>,
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(500)
    })]

    #[test]
    fn every_message_reaches_one_member_of_every_share(steps in vec(step(), 1..80)) {
        let now = Instant::now();
        let mut router = Router::new(Arc::new(Limits::default()), None);
        let mut clients: BTreeMap<usize, Known> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Come { client, clean } => {
                    let known = clients.entry(client).or_default();
                    if known.online.is_some() {
                        continue;
                    }
                    let (key, _) = open(&mut router, &client.to_string(), clean, now);
                    if clean {
                        *known = Known::default();
                    }
                    known.online = Some((key, Session::default()));
                }
                Step::Go { client, keep } => {
                    let Some(known) = clients.get_mut(&client) else {
                        continue;
                    };
                    let Some((key, session)) = known.online.take() else {
                        continue;
                    };
                    let time = if keep { KEEP } else { Duration::ZERO };
                    router.close(key, session, time, None, now, &mut Vec::new());
                    if !keep {
                        clients.remove(&client);
                    }
                }
                Step::Join { client, group } => {
                    let Some(known) = clients.get_mut(&client) else {
                        continue;
                    };
                    let Some((key, _)) = &known.online else {
                        continue;
                    };
                    let given = router.subscribe(*key, GROUPS[group], OPTIONS, None, now);
                    prop_assert!(given.expect("room").is_empty());
                    known.groups.retain(|known| *known != group);
                    known.groups.push(group);
                }
                Step::Leave { client, group } => {
                    let Some(known) = clients.get_mut(&client) else {
                        continue;
                    };
                    let Some((key, _)) = &known.online else {
                        continue;
                    };
                    let existed = router.unsubscribe(*key, GROUPS[group]);
                    prop_assert_eq!(existed, known.groups.contains(&group));
                    known.groups.retain(|known| *known != group);
                }
                Step::Publish => {
                    let message = Message::copied("t", b"x", &Properties::none(), now);
                    let queued = |router: &Router| {
                        let absent = clients.iter().filter(|(_, known)| known.online.is_none());
                        absent.map(|(client, _)| router.queued(&client.to_string())).sum::<usize>()
                    };
                    let before = queued(&router);
                    let mut routed = Vec::new();
                    let wanted = router.publish(None, &message, QoS::AtLeastOnce, false, now, &mut routed);
                    let members = |group: usize, online: bool| {
                        clients.values().filter(|known| {
                            known.groups.contains(&group) && known.online.is_some() == online
                        }).count()
                    };
                    let groups = 0..GROUPS.len();
                    let there = groups.clone().filter(|group| members(*group, true) > 0).count();
                    let anybody = groups.filter(|group| {
                        members(*group, true) + members(*group, false) > 0
                    }).count();
                    prop_assert_eq!(wanted, anybody > 0);
                    prop_assert_eq!(routed.len(), there, "those who are there come first");
                    let after = queued(&router);
                    prop_assert_eq!(after - before, anybody - there);
                }
            }
            let memberships: usize = clients.values().map(|known| known.groups.len()).sum();
            prop_assert_eq!(router.subscriptions(), memberships);
        }
    }
}

impl Router {
    fn queued(&self, name: &str) -> usize {
        match &self.sessions[self.names[name]].presence {
            crate::routing::Presence::Absent(absent) => absent.session.queue.len(),
            crate::routing::Presence::Online(_) => 0,
        }
    }
}

#[test]
fn a_share_without_members_leaves_nothing_behind() {
    let now = Instant::now();
    let mut router = Router::new(Arc::new(Limits::default()), None);
    for round in 0..3 {
        let (key, session) = open(&mut router, "a", true, now);
        for filter in GROUPS {
            router
                .subscribe(key, filter, OPTIONS, None, now)
                .expect("room");
        }
        router.close(key, session, Duration::ZERO, None, now, &mut Vec::new());
        assert!(router.shares.is_empty(), "round {round}");
        assert_eq!(router.shares.tree.len(), 0);
        assert!(router.shares.names.is_empty());
        assert_eq!(router.shares.len(), 0);
    }
}
