//! Where a channel's releases come from, and what a ledger records.

use super::RecordError;
use crate::store::RowKey;
use prost::Message;
use rollcall_engine::{
    ChannelKey, HardwareId, ImageKey, LedgerImage, LedgerOrigin, LedgerRecord, LedgerSource,
    LedgerVersion, Product, Source, Timestamp,
};

/// Which product is followed, and where.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredSource {
    /// Absent where somebody brings files.
    #[prost(string, optional, tag = "1")]
    url: Option<String>,
    #[prost(uint32, tag = "2")]
    vid: u32,
    #[prost(uint32, tag = "3")]
    pid: u32,
    #[prost(string, repeated, tag = "4")]
    hardware_ids: Vec<String>,
    #[prost(uint64, tag = "5")]
    every: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredOrigin {
    #[prost(uint32, tag = "1")]
    channel: u32,
    #[prost(uint32, tag = "2")]
    number: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredVersion {
    #[prost(uint32, tag = "1")]
    vid: u32,
    #[prost(uint32, tag = "2")]
    pid: u32,
    #[prost(uint32, tag = "3")]
    number: u32,
    #[prost(string, tag = "4")]
    version: String,
    #[prost(uint32, tag = "5")]
    cd_version_number: u32,
    #[prost(string, tag = "6")]
    firmware_information: String,
    #[prost(bool, tag = "7")]
    valid: bool,
    #[prost(string, tag = "8")]
    url: String,
    #[prost(uint64, tag = "9")]
    size: u64,
    #[prost(string, tag = "10")]
    checksum: String,
    #[prost(uint32, tag = "11")]
    checksum_type: u32,
    #[prost(uint32, tag = "12")]
    min_applicable: u32,
    #[prost(uint32, tag = "13")]
    max_applicable: u32,
    #[prost(string, tag = "14")]
    release_notes: String,
    #[prost(uint32, tag = "15")]
    schema_version: u32,
    #[prost(uint64, tag = "16")]
    recorded: u64,
    #[prost(uint64, optional, tag = "17")]
    vanished: Option<u64>,
    #[prost(uint32, optional, tag = "18")]
    image: Option<u32>,
    #[prost(string, optional, tag = "19")]
    problem: Option<String>,
}

pub(super) fn encode_source(source: &Source) -> Option<StoredSource> {
    let ledger = source.ledger()?;
    Some(StoredSource {
        url: match &ledger.origin {
            LedgerOrigin::Rest { url } => Some(url.clone()),
            LedgerOrigin::File => None,
        },
        vid: ledger.product.vid.into(),
        pid: ledger.product.pid.into(),
        hardware_ids: ledger
            .hardware_ids
            .iter()
            .map(ToString::to_string)
            .collect(),
        every: ledger.every,
    })
}

pub(super) fn decode_source(stored: Option<StoredSource>) -> Result<Source, RecordError> {
    let Some(stored) = stored else {
        return Ok(Source::Console);
    };
    let ids = stored.hardware_ids.iter();
    let ids: Result<_, _> = ids.map(|id| HardwareId::new(id)).collect();
    Ok(Source::Ledger(LedgerSource {
        origin: stored
            .url
            .map_or(LedgerOrigin::File, |url| LedgerOrigin::Rest { url }),
        product: Product {
            vid: short(stored.vid, "vendor")?,
            pid: short(stored.pid, "product")?,
        },
        hardware_ids: ids.map_err(|_| RecordError::Invalid("hardware id"))?,
        every: stored.every,
    }))
}

pub(super) fn encode_origin(image: LedgerImage) -> StoredOrigin {
    StoredOrigin {
        channel: image.channel.0,
        number: image.number,
    }
}

pub(super) const fn decode_origin(stored: &StoredOrigin) -> LedgerImage {
    LedgerImage {
        channel: ChannelKey(stored.channel),
        number: stored.number,
    }
}

pub(super) fn encode_version(version: &LedgerVersion) -> Vec<u8> {
    let record = version.record.clone();
    StoredVersion {
        vid: record.vid.into(),
        pid: record.pid.into(),
        number: record.software_version,
        version: record.software_version_string,
        cd_version_number: record.cd_version_number.into(),
        firmware_information: record.firmware_information,
        valid: record.software_version_valid,
        url: record.ota_url,
        size: record.ota_file_size,
        checksum: record.ota_checksum,
        checksum_type: record.ota_checksum_type.into(),
        min_applicable: record.min_applicable_software_version,
        max_applicable: record.max_applicable_software_version,
        release_notes: record.release_notes_url,
        schema_version: record.schema_version,
        recorded: version.recorded.0,
        vanished: version.vanished.map(|at| at.0),
        image: version.image.map(|key| key.0),
        problem: version.problem.clone(),
    }
    .encode_to_vec()
}

pub(super) fn decode_version(
    key: RowKey,
    bytes: &[u8],
) -> Result<(ChannelKey, LedgerVersion), RecordError> {
    let (channel, _) = key.as_u32_pair().ok_or(RecordError::Invalid("key"))?;
    let stored = StoredVersion::decode(bytes)?;
    let record = LedgerRecord {
        vid: short(stored.vid, "vendor")?,
        pid: short(stored.pid, "product")?,
        software_version: stored.number,
        software_version_string: stored.version,
        cd_version_number: short(stored.cd_version_number, "declaration's version")?,
        firmware_information: stored.firmware_information,
        software_version_valid: stored.valid,
        ota_url: stored.url,
        ota_file_size: stored.size,
        ota_checksum: stored.checksum,
        ota_checksum_type: short(stored.checksum_type, "checksum type")?,
        min_applicable_software_version: stored.min_applicable,
        max_applicable_software_version: stored.max_applicable,
        release_notes_url: stored.release_notes,
        schema_version: stored.schema_version,
    };
    let version = LedgerVersion {
        record,
        recorded: Timestamp(stored.recorded),
        vanished: stored.vanished.map(Timestamp),
        image: stored.image.map(ImageKey),
        problem: stored.problem,
    };
    Ok((ChannelKey(channel), version))
}

fn short(number: u32, what: &'static str) -> Result<u16, RecordError> {
    u16::try_from(number).map_err(|_| RecordError::Invalid(what))
}
