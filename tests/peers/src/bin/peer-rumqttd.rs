//! `peer-rumqttd ADDRESS`: rumqttd as its own program starts it, with its default configuration except for what a
//! fleet needs: places for 30,000 connections, no pause between two of them, and no console.

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: peer-rumqttd IP:PORT")?;
    let config = format!(
        r#"
        id = 0
        [router]
        id = 0
        max_connections = 30000
        max_outgoing_packet_count = 200
        max_segment_size = 104857600
        max_segment_count = 10
        [v4.1]
        name = "v4-1"
        listen = "{address}"
        next_connection_delay_ms = 0
        [v4.1.connections]
        connection_timeout_ms = 60000
        max_payload_size = 20480
        max_inflight_count = 100
        dynamic_filters = true
        "#
    );
    let config = toml::from_str(&config).context("the configuration does not fit")?;
    rumqttd::Broker::new(config).start()?;
    Ok(())
}
