//! `io.edgehog.devicemanager.SystemStatus` 0.1, which tells one start of a machine from another.

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};

use super::DecodeError;
use super::document::{self, Envelope};

/// Longest boot id in bytes; Linux makes uuids of 36.
pub const BOOT_ID_MAX: usize = 64;

/// How a device is, sent at the start of its runtime and as often as it is configured to.
///
/// ```
/// use rollcall_proto::edgehog::SystemStatus;
///
/// let status = SystemStatus {
///     boot_id: "1d1a1c5e-0c43-4a3a-9b6e-2f3f0d3f9a10".to_owned(),
///     uptime_ms: 61_000,
///     available_memory_bytes: 1 << 30,
///     tasks: 212,
///     timestamp_unix_ms: Some(0),
/// };
/// assert_eq!(SystemStatus::decode(&status.encode())?, status);
/// # Ok::<(), rollcall_proto::edgehog::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemStatus {
    /// Names the start of the machine; empty where the device does not know it.
    pub boot_id: String,
    /// Since the start of the machine, in milliseconds.
    pub uptime_ms: i64,
    /// Memory that can still be used, in bytes.
    pub available_memory_bytes: i64,
    /// Number of tasks.
    pub tasks: i32,
    /// When, in milliseconds since 1970 of the device's clock, which decides nothing.
    pub timestamp_unix_ms: Option<i64>,
}

impl SystemStatus {
    /// The payload, keys in the alphabetical order of Astarte's SDK.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut object = RawDocumentBuf::new();
        object.append(cstr!("availMemoryBytes"), self.available_memory_bytes);
        object.append(cstr!("bootId"), self.boot_id.as_str());
        object.append(cstr!("taskCount"), self.tasks);
        object.append(cstr!("uptimeMillis"), self.uptime_ms);
        document::wrap(RawBsonRef::Document(&object), self.timestamp_unix_ms)
    }

    /// Reads a payload. Every key may be missing, as in Astarte, and counts as zero or empty.
    ///
    /// # Errors
    /// Names the first key that is not as the interface says.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let Envelope {
            value,
            timestamp_unix_ms,
        } = document::open(payload)?;
        let object = value.as_document().ok_or(DecodeError::WrongType("v"))?;
        let (mut memory, mut boot_id, mut tasks, mut uptime) = (None, None, None, None);
        document::for_each(object, |key, field| match key {
            "availMemoryBytes" => {
                document::once(key, &mut memory, long("availMemoryBytes", field)?)
            }
            "bootId" => {
                let text = document::text("bootId", field, BOOT_ID_MAX)?;
                document::once(key, &mut boot_id, text)
            }
            "taskCount" => {
                let count = field.as_i32().ok_or(DecodeError::WrongType("taskCount"))?;
                document::once(key, &mut tasks, count)
            }
            "uptimeMillis" => document::once(key, &mut uptime, long("uptimeMillis", field)?),
            unknown => Err(document::unknown(unknown)),
        })?;
        Ok(Self {
            boot_id: boot_id.unwrap_or_default().to_owned(),
            uptime_ms: uptime.unwrap_or_default(),
            available_memory_bytes: memory.unwrap_or_default(),
            tasks: tasks.unwrap_or_default(),
            timestamp_unix_ms,
        })
    }
}

/// Some SDKs write a small long integer as a 32-bit one.
fn long(field: &'static str, value: RawBsonRef<'_>) -> Result<i64, DecodeError> {
    match value {
        RawBsonRef::Int64(number) => Ok(number),
        RawBsonRef::Int32(number) => Ok(number.into()),
        _ => Err(DecodeError::WrongType(field)),
    }
}
