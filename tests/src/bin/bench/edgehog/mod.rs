//! What Edgehog devices ask of a server before they say anything: pairing, TLS, and Astarte's handshake on every
//! connection.

pub(crate) mod pairing;
pub(crate) mod storm;

mod http;

use crate::report::Figure;
use crate::server::{Server, free_address};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server that speaks TLS to robots, with a token that registers them.
#[derive(Debug)]
struct Site {
    server: Server,
    device_http: SocketAddr,
    /// Whether pairing is reached over HTTPS.
    secured: bool,
    token: String,
}

impl Site {
    fn open(program: &Path, secured: bool) -> Result<Self> {
        let (mqtts, device_http) = (free_address()?, free_address()?);
        let more = format!(
            "[mqtts]\naddress = \"{mqtts}\"\n[device_http]\naddress = \"{device_http}\"\ntls = {secured}\n"
        );
        let server = Server::start_with(program, &more)?;
        let made: Value = server.post("/v1/pairing/tokens", &json!({"name": "benchmark"}))?;
        let token = made["token"].as_str().context("no pairing token")?;
        Ok(Self {
            token: token.to_owned(),
            server,
            device_http,
            secured,
        })
    }

    fn pairing_url(&self) -> String {
        let scheme = if self.secured { "https" } else { "http" };
        format!("{scheme}://localhost:{}/pairing", self.device_http.port())
    }

    fn authority(&self) -> PathBuf {
        self.server.data_dir().join("tls").join("ca.pem")
    }
}

fn seconds(name: &str, value: Duration) -> Figure {
    Figure::new(name, value.as_secs_f64(), "s")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
