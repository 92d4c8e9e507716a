//! What it costs when nobody wants to hear of messages. The only test of its process, like `trace.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::QoS;
use rollcall_broker::codec::Packet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{ANY, Client, Server, ack, publish};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Default)]
struct Counted {
    spans: AtomicUsize,
    words: AtomicUsize,
}

struct Counter(Arc<Counted>);

impl<S: Subscriber> Layer<S> for Counter {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.0.spans.fetch_add(1, Ordering::SeqCst);
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0.words.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn below_trace_a_message_makes_no_span_and_no_word() {
    let counted = Arc::new(Counted::default());
    tracing_subscriber::registry()
        .with(Counter(Arc::clone(&counted)))
        .with(EnvFilter::new("debug"))
        .init();
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("news", ANY).await;
    client.until_pong().await;
    let before = counted.words.load(Ordering::SeqCst);
    assert!(before > 0, "that it is connected is no message");
    for _ in 0..100 {
        client
            .publish(publish("news", b"x", QoS::AtLeastOnce, 7))
            .await;
        client.expect(Packet::PubAck(ack(7))).await;
        client.message().await;
    }
    assert_eq!(counted.words.load(Ordering::SeqCst), before);
    assert_eq!(counted.spans.load(Ordering::SeqCst), 0);
}
