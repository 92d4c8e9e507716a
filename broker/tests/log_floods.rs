//! A client that is refused thousands of times must not fill the log; the counters have it all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::Count;
use rollcall_broker::codec::{Packet, Properties, Subscribe, Subscription};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{ANY, Client, Server};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static LINES: AtomicUsize = AtomicUsize::new(0);
static LONGEST: AtomicUsize = AtomicUsize::new(0);

/// Counts what an operator would see.
struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("rollcall_broker")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        LINES.fetch_add(1, Ordering::SeqCst);
        event.record(&mut Longest);
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Longest;

impl Visit for Longest {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        LONGEST.fetch_max(format!("{value:?}").len(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn thousands_of_refused_filters_are_a_few_short_lines() {
    tracing::subscriber::set_global_default(Log).unwrap();
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    let refused = Subscription {
        filter: format!("deny/{}", "x".repeat(1_000)).into(),
        options: ANY,
    };
    for _ in 0..20 {
        client
            .send(Packet::Subscribe(Subscribe {
                packet_id: 1,
                properties: Properties::none(),
                subscriptions: vec![refused.clone(); 50],
            }))
            .await;
        assert!(matches!(client.recv().await, Packet::SubAck(_)));
    }
    server.counts(Count::SubscribeDenied, 1_000).await;
    let lines = LINES.load(Ordering::SeqCst);
    // A line a second, however long this took.
    assert!((1..200).contains(&lines), "{lines} lines");
    assert!(LONGEST.load(Ordering::SeqCst) < 200);
}
