//! The configuration file as it is written, and the checks that turn it into a [`Config`].

use super::artifacts::ArtifactsFile;
use super::tls::{MqttsFile, TlsFile, device_tls};
use super::websocket::WebSocketFile;
use super::{Config, DeviceHttp, Error, Http, Mqtt, Open, Overrides, Store, size};
use rollcall_broker::{Limits, PACKET_SIZE_CEILING};
use rollcall_proto::topic::Base;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    realm: String,
    data_dir: PathBuf,
    dev: bool,
    mqtt: MqttFile,
    mqtts: MqttsFile,
    websocket: WebSocketFile,
    http: HttpFile,
    device_http: DeviceHttpFile,
    artifacts: ArtifactsFile,
    tls: TlsFile,
    store: StoreFile,
}

impl Default for File {
    fn default() -> Self {
        Self {
            realm: "fleet".to_owned(),
            data_dir: PathBuf::from("rollcall-data"),
            dev: false,
            mqtt: MqttFile::default(),
            mqtts: MqttsFile::default(),
            websocket: WebSocketFile::default(),
            http: HttpFile::default(),
            device_http: DeviceHttpFile::default(),
            artifacts: ArtifactsFile::default(),
            tls: TlsFile::default(),
            store: StoreFile::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MqttFile {
    address: String,
    allow_remote_plain: bool,
    limits: LimitsFile,
    open: OpenFile,
}

impl Default for MqttFile {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:1883".to_owned(),
            allow_remote_plain: false,
            limits: LimitsFile::default(),
            open: OpenFile::default(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OpenFile {
    anonymous: bool,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpFile {
    address: String,
    allow_remote_plain: bool,
    public_url: Option<String>,
}

impl Default for HttpFile {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8080".to_owned(),
            allow_remote_plain: false,
            public_url: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeviceHttpFile {
    address: String,
    tls: Option<bool>,
    allow_remote_plain: bool,
    public_url: Option<String>,
    #[serde(deserialize_with = "size::deserialize")]
    max_artifact_size: u64,
    max_uploads: usize,
}

impl Default for DeviceHttpFile {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8081".to_owned(),
            tls: None,
            allow_remote_plain: false,
            public_url: None,
            max_artifact_size: 8 << 30,
            max_uploads: 4,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreFile {
    #[serde(deserialize_with = "size::deserialize")]
    cache: u64,
    #[serde(deserialize_with = "size::deserialize")]
    reserve: u64,
    #[serde(with = "humantime_serde")]
    retention: Duration,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self {
            cache: 8 << 20,
            reserve: 256_000_000,
            retention: Duration::from_secs(90 * 24 * 3_600),
        }
    }
}

/// The broker's limits, by the names of [`Limits`].
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsFile {
    #[serde(deserialize_with = "size::deserialize")]
    max_packet_size: u64,
    max_connections: usize,
    max_handshaking: usize,
    #[serde(with = "humantime_serde")]
    connect_timeout: Duration,
    #[serde(with = "humantime_serde")]
    max_keep_alive: Option<Duration>,
    intake_window: usize,
    receive_maximum: u16,
    send_window: u16,
    queue_messages: usize,
    #[serde(deserialize_with = "size::deserialize")]
    queue_bytes: u64,
    max_subscriptions: usize,
    max_retained_messages: usize,
    #[serde(deserialize_with = "size::deserialize")]
    max_retained_bytes: u64,
    max_sessions: usize,
    #[serde(with = "humantime_serde")]
    max_session_expiry: Duration,
    max_topic_levels: usize,
    topic_alias_maximum: u16,
    #[serde(deserialize_with = "size::deserialize")]
    topic_alias_bytes: u64,
    max_client_id: usize,
    #[serde(deserialize_with = "size::deserialize")]
    send_buffer: u64,
}

impl Default for LimitsFile {
    fn default() -> Self {
        let limits = Limits::default();
        let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        Self {
            max_packet_size: bytes(limits.max_packet_size),
            max_connections: limits.max_connections,
            max_handshaking: limits.max_handshaking,
            connect_timeout: limits.connect_timeout,
            max_keep_alive: limits.max_keep_alive,
            intake_window: limits.intake_window,
            receive_maximum: limits.receive_maximum,
            send_window: limits.send_window,
            queue_messages: limits.queue_messages,
            queue_bytes: bytes(limits.queue_bytes),
            max_subscriptions: limits.max_subscriptions,
            max_retained_messages: limits.max_retained_messages,
            max_retained_bytes: bytes(limits.max_retained_bytes),
            max_sessions: limits.max_sessions,
            max_session_expiry: limits.max_session_expiry,
            max_topic_levels: limits.max_topic_levels,
            topic_alias_maximum: limits.topic_alias_maximum,
            topic_alias_bytes: bytes(limits.topic_alias_bytes),
            max_client_id: limits.max_client_id,
            send_buffer: bytes(limits.send_buffer),
        }
    }
}

/// Where a value came from, for the error that it may cause.
pub(super) struct Check<'a> {
    origin: &'a str,
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

    fn bytes(&self, key: &'static str, value: u64, least: u64, most: u64) -> Result<usize, Error> {
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
    fn apart(&self, config: &Config) -> Result<(), Error> {
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

    fn filters(&self, key: &'static str, filters: Vec<String>) -> Result<Vec<String>, Error> {
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

impl File {
    pub(super) fn check(self, origin: &str, flags: Overrides) -> Result<Config, Error> {
        let check = Check { origin };
        if Base::parse(&format!("{}/robot", self.realm)).is_err() {
            return Err(check.error(
                "realm",
                format!("{:?}", self.realm),
                "use a lower-case letter followed by lower-case letters and digits, at most 48 in all",
            ));
        }
        let dev = self.dev || flags.dev;
        // In development mode strangers become robots, so no listener leaves the machine whatever else is allowed.
        let address =
            |key, text: &str, flag, remote: bool| check.address(key, text, flag, remote && !dev);
        let mqtt = &self.mqtt;
        let (http, device) = (&self.http, &self.device_http);
        let mqtt_address = address(
            "mqtt.address",
            &mqtt.address,
            flags.mqtt,
            mqtt.allow_remote_plain,
        )?;
        let http_address = address(
            "http.address",
            &http.address,
            flags.http,
            http.allow_remote_plain,
        )?;
        let device_address = address(
            "device_http.address",
            &device.address,
            flags.device_http,
            device.allow_remote_plain || device.tls != Some(false),
        )?;
        if device.max_artifact_size == 0 {
            return Err(check.error("device_http.max_artifact_size", 0, "use at least 1"));
        }
        let config = Config {
            realm: self.realm,
            data_dir: flags.data_dir.unwrap_or(self.data_dir),
            dev,
            mqtt: Mqtt {
                address: mqtt_address,
                limits: self.mqtt.limits.check(&check)?,
                open: Open {
                    anonymous: self.mqtt.open.anonymous,
                    publish: check.filters("mqtt.open.publish", self.mqtt.open.publish)?,
                    subscribe: check.filters("mqtt.open.subscribe", self.mqtt.open.subscribe)?,
                },
            },
            http: Http {
                address: http_address,
                public_url: check.url("http.public_url", self.http.public_url)?,
            },
            mqtts: self.mqtts.check(&check, flags.mqtts, dev)?,
            websocket: self.websocket.check(&check, flags.websocket, dev)?,
            device_http: DeviceHttp {
                address: device_address,
                tls: device_tls(device.tls, device_address, device.allow_remote_plain),
                public_url: check.url("device_http.public_url", self.device_http.public_url)?,
                max_artifact_size: self.device_http.max_artifact_size,
                max_uploads: check
                    .at_least_one("device_http.max_uploads", self.device_http.max_uploads)?,
            },
            artifacts: self.artifacts.check(&check)?,
            ledger: crate::ledger::Settings::default(),
            tls: self.tls.check(&check)?,
            store: Store {
                cache: check.bytes("store.cache", self.store.cache, 1 << 20, 1 << 40)?,
                reserve: self.store.reserve,
                retention: check.span("store.retention", self.store.retention, 100 * YEAR)?,
            },
        };
        check.apart(&config)?;
        Ok(config)
    }
}

impl LimitsFile {
    fn check(self, check: &Check<'_>) -> Result<Limits, Error> {
        let ceiling = u64::try_from(PACKET_SIZE_CEILING).unwrap_or(u64::MAX);
        let (packet, queue, retained, send) = (
            "mqtt.limits.max_packet_size",
            "mqtt.limits.queue_bytes",
            "mqtt.limits.max_retained_bytes",
            "mqtt.limits.send_buffer",
        );
        let one = |key, value| check.at_least_one(key, value);
        let window = |key, value: u16| one(key, usize::from(value)).map(|_| value);
        if self.max_sessions < self.max_connections {
            return Err(check.error(
                "mqtt.limits.max_sessions",
                self.max_sessions,
                format!(
                    "every connection has a session; use at least mqtt.limits.max_connections, which is {}",
                    self.max_connections
                ),
            ));
        }
        Ok(Limits {
            max_packet_size: check.bytes(packet, self.max_packet_size, 128, ceiling)?,
            max_connections: one("mqtt.limits.max_connections", self.max_connections)?,
            max_handshaking: one("mqtt.limits.max_handshaking", self.max_handshaking)?,
            connect_timeout: check.span(
                "mqtt.limits.connect_timeout",
                self.connect_timeout,
                Duration::from_secs(3_600),
            )?,
            max_keep_alive: self
                .max_keep_alive
                .map(|span| {
                    let most = Duration::from_secs(u64::from(u16::MAX));
                    check.span("mqtt.limits.max_keep_alive", span, most)
                })
                .transpose()?,
            intake_window: one("mqtt.limits.intake_window", self.intake_window)?,
            receive_maximum: window("mqtt.limits.receive_maximum", self.receive_maximum)?,
            send_window: window("mqtt.limits.send_window", self.send_window)?,
            queue_messages: one("mqtt.limits.queue_messages", self.queue_messages)?,
            queue_bytes: check.bytes(queue, self.queue_bytes, self.max_packet_size, 1 << 40)?,
            max_subscriptions: one("mqtt.limits.max_subscriptions", self.max_subscriptions)?,
            max_retained_messages: self.max_retained_messages,
            max_retained_bytes: check.bytes(retained, self.max_retained_bytes, 0, 1 << 40)?,
            max_sessions: one("mqtt.limits.max_sessions", self.max_sessions)?,
            max_session_expiry: check.span(
                "mqtt.limits.max_session_expiry",
                self.max_session_expiry,
                100 * YEAR,
            )?,
            max_topic_levels: check.bytes(
                "mqtt.limits.max_topic_levels",
                u64::try_from(self.max_topic_levels).unwrap_or(u64::MAX),
                1,
                128,
            )?,
            topic_alias_maximum: self.topic_alias_maximum,
            topic_alias_bytes: check.bytes(
                "mqtt.limits.topic_alias_bytes",
                self.topic_alias_bytes,
                0,
                1 << 20,
            )?,
            max_client_id: one("mqtt.limits.max_client_id", self.max_client_id)?,
            send_buffer: check.bytes(send, self.send_buffer, 1, 1 << 30)?,
        })
    }
}
