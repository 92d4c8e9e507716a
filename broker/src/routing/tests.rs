//! The tree against a list, and sessions in virtual time.

use super::*;
use crate::codec::{Properties, SubscribeOptions, topic};
use crate::event::Verdict;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

fn router() -> Router {
    Router::new(Arc::new(Limits::default()), None)
}

fn message(topic: &str, payload: &[u8]) -> Arc<Message> {
    Message::copied(topic, payload, &Properties::none(), Instant::now())
}

fn will(topic: &str, delay: u64) -> Testament {
    Testament {
        message: message(topic, b"will"),
        expiry: Some(Duration::from_secs(5)),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay: Duration::from_secs(delay),
    }
}

/// Opens a session that nobody else owns.
fn open(router: &mut Router, name: &str, clean: bool, now: Instant) -> (Ready, Vec<Routed>) {
    let mut routed = Vec::new();
    let claim = Claim {
        name: &name.into(),
        clean_start: clean,
        keep: Duration::ZERO,
        will: None,
        connection: ConnectionId(1),
    };
    let opened = router.open(&claim, now, &mut routed);
    match opened.expect("below the limit") {
        Opened::Ready(ready) => (*ready, routed),
        Opened::Busy(owner) => panic!("busy with {owner}"),
    }
}

fn topics(routed: &[Routed]) -> Vec<String> {
    routed
        .iter()
        .map(|routed| routed.delivery.message.topic.to_string())
        .collect()
}

fn publish(router: &mut Router, topic: &str, now: Instant) -> Vec<Routed> {
    let mut routed = Vec::new();
    let message = message(topic, b"x");
    router.publish(None, &message, QoS::ExactlyOnce, false, now, &mut routed);
    routed
}

fn level() -> impl Strategy<Value = &'static str> {
    select(vec!["", "a", "b", "é", "$s"])
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 1 => Just("+")];
    (vec(level, 1..5), any::<bool>()).prop_map(|(mut levels, all)| {
        if all {
            levels.push("#");
        }
        levels.join("/")
    })
}

/// Enough different children of one node for a map.
fn wide() -> impl Strategy<Value = String> {
    (0..40_u8).prop_map(|number| format!("wide/{number}"))
}

/// A filter and who changes it: few sessions with many filters, or enough sessions for a map with few filters.
fn subscriber() -> impl Strategy<Value = (String, usize)> {
    let alike = select(vec!["a", "a/#", "+"]).prop_map(str::to_owned);
    prop_oneof![
        2 => (prop_oneof![filter(), wide()], 0..4_usize),
        1 => (alike, 0..200_usize),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(500)
    })]

    #[test]
    fn the_tree_finds_what_a_list_finds(
        changes in vec((0..4_u8, subscriber()), 1..400),
        names in vec(prop_oneof![vec(level(), 1..6).prop_map(|levels| levels.join("/")), wide()], 1..20),
    ) {
        let mut tree = Tree::default();
        let mut list = BTreeMap::new();
        for (number, (kind, (filter, session))) in changes.into_iter().enumerate() {
            if filter.is_empty() {
                continue;
            }
            if kind > 0 {
                let old = tree.insert(&filter, session, number);
                prop_assert_eq!(old, list.insert((filter, session), number));
            } else {
                let existed = tree.remove(&filter, session);
                prop_assert_eq!(existed, list.remove(&(filter, session)).is_some());
            }
            prop_assert_eq!(tree.len(), list.len());
        }
        for ((filter, session), number) in &list {
            prop_assert_eq!(tree.get(filter, *session), Some(*number));
        }
        for name in names {
            if name.is_empty() {
                continue;
            }
            let mut found = Vec::new();
            tree.matches(&name, &mut |_, options| found.push(*options));
            found.sort_unstable();
            let mut expected: Vec<_> = list
                .iter()
                .filter(|((filter, _), _)| topic::matches(filter, &name))
                .map(|(_, number)| *number)
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected, "{}", name);
        }
    }

    #[test]
    fn retained_messages_are_found_as_in_a_list(
        names in vec(vec(level(), 1..5).prop_map(|levels| levels.join("/")), 1..30),
        filter in filter(),
    ) {
        prop_assume!(!filter.is_empty());
        let now = Instant::now();
        let mut router = router();
        let mut expected = std::collections::BTreeSet::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            let message = message(name, b"x");
            router.publish(None, &message, QoS::AtMostOnce, true, now, &mut Vec::new());
            if topic::matches(&filter, name) {
                expected.insert(name.clone());
            }
        }
        let found: Vec<_> = router
            .retained
            .matching(&filter, now)
            .iter()
            .map(|(message, _)| message.topic.to_string())
            .collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_session_can_be_resumed_until_its_time_is_over() {
    let start = Instant::now();
    let mut router = router();
    let keep = Duration::from_secs(60);
    for (after, present) in [(59, true), (60, false)] {
        let (ready, _) = open(&mut router, "robot", true, start);
        let options = SubscribeOptions::qos(QoS::AtLeastOnce);
        router
            .subscribe(ready.key, "t", options, None, start)
            .expect("below the limit");
        router.close(ready.key, ready.session, keep, None, start, &mut Vec::new());
        assert_eq!(router.next_deadline(), Some(start + keep));
        assert!(publish(&mut router, "t", start).is_empty(), "queued");
        let later = start + Duration::from_secs(after);
        let (ready, _) = open(&mut router, "robot", false, later);
        assert_eq!(ready.present, present);
        assert_eq!(ready.session.queue.len(), usize::from(present));
        assert_eq!(ready.subscriptions.len(), usize::from(present));
        assert_eq!(router.subscriptions(), usize::from(present));
        router.close(
            ready.key,
            ready.session,
            Duration::ZERO,
            None,
            later,
            &mut Vec::new(),
        );
    }
    assert_eq!((router.sessions(), router.subscriptions()), (0, 0));
    assert_eq!(router.next_deadline(), None, "nothing is left behind");
}

#[test]
fn a_will_waits_for_its_delay_but_not_beyond_the_session() {
    let start = Instant::now();
    let mut router = router();
    let (watcher, _) = open(&mut router, "watcher", true, start);
    let options = SubscribeOptions::qos(QoS::AtLeastOnce);
    router
        .subscribe(watcher.key, "#", options, None, start)
        .expect("below the limit");
    for (keep, delay, due) in [(0, 0, 0), (0, 9, 0), (60, 0, 0), (60, 9, 9), (60, 99, 60)] {
        let (ready, _) = open(&mut router, "robot", true, start);
        let mut routed = Vec::new();
        let keep = Duration::from_secs(keep);
        let testament = Some(will("wills", delay));
        router.close(
            ready.key,
            ready.session,
            keep,
            testament,
            start,
            &mut routed,
        );
        if due == 0 {
            assert_eq!(topics(&routed), ["wills"]);
        } else {
            let at = start + Duration::from_secs(due);
            assert!(routed.is_empty());
            router.tick(at - Duration::from_millis(1), &mut routed);
            assert!(routed.is_empty());
            router.tick(at, &mut routed);
            assert_eq!(topics(&routed), ["wills"]);
            let expires = Some(at + Duration::from_secs(5));
            assert_eq!(routed[0].delivery.message.expires, expires);
        }
        let mut later = Vec::new();
        router.tick(start + Duration::from_secs(600), &mut later);
        assert!(later.is_empty(), "once is enough");
    }
    assert_eq!((router.sessions(), router.next_deadline()), (1, None));
}

#[test]
fn a_return_within_the_delay_calls_the_will_off_and_not_only_puts_it_off() {
    let start = Instant::now();
    let mut router = router();
    let (watcher, _) = open(&mut router, "watcher", true, start);
    let options = SubscribeOptions::qos(QoS::AtLeastOnce);
    router
        .subscribe(watcher.key, "#", options, None, start)
        .expect("below the limit");
    let keep = Duration::from_secs(60);
    let (ready, _) = open(&mut router, "robot", true, start);
    let mut routed = Vec::new();
    let testament = Some(will("wills", 9));
    router.close(
        ready.key,
        ready.session,
        keep,
        testament,
        start,
        &mut routed,
    );
    let back = start + Duration::from_secs(8);
    let (ready, _) = open(&mut router, "robot", false, back);
    assert!(ready.present);
    router.tick(start + Duration::from_secs(600), &mut routed);
    router.close(ready.key, ready.session, keep, None, back, &mut routed);
    router.tick(back + Duration::from_secs(600), &mut routed);
    assert!(routed.is_empty(), "{:?}", topics(&routed));
}

#[test]
fn a_late_verdict_finds_its_own_session_only() {
    let start = Instant::now();
    let mut router = router();
    let (ready, _) = open(&mut router, "robot", true, start);
    let (key, number) = (ready.key, ready.number);
    let accepted = Verdict::Accepted;
    assert_eq!(router.settle_late(key, number, 1, &accepted), Some(key));
    router.close(
        key,
        ready.session,
        Duration::ZERO,
        None,
        start,
        &mut Vec::new(),
    );
    assert_eq!(router.settle_late(key, number, 1, &accepted), None);
    let (other, _) = open(&mut router, "other", true, start);
    assert_eq!(other.key, key, "the place is used again");
    assert_eq!(router.settle_late(key, number, 1, &accepted), None);
}

#[test]
fn a_replaced_subscription_replaces_its_options() {
    let start = Instant::now();
    let mut router = router();
    let (ready, _) = open(&mut router, "robot", true, start);
    for qos in [QoS::ExactlyOnce, QoS::AtMostOnce] {
        let options = SubscribeOptions::qos(qos);
        router
            .subscribe(ready.key, "t", options, None, start)
            .expect("below the limit");
        assert_eq!(publish(&mut router, "t", start)[0].delivery.qos, qos);
    }
    assert!(router.unsubscribe(ready.key, "t"));
    assert!(publish(&mut router, "t", start).is_empty());
}

#[test]
fn a_full_queue_lets_go_of_what_has_expired_before_it_drops_what_is_new() {
    let start = Instant::now();
    let limits = Limits {
        queue_messages: 3,
        ..Limits::default()
    };
    let mut router = Router::new(Arc::new(limits), None);
    let (ready, _) = open(&mut router, "a", true, start);
    let options = SubscribeOptions::qos(QoS::AtLeastOnce);
    router
        .subscribe(ready.key, "#", options, None, start)
        .expect("room");
    let keep = Duration::from_secs(1_000);
    router.close(ready.key, ready.session, keep, None, start, &mut Vec::new());
    let mut send = |topic: &str, expiry: Option<u64>, after: u64| {
        let now = start + Duration::from_secs(after);
        let expires = expiry.map(|seconds| start + Duration::from_secs(seconds));
        let message = message(topic, b"x").expiring(expires);
        router.publish(
            None,
            &message,
            QoS::AtLeastOnce,
            false,
            now,
            &mut Vec::new(),
        );
        (router.tally.queue_full, router.tally.expired_messages)
    };
    assert_eq!(send("stays", None, 0), (0, 0));
    assert_eq!(send("brief", Some(5), 0), (0, 0));
    assert_eq!(send("long", Some(50), 0), (0, 0));
    assert_eq!(send("too much", None, 4), (1, 0));
    assert_eq!(send("fits", None, 5), (1, 1));
    assert_eq!(send("too much", None, 49), (2, 1));
    assert_eq!(send("fits too", None, 50), (2, 2));
    let (ready, _) = open(&mut router, "a", false, start);
    let waited = ready.session.queue.iter();
    let waited: Vec<_> = waited
        .map(|delivery| delivery.message.topic.to_string())
        .collect();
    assert_eq!(waited, ["stays", "fits", "fits too"]);
}
