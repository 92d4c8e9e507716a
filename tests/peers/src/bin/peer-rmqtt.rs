//! `peer-rmqtt ADDRESS`: rmqtt with its defaults, and the allocator of its own program. What its defaults would drop of
//! a measurement is let through: more handshakes at a time, a queue for
//! the subscriber that does not overflow at once, and as many unfinished publishes as clients like.

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::Context;
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;

#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: peer-rmqtt IP:PORT")?;
    let context = ServerContext::new().busy_check_enable(false).build().await;
    let listener = Builder::new()
        .name("tcp")
        .laddr(
            address
                .parse()
                .context("an address is written as IP:PORT")?,
        )
        .nodelay(true)
        .backlog(4_096)
        .max_handshaking_limit(30_000)
        .handshake_timeout(Duration::from_secs(60))
        .max_mqueue_len(1_000_000)
        .max_inflight(NonZeroU16::MAX)
        .bind()
        .map_err(|error| anyhow::anyhow!("bind {address}: {error}"))?
        .tcp()
        .map_err(|error| anyhow::anyhow!("listen on {address}: {error}"))?;
    let server = MqttServer::new(context).listener(listener).build();
    server
        .run()
        .await
        .map_err(|error| anyhow::anyhow!("serve: {error}"))
}
