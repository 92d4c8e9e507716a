//! The sockets, bound before anything else is touched, so that a taken port is found early. They listen only when there
//! is somebody to accept: a fleet that reconnects would overflow the backlog meanwhile, and wait for seconds.

use super::{Addresses, StartError};
use crate::config::Config;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the system may have accepted before we do; a whole fleet may come at once.
const BACKLOG: u32 = 4_096;

pub(super) struct Sockets {
    pub(super) mqtt: Bound,
    pub(super) mqtts: Option<Bound>,
    pub(super) websocket: Option<Bound>,
    pub(super) http: Bound,
    pub(super) device_http: Bound,
}

pub(super) struct Bound {
    socket: TcpSocket,
    key: &'static str,
    address: SocketAddr,
    flag: &'static str,
}

impl Bound {
    fn new(key: &'static str, address: SocketAddr, flag: &'static str) -> Result<Self, StartError> {
        let bind = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, address) = bind().map_err(|source| StartError::Bind {
            key,
            address,
            flag,
            source,
        })?;
        Ok(Self {
            socket,
            key,
            address,
            flag,
        })
    }

    pub(super) fn listen(self) -> Result<TcpListener, StartError> {
        let Self {
            socket,
            key,
            address,
            flag,
        } = self;
        socket.listen(BACKLOG).map_err(|source| StartError::Bind {
            key,
            address,
            flag,
            source,
        })
    }
}

impl Sockets {
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let some = |key, address: Option<SocketAddr>, flag| {
            address
                .map(|address| Bound::new(key, address, flag))
                .transpose()
        };
        let (mqtts, websocket) = (config.mqtts.address, config.websocket.address);
        Ok(Self {
            mqtt: Bound::new("mqtt.address", config.mqtt.address, "--mqtt")?,
            mqtts: some("mqtts.address", mqtts, "--mqtts")?,
            websocket: some("websocket.address", websocket, "--websocket")?,
            http: Bound::new("http.address", config.http.address, "--http")?,
            device_http: Bound::new(
                "device_http.address",
                config.device_http.address,
                "--device-http",
            )?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            mqtt: self.mqtt.address,
            mqtts: self.mqtts.as_ref().map(|bound| bound.address),
            websocket: self.websocket.as_ref().map(|bound| bound.address),
            http: self.http.address,
            device_http: self.device_http.address,
        }
    }
}
