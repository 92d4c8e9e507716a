//! What a value of the configuration must be, and what is said of one that is not.

use super::{Config, Error};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Where a value came from, for the error that it may cause.
pub(super) struct Check<'a> {
    pub(super) origin: &'a str,
}

impl Check<'_> {
    pub(super) fn error(
        &self,
        key: &'static str,
        value: impl ToString,
        remedy: impl Into<String>,
    ) -> Error {
        Error::Value {
            origin: self.origin.to_owned(),
            key,
            value: value.to_string(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn at_least_one(&self, key: &'static str, value: usize) -> Result<usize, Error> {
        if value == 0 {
            return Err(self.error(key, value, "use at least 1"));
        }
        Ok(value)
    }

    pub(super) fn span(
        &self,
        key: &'static str,
        value: Duration,
        most: Duration,
    ) -> Result<Duration, Error> {
        if value < Duration::from_secs(1) || value > most {
            let remedy = format!("use 1s to {}", humantime::format_duration(most));
            return Err(self.error(key, humantime::format_duration(value), remedy));
        }
        Ok(value)
    }

    pub(super) fn bytes(
        &self,
        key: &'static str,
        value: u64,
        least: u64,
        most: u64,
    ) -> Result<usize, Error> {
        let in_range = (least..=most).contains(&value);
        let size = usize::try_from(value).ok().filter(|_| in_range);
        size.ok_or_else(|| self.error(key, value, format!("use {least} to {most} bytes")))
    }

    /// The flag wins over the file; a plain listener leaves loopback only when the file says so in words.
    pub(super) fn address(
        &self,
        key: &'static str,
        text: &str,
        flag: Option<SocketAddr>,
        remote: bool,
    ) -> Result<SocketAddr, Error> {
        let address = flag.map_or_else(|| self.parse_address(key, text), Ok)?;
        if !remote && !address.ip().is_loopback() {
            let check = Check {
                origin: if flag.is_some() {
                    "command line"
                } else {
                    self.origin
                },
            };
            return Err(check.error(
                key,
                address,
                "what is sent there is not encrypted; use a loopback address such as 127.0.0.1, or write \
                 allow_remote_plain = true in the same section of the configuration file",
            ));
        }
        Ok(address)
    }

    pub(super) fn parse_address(&self, key: &'static str, text: &str) -> Result<SocketAddr, Error> {
        let remedy = "write an IP address and a port, as in \"127.0.0.1:1883\"";
        text.parse().map_err(|_| self.error(key, text, remedy))
    }

    /// Listeners do not share an address; 0 is a port of its own for each.
    pub(super) fn apart(&self, config: &Config) -> Result<(), Error> {
        let mut taken: Vec<(&'static str, SocketAddr)> = Vec::new();
        for (key, address) in [
            ("mqtt.address", Some(config.mqtt.address)),
            ("mqtts.address", config.mqtts.address),
            ("websocket.address", config.websocket.address),
            ("http.address", Some(config.http.address)),
            ("device_http.address", Some(config.device_http.address)),
        ] {
            let Some(address) = address.filter(|address| address.port() != 0) else {
                continue;
            };
            let meets = |other: &SocketAddr| {
                other.port() == address.port()
                    && other.is_ipv4() == address.is_ipv4()
                    && (other.ip() == address.ip()
                        || other.ip().is_unspecified()
                        || address.ip().is_unspecified())
            };
            if let Some((other, _)) = taken.iter().find(|(_, other)| meets(other)) {
                let remedy =
                    format!("{other} takes it already; give each listener a port of its own");
                return Err(self.error(key, address, remedy));
            }
            taken.push((key, address));
        }
        Ok(())
    }

    pub(super) fn url(
        &self,
        key: &'static str,
        url: Option<String>,
    ) -> Result<Option<String>, Error> {
        let Some(url) = url else {
            return Ok(None);
        };
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let usable = host.is_some_and(|host| {
            !host.is_empty()
                && !host.starts_with('/')
                && host
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !"?#\"<>\\".contains(c))
        });
        if !usable {
            return Err(self.error(
                key,
                format!("{url:?}"),
                "write an absolute URL without query, as in \"https://updates.example.org\"",
            ));
        }
        Ok(Some(url.trim_end_matches('/').to_owned()))
    }

    pub(super) fn filters(
        &self,
        key: &'static str,
        filters: Vec<String>,
    ) -> Result<Vec<String>, Error> {
        for filter in &filters {
            if !rollcall_broker::codec::topic::is_filter(filter) {
                return Err(self.error(
                    key,
                    format!("{filter:?}"),
                    "write MQTT topic filters, with '+' and '#' only as whole levels and '#' last",
                ));
            }
        }
        Ok(filters)
    }
}
