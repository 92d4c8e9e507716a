//! The configuration file as it is written, and how it becomes a [`Config`].

use super::artifacts::ArtifactsFile;
use super::check::{Check, YEAR};
use super::limits::LimitsFile;
use super::tls::{MqttsFile, TlsFile, device_tls};
use super::websocket::WebSocketFile;
use super::{Config, DeviceHttp, Error, Http, Mqtt, Open, Overrides, Store, size};
use rollcall_proto::topic::Base;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

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
