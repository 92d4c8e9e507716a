//! Rollcall's counters: every refusal has to be among them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::time::{Instant, sleep, timeout};

use super::attack::Counted;
use crate::driver::{Connector, chain, connector};

/// The family of Rollcall's counters that attacks move.
const FAMILY: &str = "rollcall_mqtt_events_total{kind=\"";
/// Largest answer that is read.
const ANSWER_MAX: usize = 4 << 20;
/// Longest time for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// How long a counter may lag behind what it counts: a connection is counted as ended after its last byte.
const LAG: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Why there are no counters.
#[derive(Debug, thiserror::Error)]
#[error("read counters from {url}: {why}")]
pub struct MetricsError {
    url: String,
    why: String,
}

/// Where the counters are.
#[derive(Debug)]
pub(super) struct Metrics {
    client: Client<Connector, Empty<Bytes>>,
    url: Uri,
    token: Option<String>,
}

/// Values by kind.
pub(super) type Counts = BTreeMap<String, u64>;

impl Metrics {
    pub(super) fn new(url: Uri, token: Option<String>, tls: ClientConfig) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector(tls)),
            url,
            token,
        }
    }

    pub(super) async fn read(&self) -> Result<Counts, MetricsError> {
        let failed = |why: String| MetricsError {
            url: self.url.to_string(),
            why,
        };
        let text = timeout(ANSWER_TIME, self.get());
        let text = text.await.map_err(|_| failed("no answer".to_owned()))?;
        let counts = parse(&text.map_err(failed)?);
        if counts.is_empty() {
            return Err(failed(
                "no rollcall_mqtt_events_total in it; is it Rollcall's /metrics?".to_owned(),
            ));
        }
        Ok(counts)
    }

    async fn get(&self) -> Result<String, String> {
        let mut request = Request::get(self.url.clone());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| chain(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!(
                "{}; is --token that of a viewer?",
                response.status()
            ));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        String::from_utf8(body.to_bytes().to_vec()).map_err(|error| error.to_string())
    }

    /// What of `expected` has not been counted since `before`, after having given it time.
    pub(super) async fn missing(
        &self,
        before: &Counts,
        expected: &[Counted],
    ) -> Result<Vec<String>, MetricsError> {
        let deadline = Instant::now() + LAG;
        loop {
            let missing = lacking(before, &self.read().await?, expected);
            if missing.is_empty() || Instant::now() > deadline {
                return Ok(missing);
            }
            sleep(LOOK).await;
        }
    }
}

fn parse(text: &str) -> Counts {
    let samples = text.lines().filter_map(|line| {
        let (kind, value) = line.strip_prefix(FAMILY)?.split_once("\"}")?;
        Some((kind.to_owned(), value.trim().parse().ok()?))
    });
    samples.collect()
}

fn lacking(before: &Counts, after: &Counts, expected: &[Counted]) -> Vec<String> {
    let of = |counts: &Counts, kind: &str| counts.get(kind).copied().unwrap_or(0);
    let lacking = expected.iter().filter_map(|Counted { kinds, at_least }| {
        let rises = kinds
            .iter()
            .map(|kind| of(after, kind).saturating_sub(of(before, kind)));
        let counted: u64 = rises.sum();
        (counted < *at_least as u64)
            .then(|| format!("{} counted {counted} of {at_least}", kinds.join(" and ")))
    });
    lacking.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_is_not_counted_is_found() {
        let before = parse("# HELP x\nrollcall_mqtt_events_total{kind=\"a\"} 3\nother 7\n");
        let after = parse(
            "rollcall_mqtt_events_total{kind=\"a\"} 5\nrollcall_mqtt_events_total{kind=\"b\"} 1\n",
        );
        let expect = |kinds, at_least| lacking(&before, &after, &[Counted { kinds, at_least }]);
        assert!(expect(&["a"], 2).is_empty());
        assert!(expect(&["a", "b"], 3).is_empty());
        assert_eq!(expect(&["a"], 3), ["a counted 2 of 3"]);
        assert_eq!(expect(&["c"], 1), ["c counted 0 of 1"]);
    }
}
