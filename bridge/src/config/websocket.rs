//! `[websocket]` as it is written, and its checks.

use super::check::Check;
use super::tls::device_tls;
use super::{Error, Switch, WebSocket};
use crate::pki;
use serde::Deserialize;

/// Few fleets have clients that speak nothing else.
const DEFAULT_ADDRESS: &str = "off";

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebSocketFile {
    address: Option<String>,
    tls: Option<bool>,
    allow_remote_plain: bool,
    public_url: Option<String>,
}

impl WebSocketFile {
    pub(super) fn check(
        self,
        check: &Check<'_>,
        flag: Option<Switch>,
        dev: bool,
    ) -> Result<WebSocket, Error> {
        let text = self.address.as_deref().unwrap_or(DEFAULT_ADDRESS);
        let may_leave = self.allow_remote_plain || self.tls != Some(false);
        let at = |flag| check.address("websocket.address", text, flag, may_leave && !dev);
        let address = match flag {
            Some(Switch::Off) => None,
            Some(Switch::At(address)) => Some(at(Some(address))?),
            None if text == "off" => None,
            None => Some(at(None)?),
        };
        Ok(WebSocket {
            address,
            tls: address
                .is_some_and(|address| device_tls(self.tls, address, self.allow_remote_plain)),
            public_url: self
                .public_url
                .map(|url| check_url(check, url))
                .transpose()?,
        })
    }
}

fn check_url(check: &Check<'_>, url: String) -> Result<String, Error> {
    let has_scheme = url.starts_with("ws://") || url.starts_with("wss://");
    if !has_scheme || pki::host_of(&url).is_none() {
        return Err(check.error(
            "websocket.public_url",
            format!("{url:?}"),
            "write the whole URL, as in \"wss://robots.example.org/mqtt\"",
        ));
    }
    Ok(url)
}
