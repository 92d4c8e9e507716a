//! The HTTP client that pairing and downloads share.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;

/// How long a device waits for a connection, as in Astarte's SDK.
const CONNECT_MAX: Duration = Duration::from_secs(30);

pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// Connects to `http` and `https` addresses. Clones share everything.
pub(crate) fn connector(tls: ClientConfig) -> Connector {
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_nodelay(true);
    plain.set_connect_timeout(Some(CONNECT_MAX));
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain)
}

/// An error with everything that led to it, since the outermost words of HTTP errors say little.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
