//! What goes into a robot and what comes out of it.

use rollcall_proto::edgehog::purge::PurgeError;
use rollcall_proto::edgehog::{self, Property, SystemStatus, purge};
use rollcall_proto::native::{self, Ack, BaseImage, Manifest, State};
use rollcall_proto::topic::Base;
use uuid::Uuid;

/// Names one publish, for [`Input::Acknowledged`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u64);

/// Names one fetch, for [`Input::Fetched`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// What happens to a robot.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The broker accepted the connection.
    Connected {
        /// Whether it had kept the session.
        session_present: bool,
    },
    /// The connection is gone, or an attempt to connect failed.
    Disconnected,
    /// A message came.
    Received(Downlink),
    /// The broker acknowledged a publish (PUBACK or PUBCOMP).
    Acknowledged(PublishId),
    /// A fetch ended.
    Fetched {
        /// Which.
        fetch: FetchId,
        /// How.
        result: Result<Artifact, FetchError>,
    },
    /// The power is cut, beside what the profile says. The robot starts again by itself.
    PowerLost,
}

/// A message of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Downlink {
    /// Native request to one ECU.
    Request {
        /// Name of the ECU, from the topic.
        ecu: String,
        /// The request.
        request: native::OtaRequest,
    },
    /// Native acknowledgement.
    Ack(Ack),
    /// Edgehog request.
    EdgehogRequest(edgehog::OtaRequest),
    /// Edgehog: the server-owned properties that exist, as `interface/path`.
    ConsumerProperties(Vec<String>),
    /// Edgehog: a server-owned property.
    ConsumerProperty {
        /// The interface.
        interface: String,
        /// The path, without a leading `/`.
        path: String,
        /// Its value, or that it is unset.
        value: Property,
    },
    /// Edgehog: a property list that cannot be read.
    BadControl {
        /// What is wrong.
        reason: String,
        /// Whether the device's process ends on it.
        fatal: bool,
    },
    /// Edgehog: a message above [`Downlink::SIZE_MAX`].
    TooLarge {
        /// Its topic.
        topic: String,
        /// Its remaining length.
        bytes: usize,
    },
    /// A message that a robot cannot understand.
    Malformed {
        /// Its topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
}

/// The interface whose properties the server owns.
const TELEMETRY: &str = "io.edgehog.devicemanager.config.Telemetry";

impl Downlink {
    /// Greatest remaining length, in bytes, of a packet that Astarte's SDK takes.
    pub const SIZE_MAX: usize = 10_240;

    /// Reads a publish of the server to the robot of this base.
    #[must_use]
    pub fn parse(base: &Base<'_>, topic: &str, payload: &[u8]) -> Self {
        Self::decode(base, topic, payload).unwrap_or_else(|reason| Self::Malformed {
            topic: topic.chars().take(256).collect(),
            reason,
        })
    }

    fn decode(base: &Base<'_>, topic: &str, payload: &[u8]) -> Result<Self, String> {
        if topic == base.ack() {
            return Ack::decode(payload)
                .map(Self::Ack)
                .map_err(|error| error.to_string());
        }
        // Two lengths of two bytes: of the topic, and the packet identifier.
        let remaining = 4 + topic.len() + payload.len();
        if remaining > Self::SIZE_MAX && !topic.contains("/rollcall.") {
            let topic = topic.chars().take(256).collect();
            let bytes = remaining;
            return Ok(Self::TooLarge { topic, bytes });
        }
        if topic == base.edgehog_ota_request() {
            let request = edgehog::OtaRequest::decode(payload);
            return request
                .map(Self::EdgehogRequest)
                .map_err(|error| error.to_string());
        }
        if topic == base.consumer_properties() {
            return Ok(match purge::decode(payload) {
                Ok(list) => Self::ConsumerProperties(list),
                Err(error) => Self::BadControl {
                    reason: error.to_string(),
                    fatal: matches!(error, PurgeError::TooShort(_) | PurgeError::NotZlib),
                },
            });
        }
        let telemetry = base.interface(TELEMETRY, "");
        if let Some(path) = topic.strip_prefix(&telemetry) {
            return Ok(Self::ConsumerProperty {
                interface: TELEMETRY.to_owned(),
                path: path.to_owned(),
                value: Property::decode(payload).map_err(|error| error.to_string())?,
            });
        }
        let ecu = topic.rsplit('/').next().unwrap_or_default();
        if topic != base.ota_request(ecu) {
            return Err("topic is not one that the server publishes on".to_owned());
        }
        let request = native::OtaRequest::decode(payload).map_err(|error| error.to_string())?;
        Ok(Self::Request {
            ecu: ecu.to_owned(),
            request,
        })
    }
}

/// What a fetch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of all bytes.
    pub sha256: [u8; 32],
    /// Which image it says to be, see [`ImageLabel::read`].
    pub label: Option<ImageLabel>,
}

/// Which image an artifact says to be.
///
/// Edgehog's request names no image: a device learns from the bundle what it installs. Simulated
/// devices learn it from the first line of the artifact, `rollcall-image NAME@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLabel {
    /// Name of the image.
    pub name: String,
    /// Version, with the build id after a `+`.
    pub version: String,
}

impl ImageLabel {
    /// Longest label line in bytes.
    pub const LINE_MAX: usize = 160;

    /// Reads the label from the first bytes of an artifact.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Self> {
        let line = head.split(|byte| *byte == b'\n').next()?;
        let line = std::str::from_utf8(line).ok()?;
        let (name, version) = line.strip_prefix("rollcall-image ")?.split_once('@')?;
        let valid = rollcall_proto::ident::is_hardware_id(name)
            && rollcall_proto::ident::is_version(version);
        valid.then(|| Self {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }
}

/// Why a fetch failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server could not be reached or the transfer broke.
    #[error("transfer failed: {0}")]
    Network(String),
    /// The server answered with another status than success.
    #[error("server answered {0}")]
    Status(u16),
    /// The server did not say how long the artifact is, or that it is empty. Edgehog devices only.
    #[error("server gave no content length")]
    NoLength,
}

/// What a robot wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Open a connection. The answer is [`Input::Connected`] or [`Input::Disconnected`].
    Connect {
        /// MQTT's clean session or clean start.
        clean_session: bool,
    },
    /// Close the connection. There is no answer, and nothing of this connection may be delivered
    /// afterwards.
    Disconnect {
        /// With a DISCONNECT packet; otherwise as if the power were cut.
        graceful: bool,
    },
    /// Subscribe to topic filters, given without the robot's base, with a maximum QoS each.
    Subscribe(Vec<(&'static str, u8)>),
    /// Publish a message.
    Publish {
        /// For [`Input::Acknowledged`], which comes for QoS 1 and 2.
        id: PublishId,
        /// What.
        message: Message,
    },
    /// Download an artifact. The answer is [`Input::Fetched`].
    Fetch {
        /// For the answer.
        fetch: FetchId,
        /// The operation it is for.
        operation: Uuid,
        /// From where.
        url: String,
    },
    /// A fetch whose answer is no longer of interest.
    AbandonFetch(FetchId),
}

/// A message of a robot.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Native.
    Manifest(Manifest),
    /// Native.
    BaseImage {
        /// The ECU.
        ecu: String,
        /// What it runs.
        image: BaseImage,
    },
    /// Native.
    Event {
        /// The ECU.
        ecu: String,
        /// The event.
        event: native::OtaEvent,
    },
    /// Native.
    State(State),
    /// Astarte.
    Introspection(String),
    /// Astarte.
    EmptyCache,
    /// Astarte: the properties that exist, as `interface/path`.
    ProducerProperties(Vec<String>),
    /// Astarte: one property.
    Property {
        /// The interface.
        interface: &'static str,
        /// The path, without a leading `/`.
        path: &'static str,
        /// Its value, or that it is unset.
        value: Property,
    },
    /// Edgehog.
    EdgehogEvent(edgehog::OtaEvent),
    /// Edgehog.
    SystemStatus(SystemStatus),
}

impl Message {
    /// Where it is published.
    #[must_use]
    pub fn topic(&self, base: &Base<'_>) -> String {
        match self {
            Self::Manifest(_) => base.manifest(),
            Self::BaseImage { ecu, .. } => base.base_image(ecu),
            Self::Event { ecu, .. } => base.ota_event(ecu),
            Self::State(_) => base.state(),
            Self::Introspection(_) => base.introspection(),
            Self::EmptyCache => base.empty_cache(),
            Self::ProducerProperties(_) => base.producer_properties(),
            Self::Property {
                interface, path, ..
            } => base.interface(interface, path),
            Self::EdgehogEvent(_) => base.edgehog_ota_event(),
            Self::SystemStatus(_) => {
                base.interface("io.edgehog.devicemanager.SystemStatus", "systemStatus")
            }
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        match self {
            Self::Manifest(manifest) => manifest.encode(),
            Self::BaseImage { image, .. } => image.encode(),
            Self::Event { event, .. } => event.encode(),
            Self::State(state) => state.encode(),
            Self::Introspection(text) => text.as_bytes().to_vec(),
            Self::EmptyCache => b"1".to_vec(),
            Self::ProducerProperties(list) => purge::encode(list),
            Self::Property { value, .. } => value.encode(),
            Self::EdgehogEvent(event) => event.encode(),
            Self::SystemStatus(status) => status.encode(),
        }
    }

    /// Its quality of service.
    #[must_use]
    pub fn qos(&self) -> u8 {
        match self {
            Self::State(_) | Self::SystemStatus(_) => 0,
            Self::Manifest(_) | Self::BaseImage { .. } | Self::Event { .. } => 1,
            Self::Introspection(_)
            | Self::EmptyCache
            | Self::ProducerProperties(_)
            | Self::Property { .. }
            | Self::EdgehogEvent(_) => 2,
        }
    }
}
