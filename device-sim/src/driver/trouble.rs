//! Why an attempt to connect failed, or a connection ended: in words for people, and in few words
//! under which it is counted.

use std::error::Error;
use std::io;

use rumqttc::{ConnectionError, v5};

use super::http::chain;
use super::pairing::PairingError;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Under which words it is counted.
    pub(super) reason: String,
    pub(super) text: String,
    /// Whether the TLS handshake had succeeded, as far as a client can tell.
    pub(super) secured: bool,
}

impl Trouble {
    pub(super) fn new(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            text: reason.to_owned(),
            secured: false,
        }
    }

    fn of(reason: impl Into<String>, error: &dyn Error) -> Self {
        Self {
            reason: reason.into(),
            text: chain(error),
            secured: false,
        }
    }

    fn refusal(code: &str) -> Self {
        Self {
            secured: true,
            ..Self::new(&format!("mqtt: refused, {code}"))
        }
    }
}

impl From<PairingError> for Trouble {
    fn from(error: PairingError) -> Self {
        Self::of(error.reason(), &error)
    }
}

impl From<ConnectionError> for Trouble {
    fn from(error: ConnectionError) -> Self {
        match &error {
            ConnectionError::ConnectionRefused(code) => Self::refusal(&format!("{code:?}")),
            ConnectionError::NetworkTimeout => Self::of("broker is silent", &error),
            _ => Self::of(reason(&error), &error),
        }
    }
}

impl From<v5::ConnectionError> for Trouble {
    fn from(error: v5::ConnectionError) -> Self {
        match &error {
            v5::ConnectionError::ConnectionRefused(code) => Self::refusal(&format!("{code:?}")),
            v5::ConnectionError::Timeout(_) => Self::of("broker is silent", &error),
            _ => Self::of(reason(&error), &error),
        }
    }
}

/// What TLS or the network said, from wherever it lies in what rumqttc made of it. A server that
/// dislikes a certificate says so by an alert, which comes with the first read only.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return of_rustls(tls);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let inner = io.get_ref().and_then(|inner| inner.downcast_ref());
            return inner.map_or_else(|| format!("network: {}", io.kind()), of_rustls);
        }
        cause = error.source();
    }
    "connection lost".to_owned()
}

fn of_rustls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(alert) => format!("tls: refused, {alert:?}"),
        rustls::Error::InvalidCertificate(_) => "tls: server is not trusted".to_owned(),
        _ => "tls: failed".to_owned(),
    }
}
