//! `[mqtts]` and `[tls]` as they are written, and their checks.

use super::check::Check;
use super::{Error, Mqtts, Switch, Tls};
use crate::pki::{self, CertificateFiles};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Robots come from outside, and what they say is encrypted.
const DEFAULT_ADDRESS: &str = "0.0.0.0:8883";
/// Strangers become robots in development mode, so they come from this machine only.
const DEV_ADDRESS: &str = "127.0.0.1:8883";

const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MqttsFile {
    address: Option<String>,
    public_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsFile {
    ca_certificate: Option<PathBuf>,
    ca_key: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    names: Vec<String>,
    #[serde(with = "humantime_serde")]
    robot_certificate_lifetime: Duration,
}

impl Default for TlsFile {
    fn default() -> Self {
        Self {
            ca_certificate: None,
            ca_key: None,
            certificate: None,
            key: None,
            names: Vec::new(),
            // As long as those of Astarte's reference CA.
            robot_certificate_lifetime: 2_190 * HOUR,
        }
    }
}

impl MqttsFile {
    pub(super) fn check(
        self,
        check: &Check<'_>,
        flag: Option<Switch>,
        dev: bool,
    ) -> Result<Mqtts, Error> {
        let text =
            self.address
                .as_deref()
                .unwrap_or(if dev { DEV_ADDRESS } else { DEFAULT_ADDRESS });
        let address = match flag {
            Some(switch) => switch.address(),
            None if text == "off" => None,
            None => Some(check.parse_address("mqtts.address", text)?),
        };
        if let Some(address) = address.filter(|address| dev && !address.ip().is_loopback()) {
            return Err(check.error(
                "mqtts.address",
                address,
                "in development mode strangers become robots; use a loopback address such as 127.0.0.1:8883",
            ));
        }
        let public_url = self.public_url.map(|url| check_url(check, url));
        Ok(Mqtts {
            address,
            public_url: public_url.transpose()?,
        })
    }
}

/// Devices need the port in so many words (device-contract 0.9).
fn check_url(check: &Check<'_>, url: String) -> Result<String, Error> {
    let rest = url.strip_prefix("mqtts://");
    let port = rest.and_then(|rest| rest.rsplit_once(':')?.1.parse::<u16>().ok());
    let usable = pki::host_of(&url).is_some() && port.is_some_and(|port| port != 0);
    if !usable {
        return Err(check.error(
            "mqtts.public_url",
            format!("{url:?}"),
            "write scheme, host and port, as in \"mqtts://robots.example.org:8883\"",
        ));
    }
    Ok(url)
}

impl TlsFile {
    pub(super) fn check(self, check: &Check<'_>) -> Result<Tls, Error> {
        let both = |key, other, certificate: Option<PathBuf>, private: Option<PathBuf>| match (
            certificate,
            private,
        ) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(CertificateFiles { certificate, key })),
            (certificate, private) => {
                let path = certificate.or(private).unwrap_or_default();
                let remedy = format!("a certificate and its key belong together; give {other} too");
                Err(check.error(key, path.display(), remedy))
            }
        };
        let (ca, own) = (
            if self.ca_key.is_none() {
                ("tls.ca_certificate", "tls.ca_key")
            } else {
                ("tls.ca_key", "tls.ca_certificate")
            },
            if self.key.is_none() {
                ("tls.certificate", "tls.key")
            } else {
                ("tls.key", "tls.certificate")
            },
        );
        for name in &self.names {
            if !pki::is_name(name) {
                return Err(check.error(
                    "tls.names",
                    format!("{name:?}"),
                    "write host names and IP addresses, without scheme and port",
                ));
            }
        }
        Ok(Tls {
            authority: both(ca.0, ca.1, self.ca_certificate, self.ca_key)?,
            server: both(own.0, own.1, self.certificate, self.key)?,
            names: self.names,
            robot_certificate_lifetime: check.span(
                "tls.robot_certificate_lifetime",
                self.robot_certificate_lifetime,
                20 * YEAR,
            )?,
        })
    }
}

/// Whether the device HTTP listener speaks TLS: beyond loopback it does, unless the file says in words that it need not.
pub(super) fn device_tls(tls: Option<bool>, address: SocketAddr, allow_remote_plain: bool) -> bool {
    tls.unwrap_or(!address.ip().is_loopback() && !allow_remote_plain)
}
