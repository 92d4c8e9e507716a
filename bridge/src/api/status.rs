//! What the server is and what it counts.

use super::Context;
use super::error::ApiError;
use super::request::Viewer;
use super::views::rfc3339;
use crate::writer::{StatusSnapshot, View};
use axum::extract::State;
use rollcall_broker::MetricsSnapshot;
use rollcall_engine::{RolloutStatus, Run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How people and robots reach the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Urls {
    /// The admin API.
    pub api: String,
    /// What robots fetch.
    pub device: String,
    /// Where robots pair: the `pairing_url` of Astarte's SDKs.
    #[serde(default)]
    pub pairing: String,
    /// MQTT, as `mqtt://HOST:PORT`.
    pub mqtt: String,
    /// MQTT with TLS, as `mqtts://HOST:PORT`, if it is served.
    #[serde(default)]
    pub mqtts: Option<String>,
    /// MQTT over WebSocket, as `ws://HOST:PORT/mqtt` or `wss://HOST:PORT/mqtt`, if it is served.
    #[serde(default)]
    pub websocket: Option<String>,
}

/// The server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct StatusView {
    pub version: &'static str,
    pub realm: String,
    pub started: String,
    pub started_ms: u64,
    pub urls: Option<Urls>,
    pub fleet: FleetView,
    pub writer: StatusSnapshot,
    pub broker: BrokerView,
}

/// How much there is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct FleetView {
    pub robots: usize,
    pub online: usize,
    pub groups: usize,
    pub images: usize,
    pub rollouts: RolloutsView,
}

/// Rollouts by status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RolloutsView {
    pub prepared: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub ending: usize,
    pub completed: usize,
}

/// The broker's gauges and counters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct BrokerView {
    pub connections: usize,
    pub handshaking: usize,
    pub sessions: usize,
    pub subscriptions: usize,
    pub retained_messages: usize,
    pub retained_bytes: usize,
    pub counts: BTreeMap<&'static str, u64>,
}

impl FleetView {
    pub(super) fn new(view: &View<'_>) -> Self {
        let mut fleet = Self {
            groups: view.state.groups().count(),
            images: view
                .state
                .images()
                .filter(|image| image.removed.is_none())
                .count(),
            ..Self::default()
        };
        for robot in view
            .state
            .robots(None)
            .filter(|robot| robot.removed.is_none())
        {
            fleet.robots += 1;
            fleet.online += usize::from(robot.online());
        }
        for rollout in view.state.rollouts() {
            *match rollout.status {
                RolloutStatus::Prepared => &mut fleet.rollouts.prepared,
                RolloutStatus::Launched {
                    run: Run::Running, ..
                } => &mut fleet.rollouts.running,
                RolloutStatus::Launched {
                    run: Run::Paused { .. },
                    ..
                } => &mut fleet.rollouts.paused,
                RolloutStatus::Launched {
                    run: Run::Stopped { .. },
                    ..
                } => &mut fleet.rollouts.stopped,
                RolloutStatus::Launched {
                    run: Run::Ending { .. },
                    ..
                } => &mut fleet.rollouts.ending,
                RolloutStatus::Completed { .. } => &mut fleet.rollouts.completed,
            } += 1;
        }
        fleet
    }
}

impl From<MetricsSnapshot> for BrokerView {
    fn from(metrics: MetricsSnapshot) -> Self {
        Self {
            connections: metrics.connections,
            handshaking: metrics.handshaking,
            sessions: metrics.sessions,
            subscriptions: metrics.subscriptions,
            retained_messages: metrics.retained_messages,
            retained_bytes: metrics.retained_bytes,
            counts: metrics.counts().collect(),
        }
    }
}

/// `GET /v1/status`
pub(super) async fn status(
    State(context): State<Context>,
    _: Viewer,
) -> Result<axum::Json<StatusView>, ApiError> {
    let fleet = context.bridge.query(FleetView::new).await?;
    Ok(axum::Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        realm: context.realm,
        started: rfc3339(context.started),
        started_ms: context.started.0,
        urls: context.urls,
        fleet,
        writer: context.bridge.status().snapshot(),
        broker: context.broker.metrics().into(),
    }))
}
