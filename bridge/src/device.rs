//! From the wire's words to the engine's: what robots publish becomes reports, requests become payloads.

use crate::content;
use rollcall_engine as engine;
use rollcall_engine::{
    BaseImageProperty, DeviceValue, EDGEHOG_ECU, EcuName, EcuSpec, Event, EventCode, EventStatus,
    HardwareId, InterfaceVersion, Meaning, NameError, Report, ReportedImage, Robot, Setting, Stamp,
};
use rollcall_proto::edgehog::interface::{self, Interface, Kind};
use rollcall_proto::edgehog::{Data, Value};
use rollcall_proto::topic::{Base, TopicError, Uplink};
use rollcall_proto::{Code, Status, edgehog, native};

/// Why a publish says nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The topic is none that a robot publishes on.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A native payload is not valid.
    #[error(transparent)]
    Native(#[from] native::DecodeError),
    /// An Edgehog payload is not valid.
    #[error(transparent)]
    Edgehog(#[from] edgehog::DecodeError),
    /// An introspection is not valid.
    #[error(transparent)]
    Introspection(#[from] edgehog::introspection::IntrospectionError),
    /// A list of properties is not valid.
    #[error(transparent)]
    Purge(#[from] edgehog::purge::PurgeError),
    /// A name in it is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What a robot published.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Something for the engine.
    Report(Report),
    /// How the robot is; kept in memory only.
    State(native::State),
    /// An Edgehog device wants to hear which server-owned properties it has.
    EmptyCache,
    /// Taken, but nothing depends on it yet.
    Unused,
}

impl Message {
    /// The part that the engine learns of.
    #[must_use]
    pub fn report(self) -> Option<Report> {
        match self {
            Self::Report(report) => Some(report),
            Self::State(_) | Self::EmptyCache | Self::Unused => None,
        }
    }
}

/// Why a publish is discarded, and whether its sender is disconnected for it, as Astarte does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Rejected {
    /// A stable word for programs and counters.
    pub code: &'static str,
    /// Why, for people.
    pub why: String,
    /// Whether the connection ends with it. Its session is never kept, so that is gone with it.
    pub disconnect: bool,
}

/// What is counted for a payload that cannot be read.
const MALFORMED: &str = "malformed_payload";

impl From<DecodeError> for Rejected {
    fn from(error: DecodeError) -> Self {
        let (code, disconnect) = match &error {
            DecodeError::Topic(error) => match error {
                TopicError::ServerOwned => ("write_on_server_owned_interface", true),
                TopicError::UnknownControl => ("unknown_control_path", true),
                _ => ("invalid_path", true),
            },
            DecodeError::Introspection(_) => ("invalid_introspection", true),
            DecodeError::Purge(_) => ("invalid_purge_list", true),
            // Well-formed by Astarte's rules, or a native robot's: harms nobody.
            DecodeError::Edgehog(_) | DecodeError::Native(_) | DecodeError::Name(_) => {
                (MALFORMED, false)
            }
        };
        Self {
            code,
            why: error.to_string(),
            disconnect,
        }
    }
}

/// Reads a publish of a robot, and holds it against the introspection of an Edgehog device.
///
/// # Errors
/// Says which rule it breaks. Nothing of it may be used then.
pub fn read(robot: Option<&Robot>, topic: &str, payload: &[u8]) -> Result<Message, Rejected> {
    let (_, uplink) = Uplink::parse(topic).map_err(DecodeError::from)?;
    if let Some((interface, path)) = uplink.interface() {
        let device = robot.and_then(|robot| robot.device.as_deref());
        let installed = device.and_then(|device| device.interfaces.get(interface));
        let installed = installed.map(|version| edgehog::InterfaceVersion {
            major: version.major,
            minor: version.minor,
        });
        interface::check(installed, interface, path, payload).map_err(|rejection| Rejected {
            code: rejection.code(),
            why: format!("{interface}/{path}: {rejection}"),
            disconnect: rejection.disconnects(),
        })?;
    }
    if uplink == Uplink::Capabilities && !edgehog::is_document(payload) {
        return Err(Rejected {
            code: "invalid_capabilities",
            why: "capabilities are not a bson document".to_owned(),
            disconnect: true,
        });
    }
    Ok(decode(topic, payload)?)
}

/// Reads a publish that has been accepted before, as the history keeps it.
///
/// # Errors
/// Says which part is not valid; nothing depends on the rest then.
pub fn decode(topic: &str, payload: &[u8]) -> Result<Message, DecodeError> {
    let (_, uplink) = Uplink::parse(topic)?;
    Ok(match uplink {
        Uplink::Manifest => Message::Report(manifest(&native::Manifest::decode(payload)?)?),
        Uplink::BaseImage { ecu } => {
            let image = native::BaseImage::decode(payload)?;
            Message::Report(Report::BaseImage {
                ecu: EcuName::new(ecu)?,
                image: reported(image),
            })
        }
        Uplink::OtaEvent { ecu } => Message::Report(Report::Event(native_event(
            EcuName::new(ecu)?,
            native::OtaEvent::decode(payload)?,
        ))),
        Uplink::State => Message::State(native::State::decode(payload)?),
        Uplink::Introspection => {
            let interfaces = edgehog::introspection::parse(payload)?.into_iter();
            let interface = |(name, version): (String, edgehog::InterfaceVersion)| {
                let edgehog::InterfaceVersion { major, minor } = version;
                (name.into_boxed_str(), InterfaceVersion { major, minor })
            };
            Message::Report(Report::Introspection(interfaces.map(interface).collect()))
        }
        Uplink::EmptyCache => Message::EmptyCache,
        Uplink::ProducerProperties => {
            let listed = edgehog::purge::decode(payload)?.into_iter();
            Message::Report(Report::ProducerProperties(listed.collect()))
        }
        Uplink::EdgehogOtaEvent => Message::Report(Report::Event(edgehog_event(
            edgehog::OtaEvent::decode(payload)?,
        )?)),
        Uplink::EdgehogBaseImage { .. } | Uplink::OtherInterface { .. } => {
            let (interface, path) = uplink.interface().unwrap_or_default();
            Message::Report(Report::Value(device_value(interface, path, payload)?))
        }
        Uplink::Capabilities => Message::Unused,
    })
}

fn manifest(manifest: &native::Manifest) -> Result<Report, DecodeError> {
    let ecus = manifest.ecus.iter().map(|ecu| {
        Ok(EcuSpec {
            name: EcuName::new(&ecu.name)?,
            hardware_id: HardwareId::new(&ecu.hardware_id)?,
            primary: ecu.primary,
        })
    });
    let ecus = ecus.collect::<Result<_, NameError>>()?;
    Ok(Report::Manifest {
        boot: manifest.boot,
        wants_ack: manifest.wants_ack,
        ecus,
    })
}

fn reported(image: native::BaseImage) -> ReportedImage {
    ReportedImage {
        name: image.name,
        version: image.version,
        build_id: image.build_id.unwrap_or_default(),
        digest: image.digest,
        operation: image.operation,
    }
}

fn native_event(ecu: EcuName, event: native::OtaEvent) -> Event {
    Event {
        ecu,
        stamp: Some(Stamp {
            boot: event.boot,
            counter: event.counter,
        }),
        operation: event.operation,
        status: status(event.status),
        progress: event.progress,
        code: event.code.map(code),
        message: event.message,
    }
}

fn edgehog_event(event: edgehog::OtaEvent) -> Result<Event, DecodeError> {
    Ok(Event {
        ecu: EcuName::new(EDGEHOG_ECU)?,
        stamp: None,
        operation: event.operation,
        status: status(event.status),
        progress: event.progress,
        code: event.code.map(code),
        message: event.message,
    })
}

fn device_value(interface: &str, path: &str, payload: &[u8]) -> Result<DeviceValue, DecodeError> {
    let known = Interface::known(interface).map(|known| known.kind);
    let data = if payload.is_empty() {
        None
    } else {
        Some(Data::decode(payload)?)
    };
    let property = match (known, &data) {
        (Some(kind), _) => kind == Kind::Properties,
        (None, None) => true,
        // See `interface::check`: without its definition an interface is taken by the form of what it says.
        (None, Some((data, timestamp))) => {
            timestamp.is_none() && matches!(data, Data::Individual(_))
        }
    };
    let text = match &data {
        Some((Data::Individual(Value::String(text)), _)) => Some(text.clone()),
        _ => None,
    };
    let name = interface.strip_prefix(edgehog::INTERFACE_PREFIX);
    let meaning = match (name, path, text) {
        (Some("BaseImage"), "name", Some(text)) => {
            Some(Meaning::BaseImage(BaseImageProperty::Name, text))
        }
        (Some("BaseImage"), "version", Some(text)) => {
            Some(Meaning::BaseImage(BaseImageProperty::Version, text))
        }
        (Some("BaseImage"), "buildId", Some(text)) => {
            Some(Meaning::BaseImage(BaseImageProperty::BuildId, text))
        }
        (Some("SystemInfo"), "partNumber", Some(text)) => Some(Meaning::PartNumber(text)),
        _ => None,
    };
    Ok(DeviceValue {
        path: format!("{interface}/{path}"),
        content: data.map(|(data, _)| content::of(data, payload)),
        property,
        meaning,
    })
}

/// The server's properties that are set on a device and that it can have, with their payloads.
#[must_use]
pub fn settings(robot: &Robot) -> Vec<(&str, Vec<u8>)> {
    let Some(device) = robot.device.as_deref() else {
        return Vec::new();
    };
    let encode = |setting: &Setting| {
        let (name, path) = setting.path.split_once('/')?;
        let installed = device.interfaces.get(name)?;
        let interface = Interface::known(name).filter(|i| i.version.0 == installed.major)?;
        let value = interface.setting(path, &setting.value).ok()?;
        Some(edgehog::Property::Set(value).encode())
    };
    let settings = device.settings.iter();
    settings
        .filter_map(|setting| Some((&*setting.path, encode(setting)?)))
        .collect()
}

const fn status(status: Status) -> EventStatus {
    match status {
        Status::Acknowledged => EventStatus::Acknowledged,
        Status::Downloading => EventStatus::Downloading,
        Status::Deploying => EventStatus::Deploying,
        Status::Deployed => EventStatus::Deployed,
        Status::Rebooting => EventStatus::Rebooting,
        Status::Success => EventStatus::Success,
        Status::Error => EventStatus::Error,
        Status::Failure => EventStatus::Failure,
    }
}

const fn code(code: Code) -> EventCode {
    match code {
        Code::InvalidRequest => EventCode::InvalidRequest,
        Code::UpdateAlreadyInProgress => EventCode::UpdateAlreadyInProgress,
        Code::NetworkError => EventCode::NetworkError,
        Code::IoError => EventCode::IoError,
        Code::InternalError => EventCode::InternalError,
        Code::InvalidBaseImage => EventCode::InvalidBaseImage,
        Code::SystemRollback => EventCode::SystemRollback,
        Code::Canceled => EventCode::Cancelled,
        Code::IncompatibleHardware => EventCode::IncompatibleHardware,
        Code::UnexpectedVersion => EventCode::UnexpectedVersion,
        Code::DigestMismatch => EventCode::DigestMismatch,
        Code::Refused => EventCode::Refused,
        Code::Busy => EventCode::Busy,
        Code::StorageFull => EventCode::StorageFull,
    }
}

/// The wire's words for one report, for people.
#[must_use]
pub fn describe(topic: &str, payload: &[u8]) -> String {
    match decode(topic, payload) {
        Err(error) => format!("something that cannot be read any more: {error}"),
        Ok(Message::Report(Report::Event(event))) => describe_event(&event),
        Ok(Message::Report(Report::Manifest { boot, ecus, .. })) => {
            format!("introduced itself: boot {boot}, {} ECUs", ecus.len())
        }
        Ok(Message::Report(Report::BaseImage { ecu, image })) => {
            format!("{ecu} runs {}@{}", image.name, image.version)
        }
        Ok(Message::Report(Report::Value(value))) => describe_value(&value),
        Ok(Message::Report(Report::Introspection(interfaces))) => {
            format!(
                "introduced itself (Edgehog): {} interfaces",
                interfaces.len()
            )
        }
        Ok(Message::Report(Report::ProducerProperties(listed))) if listed.is_empty() => {
            "began a new process".to_owned()
        }
        Ok(Message::Report(Report::ProducerProperties(listed))) => {
            format!("listed its {} properties", listed.len())
        }
        Ok(Message::State(_) | Message::EmptyCache | Message::Unused) => Base::parse(topic)
            .map_or_else(|_| "a report".to_owned(), |_| format!("published {topic}")),
    }
}

fn describe_value(value: &DeviceValue) -> String {
    match &value.meaning {
        Some(Meaning::BaseImage(property, text)) => {
            return format!("{EDGEHOG_ECU} reports {property:?} {text}");
        }
        Some(Meaning::PartNumber(text)) => return format!("part number {text}"),
        None => {}
    }
    match (&value.content, value.property) {
        (None, _) => format!("unset {}", value.path),
        (Some(_), true) => format!("set {}", value.path),
        (Some(_), false) => format!("sent {}", value.path),
    }
}

fn describe_event(event: &Event) -> String {
    let mut text = format!("{} {:?}", event.ecu, event.status);
    if event.progress > 0 {
        text.push_str(&format!(" {} %", event.progress));
    }
    if let Some(code) = event.code {
        text.push_str(&format!(" ({code:?})"));
    }
    if !event.message.is_empty() {
        text.push_str(&format!(": {}", event.message));
    }
    text
}

/// The payload of an OTARequest to a native robot.
#[must_use]
pub fn native_request(
    request: &engine::Request,
    image: &engine::Image,
    hardware_id: &HardwareId,
    url: String,
) -> Vec<u8> {
    native::OtaRequest {
        kind: kind(request.kind),
        operation: request.operation,
        attempt: request.attempt.into(),
        image_name: image.reference.name.to_string(),
        image_version: image.reference.version.to_string(),
        url,
        size: image.size,
        sha256: image.sha256,
        hardware_id: hardware_id.to_string(),
        expected_version: request.expected.clone(),
        deadline_unix_ms: request.deadline.0,
    }
    .encode()
}

/// The payload of an OTARequest to an Edgehog device. A Cancel carries the URL too, or the device ignores it.
#[must_use]
pub fn edgehog_request(request: &engine::Request, url: String) -> Vec<u8> {
    edgehog::OtaRequest {
        kind: kind(request.kind),
        operation: request.operation,
        url,
    }
    .encode()
}

const fn kind(kind: engine::RequestKind) -> native::RequestKind {
    match kind {
        engine::RequestKind::Update => native::RequestKind::Update,
        engine::RequestKind::Cancel => native::RequestKind::Cancel,
    }
}
