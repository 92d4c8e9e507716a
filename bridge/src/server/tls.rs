//! Certificates and the listeners that use them.

use super::{Addresses, StartError};
use crate::api::{TlsSettings, Urls};
use crate::config::{self, Config};
use crate::pairing::{self, BrokerUrl};
use crate::pki::{self, Pki, Settings};
use crate::writer::wall_clock;
use rollcall_broker::Tls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between two looks at the files of certificates and at their ends.
const LOOK: Duration = Duration::from_secs(3_600);

/// How the server is reached, as far as it can be known.
pub(super) fn urls(config: &Config, addresses: Addresses) -> Urls {
    let device = config.device_http.public_url.clone().unwrap_or_else(|| {
        let scheme = if config.device_http.tls {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", reachable(addresses.device_http))
    });
    let mqtts = addresses.mqtts.map(|address| {
        let public = config.mqtts.public_url.clone();
        public.unwrap_or_else(|| match host_of_devices(config) {
            Some(host) => format!("mqtts://{host}:{}", address.port()),
            None => format!("mqtts://{}", reachable(address)),
        })
    });
    Urls {
        api: config
            .http
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", addresses.http)),
        pairing: format!("{device}{}", pairing::PATH),
        device,
        mqtt: format!("mqtt://{}", addresses.mqtt),
        mqtts,
        websocket: addresses.websocket.map(|address| {
            let scheme = if config.websocket.tls { "wss" } else { "ws" };
            let public = config.websocket.public_url.clone();
            public.unwrap_or_else(|| format!("{scheme}://{}/mqtt", reachable(address)))
        }),
    }
}

/// Nobody can connect to "any address": the machine's name stands for it.
fn reachable(address: SocketAddr) -> String {
    let name = pki::host_name().filter(|_| address.ip().is_unspecified());
    name.map_or_else(
        || address.to_string(),
        |name| format!("{name}:{}", address.port()),
    )
}

/// The host under which configuration says that robots reach us, as a URL has it.
fn host_of_devices(config: &Config) -> Option<String> {
    let host = pki::host_of(config.device_http.public_url.as_deref()?)?;
    Some(if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    })
}

/// What pairing tells robots of the broker.
pub(super) fn broker_url(config: &Config, addresses: Addresses) -> BrokerUrl {
    let Some(address) = addresses.mqtts else {
        return BrokerUrl::Off;
    };
    let public = config.mqtts.public_url.clone();
    let derived = || {
        let host = host_of_devices(config)?;
        Some(format!("mqtts://{host}:{}", address.port()))
    };
    public
        .or_else(derived)
        .map_or(BrokerUrl::SameHost(address.port()), BrokerUrl::Fixed)
}

/// Looks at the files that configuration names, before anything is begun.
pub(super) fn check(tls: &config::Tls) -> Result<(), StartError> {
    let pairs = [
        (&tls.authority, "tls.ca_certificate", "tls.ca_key"),
        (&tls.server, "tls.certificate", "tls.key"),
    ];
    pki::check(tls.authority.as_ref(), tls.server.as_ref()).map_err(|source| {
        let named = pairs.into_iter().find_map(|(files, certificate, key)| {
            let files = files.as_ref()?;
            match source.path()? {
                path if path == files.certificate => Some((certificate, path.to_owned())),
                path if path == files.key => Some((key, path.to_owned())),
                _ => None,
            }
        });
        match named {
            Some((key, path)) => StartError::CertificateFile { key, path, source },
            None => source.into(),
        }
    })
}

/// Reads or makes the certificates.
pub(super) fn open(config: &Config, addresses: Addresses) -> Result<Pki, pki::Error> {
    let bound = [
        Some(addresses.mqtt),
        addresses.mqtts,
        addresses.websocket,
        Some(addresses.device_http),
    ];
    let urls = [
        &config.device_http.public_url,
        &config.mqtts.public_url,
        &config.websocket.public_url,
        &config.http.public_url,
    ];
    let names = pki::server_names(
        bound.into_iter().flatten(),
        urls.into_iter().filter_map(|url| url.as_deref()),
        &config.tls.names,
    );
    let lifetime = config.tls.robot_certificate_lifetime.as_millis();
    let settings = Settings {
        authority: config.tls.authority.clone(),
        server: config.tls.server.clone(),
        names,
        robot_lifetime_ms: u64::try_from(lifetime).unwrap_or(u64::MAX),
    };
    Pki::open(&config.data_dir, settings, wall_clock().0)
}

/// The settings of the broker's listener, which follow the certificates.
pub(super) fn of_broker(pki: &Arc<Pki>) -> Tls {
    let tls = Tls::new(pki.mqtts());
    let follower = tls.clone();
    pki.on_change(move |pki| follower.replace(pki.mqtts()));
    tls
}

/// The settings of an HTTPS listener, asked for each connection.
pub(super) fn of_http(pki: &Arc<Pki>) -> TlsSettings {
    let pki = Arc::clone(pki);
    Arc::new(move || pki.https())
}

/// Renews what is due and takes over files that have changed, for as long as the server runs.
pub(super) fn renew(pki: Arc<Pki>, cancel: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut looks = tokio::time::interval(LOOK);
        looks.tick().await;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = cancel.cancelled() => return,
            }
            if let Err(error) = pki.reload_in_background().await {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "certificates cannot be renewed; the old ones stay"
                );
            }
        }
    })
}
