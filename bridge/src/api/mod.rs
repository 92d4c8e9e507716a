//! The HTTP interfaces: the admin API below `/v1`, health, metrics, and what robots fetch.
//!
//! **Invariant**: a change is answered only when it is durable ([`Bridge::command`] sees to that), and every route
//! below `/v1` names the role that it needs.

mod ca;
mod channels;
mod course_views;
mod credentials;
mod device_views;
mod devices;
mod error;
mod groups;
mod health;
mod images;
mod ledger;
pub(crate) mod listener;
mod manual;
mod member_views;
mod metrics;
mod pairing_tokens;
mod preview_views;
mod release_views;
mod releases;
pub(crate) mod request;
mod robots;
mod rollout_control;
mod rollout_views;
mod rollouts;
mod selectors;
mod spec;
mod status;
mod stream;
pub mod tokens;
mod views;
mod wait_views;

pub use crate::artifacts::router as device_router;
pub use ca::{CaView, Reloaded, ServerCertificateView};
pub use channels::{
    ChangedChannel, ChannelDetail, ChannelMembership, ChannelRobot, ChannelView, GroupMembership,
    NewChannel,
};
pub use course_views::{
    CourseView, FailuresView, PaceView, PhaseView, ReasonView, RunView, ScheduleView, TallyView,
};
pub use credentials::{
    CertificateRequest, CertificateView, CredentialsView, NewSecret, Rotation, SignedCertificate,
};
pub use device_views::{DeviceView, SettingView, ValueView};
pub use devices::{CancelWhat, NewProperty, ServerProperties};
pub(crate) use error::internal;
pub use error::{ApiError, ErrorBody, ErrorView};
pub use groups::{ChangedGroup, MembershipView, NewGroup};
pub use images::NewImage;
pub use ledger::{IMPORT_LIMIT, LedgerState, LedgerVersionView, LedgerView, SourceView};
pub use listener::{MAX_CONNECTIONS, TlsSettings, serve, serve_tls};
pub use manual::UpdateByHand;
pub use member_views::{MemberView, RetryView, TargetView, WhyView};
pub use pairing_tokens::{MadePairingToken, NewPairingToken, PairingTokenView};
pub use preview_views::{
    ConflictView, PlannedEcuView, PlannedView, PreviewView, SpanView, ZoneWindowsView,
};
pub use release_views::{
    ActView, InactiveView, LedgerChoice, NewRelease, ReleasePlace, ReleasePreviewView,
    ReleaseStandstill, ReleaseView, TrancheView,
};
pub use request::{BODY_LIMIT, MAX_PAGE, REGISTRATION_LIMIT};
pub use robots::{
    MAX_REGISTRATIONS, NewEcu, NewRobot, RegisteredRobot, Registration, Registrations,
    RobotHistory, RobotRollout,
};
pub use rollout_control::StandstillView;
pub use rollout_views::{EdgehogCampaign, Projections, RolloutView};
pub use selectors::{CheckedSelector, SelectorToCheck};
pub use spec::{ChangedRollout, MappedImage, NewRollout};
pub use status::{BrokerView, FleetView, RolloutsView, StatusView, Urls};
pub use tokens::Tokens;
pub use views::{
    CancellingView, EcuView, GroupDetail, GroupView, ImageView, OperationView, Page, RefusalView,
    ReportedView, RobotView, TelemetryView, rfc3339,
};

use crate::artifacts::Artifacts;
use crate::ledger::Ledgers;
use crate::pki::Pki;
use crate::writer::Bridge;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{delete, get, post};
use rollcall_broker::BrokerHandle;
use rollcall_engine::Timestamp;
use std::sync::Arc;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The way to the writer.
    pub bridge: Bridge,
    /// Who may ask for what.
    pub tokens: Arc<Tokens>,
    /// Hosted files.
    pub artifacts: Arc<Artifacts>,
    /// Follows the ledgers of channels.
    pub ledgers: Arc<Ledgers>,
    /// Certificates.
    pub pki: Arc<Pki>,
    /// The broker, for its counters.
    pub broker: BrokerHandle,
    /// The realm that is served.
    pub realm: String,
    /// How people and robots reach the server, as far as it is known.
    pub urls: Option<Urls>,
    /// When the server started.
    pub started: Timestamp,
}

/// The admin HTTP listener: API, health and metrics.
pub fn admin_router(context: Context) -> Router {
    let v1 = Router::new()
        .route("/status", get(status::status))
        .route("/robots", get(robots::list).post(robots::register))
        .route(
            "/robots/{id}",
            get(robots::show).patch(robots::edit).delete(robots::remove),
        )
        .route("/robots/{id}/accept", post(devices::accept))
        .route("/robots/{id}/cancel", post(devices::cancel))
        .route("/robots/{id}/update", post(manual::update))
        .route(
            "/robots/{id}/properties",
            get(devices::properties).put(devices::set_property),
        )
        .route("/robots/{id}/history", get(robots::history))
        .route(
            "/robots/{id}/credentials/certificate",
            post(credentials::issue),
        )
        .route(
            "/robots/{id}/credentials/inhibit",
            post(credentials::inhibit),
        )
        .route("/robots/{id}/credentials/allow", post(credentials::allow))
        .route("/robots/{id}/credentials/rotate", post(credentials::rotate))
        .route(
            "/pairing/tokens",
            get(pairing_tokens::list).post(pairing_tokens::add),
        )
        .route("/pairing/tokens/{name}", delete(pairing_tokens::remove))
        .route("/ca", get(ca::show))
        .route("/ca/reload", post(ca::reload))
        .route("/groups", get(groups::list).post(groups::add))
        .route(
            "/groups/{name}",
            get(groups::show).patch(groups::edit).delete(groups::remove),
        )
        .route("/groups/{name}/robots/{robot}", get(groups::membership))
        .route("/channels", get(channels::list).post(channels::add))
        .route(
            "/channels/{name}",
            get(channels::show)
                .patch(channels::edit)
                .delete(channels::remove),
        )
        .route("/channels/{name}/robots/{robot}", get(channels::membership))
        .route(
            "/channels/{name}/source",
            get(ledger::source).put(ledger::set_source),
        )
        .route("/channels/{name}/ledger", get(ledger::show))
        .route("/channels/{name}/ledger/sync", post(ledger::sync))
        .route("/channels/{name}/ledger/import", post(ledger::import))
        .route("/selectors/check", post(selectors::check))
        .route("/images", get(images::list).post(images::add))
        .route("/images/{image}", get(images::show).delete(images::remove))
        .route(
            "/images/{image}/file",
            post(images::upload).put(images::restore),
        )
        .route("/releases", get(releases::list).post(releases::publish))
        .route("/releases/preview", post(releases::preview))
        .route("/channels/{name}/release", get(releases::of_channel))
        .route("/releases/{id}", get(releases::show))
        .route(
            "/releases/{id}/stop",
            get(releases::standstill).post(releases::stop),
        )
        .route("/releases/{id}/resume", post(releases::resume))
        .route("/releases/{id}/raise", post(releases::raise))
        .route("/releases/{id}/robots/{robot}", get(releases::place))
        .route("/rollouts", get(rollouts::list).post(rollouts::create))
        .route("/rollouts/preview", post(rollouts::preview))
        .route(
            "/rollouts/{id}",
            get(rollouts::show)
                .patch(rollouts::edit)
                .delete(rollouts::delete),
        )
        .route("/rollouts/{id}/launch", post(rollouts::launch))
        .route("/rollouts/{id}/pause", post(rollout_control::pause))
        .route("/rollouts/{id}/resume", post(rollout_control::resume))
        .route(
            "/rollouts/{id}/stop",
            get(rollout_control::standstill).post(rollout_control::stop),
        )
        .route("/rollouts/{id}/cancel", post(rollout_control::cancel))
        .route("/rollouts/{id}/approve", post(rollout_control::approve))
        .route("/rollouts/{id}/robots", get(rollouts::robots))
        .route("/rollouts/{id}/robots/{robot}/why", get(rollouts::why))
        .route("/rollouts/{id}/history", get(rollouts::history));
    Router::new()
        .nest("/v1", v1)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        // Each body has its own limit where it is read.
        .layer(DefaultBodyLimit::disable())
        .with_state(context)
}

async fn unknown_route(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_route",
        format!("there is nothing at {path}"),
    )
    .hint("docs/api.md lists every route; all of them begin with /v1")
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let (method, path): (String, String) = (
        method.as_str().chars().take(20).collect(),
        uri.path().chars().take(200).collect(),
    );
    let message = format!("{path} does not take {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
}
