//! From the wire's words to the engine's: what robots publish becomes reports, requests become payloads.

use rollcall_engine as engine;
use rollcall_engine::{
    BaseImageProperty, EDGEHOG_ECU, EcuName, EcuSpec, Event, EventCode, EventStatus, HardwareId,
    NameError, Report, ReportedImage, Stamp,
};
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Reads a publish of a robot.
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
            edgehog::introspection::parse(payload)?;
            Message::Report(Report::Introspection)
        }
        Uplink::EmptyCache => Message::EmptyCache,
        Uplink::ProducerProperties => {
            Message::Report(producer_properties(&edgehog::purge::decode(payload)?))
        }
        Uplink::EdgehogOtaEvent => Message::Report(Report::Event(edgehog_event(
            edgehog::OtaEvent::decode(payload)?,
        )?)),
        Uplink::EdgehogBaseImage { property } => {
            Message::Report(base_image_property(property, payload)?)
        }
        Uplink::OtherInterface { interface, path } => other_interface(interface, path, payload)?,
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

fn producer_properties(listed: &[String]) -> Report {
    let version = format!("{}BaseImage/version", edgehog::INTERFACE_PREFIX);
    Report::ProducerProperties {
        has_base_image: listed.contains(&version),
        empty: listed.is_empty(),
    }
}

fn base_image_property(property: &str, payload: &[u8]) -> Result<Report, DecodeError> {
    // BaseImage has no unset; an empty payload is treated as an empty value.
    let value = edgehog::Property::decode_string(payload)?.unwrap_or_default();
    let property = match property {
        "name" => BaseImageProperty::Name,
        "version" => BaseImageProperty::Version,
        "buildId" => BaseImageProperty::BuildId,
        _ => return Ok(Report::OtherProperty),
    };
    Ok(Report::BaseImageProperty { property, value })
}

fn other_interface(interface: &str, path: &str, payload: &[u8]) -> Result<Message, DecodeError> {
    if interface.strip_prefix(edgehog::INTERFACE_PREFIX) == Some("SystemInfo")
        && path == "partNumber"
    {
        return Ok(match edgehog::Property::decode_string(payload)? {
            Some(part_number) => Message::Report(Report::PartNumber(part_number)),
            None => Message::Report(Report::OtherProperty),
        });
    }
    Ok(Message::Report(Report::OtherProperty))
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
        Ok(Message::Report(Report::BaseImageProperty { property, value })) => {
            format!("{EDGEHOG_ECU} reports {property:?} {value}")
        }
        Ok(Message::Report(Report::PartNumber(text))) => format!("part number {text}"),
        Ok(Message::Report(Report::Introspection)) => "introduced itself (Edgehog)".to_owned(),
        Ok(Message::Report(Report::ProducerProperties { empty: true, .. })) => {
            "began a new process".to_owned()
        }
        Ok(Message::Report(Report::ProducerProperties { .. })) => {
            "listed its properties".to_owned()
        }
        Ok(
            Message::Report(Report::OtherProperty)
            | Message::State(_)
            | Message::EmptyCache
            | Message::Unused,
        ) => Base::parse(topic)
            .map_or_else(|_| "a report".to_owned(), |_| format!("published {topic}")),
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
