//! The pairing API: how robots get their credentials, as Astarte's SDKs ask for them (device-contract 2).
//!
//! It lies below `/pairing/v1` on the device HTTP listener. Registration and certificates are commands of the writer,
//! answered once durable; everything else is answered from the registry, without the writer and the disk, since every
//! robot of a fleet that reconnects asks it.
//!
//! **Invariant**: whoever does not show the right secret learns and changes nothing, and a wrong one takes the time of a
//! right one.

mod answer;
mod credentials;
mod info;
mod register;
mod robot;
mod verify;

pub use info::BrokerUrl;

use crate::api::listener;
use crate::pki::Pki;
use crate::registry::Registry;
use crate::writer::Bridge;
use answer::Refused;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::routing::{get, post};
use std::sync::Arc;

/// Where the pairing API lies on the device HTTP listener.
pub const PATH: &str = "/pairing";

/// What the handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) bridge: Bridge,
    pub(crate) registry: Registry,
    pub(crate) pki: Arc<Pki>,
    pub(crate) realm: Arc<str>,
    pub(crate) broker_url: Arc<BrokerUrl>,
}

/// The pairing API, to be merged into the device HTTP listener.
pub(crate) fn router(context: Context) -> Router {
    let device = "/{realm}/devices/{device}";
    let protocol = format!("{device}/protocols/astarte_mqtt_v1/credentials");
    let v1 = Router::new()
        .route("/{realm}/agent/devices", post(register::register))
        .route(device, get(info::info))
        .route(&protocol, post(credentials::issue))
        .route(&format!("{protocol}/verify"), post(verify::verify))
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || {
            Refused::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this is not asked in that way",
            )
        })
        // Each body has its own limit where it is read.
        .layer(DefaultBodyLimit::disable())
        // A robot asks once and goes.
        .layer(map_response(listener::close))
        .with_state(context);
    Router::new().nest(&format!("{PATH}/v1"), v1)
}
