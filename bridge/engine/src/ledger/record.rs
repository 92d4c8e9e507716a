//! A version as the ledger records it, and the rules that such a record keeps (requirements, section 2).

use super::source::{Product, is_http};
use crate::names::ImageVersion;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

const MAX_VERSION_BYTES: usize = 64;
const MAX_INFORMATION_BYTES: usize = 512;
const MAX_URL_BYTES: usize = 256;
/// SHA-512 in base64.
const MAX_CHECKSUM_BYTES: usize = 88;

/// A version of a product, in the ledger's words. Its JSON is the ledger's own, whose 64-bit numbers are texts; what else
/// it has is passed over. What decides about an offer has to be in it: a record that is cut down withdraws nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerRecord {
    /// The vendor.
    #[serde(deserialize_with = "number")]
    pub vid: u16,
    /// The product.
    #[serde(deserialize_with = "number")]
    pub pid: u16,
    /// The number that orders a product's versions.
    #[serde(deserialize_with = "number")]
    pub software_version: u32,
    /// What devices and people call the version.
    pub software_version_string: String,
    /// Of the certification declaration.
    #[serde(default, deserialize_with = "number")]
    pub cd_version_number: u16,
    /// Free text of the vendor's.
    #[serde(default)]
    pub firmware_information: String,
    /// Whether it may be installed: the vendor withdraws it by unsetting this.
    pub software_version_valid: bool,
    /// Where the file is; empty without one.
    #[serde(default)]
    pub ota_url: String,
    /// Of the file, bytes; 0 without one.
    #[serde(default, deserialize_with = "number")]
    pub ota_file_size: u64,
    /// Of the whole file, in base64; empty without one.
    #[serde(default)]
    pub ota_checksum: String,
    /// A number of [`ChecksumType`]; 0 without a file.
    #[serde(default, deserialize_with = "number")]
    pub ota_checksum_type: u16,
    /// The first version that it may be installed over.
    #[serde(deserialize_with = "number")]
    pub min_applicable_software_version: u32,
    /// The last version that it may be installed over.
    #[serde(deserialize_with = "number")]
    pub max_applicable_software_version: u32,
    /// For people; may be empty.
    #[serde(default)]
    pub release_notes_url: String,
    /// Of the record.
    #[serde(default, deserialize_with = "number")]
    pub schema_version: u32,
}

/// The digests that the ledger knows, by their numbers in IANA's Named Information Hash Algorithm Registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChecksumType {
    Sha256 = 1,
    Sha384 = 7,
    Sha512 = 8,
    Sha3With256 = 10,
    Sha3With384 = 11,
    Sha3With512 = 12,
}

/// The file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFile {
    /// Where it is.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// Which digest of it.
    pub kind: ChecksumType,
    /// Its digest.
    pub checksum: Vec<u8>,
}

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the messages say it, and the fields are their subjects"
)]
pub enum LedgerFault {
    #[error("it is of product {found}, not of {wanted}")]
    OtherProduct { found: Product, wanted: Product },
    #[error("softwareVersionString is empty")]
    NoVersionString,
    #[error("{what} is longer than {max} bytes")]
    TooLong { what: &'static str, max: usize },
    #[error("{what} has a character that cannot be printed")]
    Unprintable { what: &'static str },
    #[error(
        "softwareVersionString {found:?} cannot be the version of an image, which has letters, digits, '.', '_', '-' and '+'"
    )]
    NoImageVersion { found: String },
    #[error(
        "softwareVersionString {found:?} is that of version {other} too, so no robot's word says which it runs"
    )]
    SameString { found: String, other: u32 },
    #[error(
        "otaUrl is set and {what} is not; all of otaUrl, otaFileSize, otaChecksum and otaChecksumType are, or none is"
    )]
    FileIncomplete { what: &'static str },
    #[error(
        "{what} is set and otaUrl is not; all of otaUrl, otaFileSize, otaChecksum and otaChecksumType are, or none is"
    )]
    FileWithoutUrl { what: &'static str },
    #[error("{what} is no URL that begins with https:// or http://")]
    BadUrl { what: &'static str },
    #[error(
        "otaChecksumType {found} is none of 1, 7, 8 (SHA-256, -384, -512), 10, 11, 12 (SHA3-256, -384, -512)"
    )]
    UnknownChecksumType { found: u16 },
    #[error("otaChecksum is not base64")]
    ChecksumNotBase64,
    #[error("otaChecksum has {found} bytes, and {kind} has {wanted}")]
    ChecksumLength {
        kind: ChecksumType,
        wanted: usize,
        found: usize,
    },
    #[error(
        "minApplicableSoftwareVersion {min} is greater than maxApplicableSoftwareVersion {max}"
    )]
    EmptyRange { min: u32, max: u32 },
    #[error(
        "{what} differs from what was recorded before, and never changes on the ledger; ask the vendor, or another node"
    )]
    Changed { what: &'static str },
}

impl ChecksumType {
    /// The digest with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Sha256,
            7 => Self::Sha384,
            8 => Self::Sha512,
            10 => Self::Sha3With256,
            11 => Self::Sha3With384,
            12 => Self::Sha3With512,
            _ => return None,
        })
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha3With256 => 32,
            Self::Sha384 | Self::Sha3With384 => 48,
            Self::Sha512 | Self::Sha3With512 => 64,
        }
    }
}

impl fmt::Display for ChecksumType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Sha3With256 => "SHA3-256",
            Self::Sha3With384 => "SHA3-384",
            Self::Sha3With512 => "SHA3-512",
        })
    }
}

impl LedgerRecord {
    /// Which product it is of.
    #[must_use]
    pub const fn product(&self) -> Product {
        Product {
            vid: self.vid,
            pid: self.pid,
        }
    }

    /// Its file; none if it has none, or if what it says of it makes no sense.
    #[must_use]
    pub fn file(&self) -> Option<LedgerFile> {
        self.checked_file().ok().flatten()
    }

    /// Checks the record by itself, as one of `wanted`.
    pub(super) fn check(&self, wanted: Product) -> Result<(), LedgerFault> {
        let found = self.product();
        if found != wanted {
            return Err(LedgerFault::OtherProduct { found, wanted });
        }
        self.check_texts()?;
        if self.software_version_string.is_empty() {
            return Err(LedgerFault::NoVersionString);
        }
        let file = self.checked_file()?;
        if file.is_some() && ImageVersion::new(&self.software_version_string).is_err() {
            let found = self.software_version_string.clone();
            return Err(LedgerFault::NoImageVersion { found });
        }
        let min = self.min_applicable_software_version;
        let max = self.max_applicable_software_version;
        if min > max {
            return Err(LedgerFault::EmptyRange { min, max });
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), LedgerFault> {
        let texts = [
            (
                "softwareVersionString",
                &self.software_version_string,
                MAX_VERSION_BYTES,
            ),
            (
                "firmwareInformation",
                &self.firmware_information,
                MAX_INFORMATION_BYTES,
            ),
            ("otaUrl", &self.ota_url, MAX_URL_BYTES),
            ("otaChecksum", &self.ota_checksum, MAX_CHECKSUM_BYTES),
            ("releaseNotesUrl", &self.release_notes_url, MAX_URL_BYTES),
        ];
        for (what, text, max) in texts {
            if text.len() > max {
                return Err(LedgerFault::TooLong { what, max });
            }
            if text.contains(char::is_control) {
                return Err(LedgerFault::Unprintable { what });
            }
        }
        for (what, url) in [
            ("otaUrl", &self.ota_url),
            ("releaseNotesUrl", &self.release_notes_url),
        ] {
            if !url.is_empty() && !is_http(url) {
                return Err(LedgerFault::BadUrl { what });
            }
        }
        Ok(())
    }

    fn checked_file(&self) -> Result<Option<LedgerFile>, LedgerFault> {
        let others = [
            ("otaFileSize", self.ota_file_size != 0),
            ("otaChecksum", !self.ota_checksum.is_empty()),
            ("otaChecksumType", self.ota_checksum_type != 0),
        ];
        if self.ota_url.is_empty() {
            return match others.into_iter().find(|(_, set)| *set) {
                Some((what, _)) => Err(LedgerFault::FileWithoutUrl { what }),
                None => Ok(None),
            };
        }
        if let Some((what, _)) = others.into_iter().find(|(_, set)| !set) {
            return Err(LedgerFault::FileIncomplete { what });
        }
        let found = self.ota_checksum_type;
        let kind = ChecksumType::from_number(found);
        let kind = kind.ok_or(LedgerFault::UnknownChecksumType { found })?;
        let checksum = BASE64.decode(&self.ota_checksum);
        let checksum = checksum.map_err(|_| LedgerFault::ChecksumNotBase64)?;
        let (wanted, found) = (kind.bytes(), checksum.len());
        if wanted != found {
            return Err(LedgerFault::ChecksumLength {
                kind,
                wanted,
                found,
            });
        }
        Ok(Some(LedgerFile {
            url: self.ota_url.clone(),
            size: self.ota_file_size,
            kind,
            checksum,
        }))
    }

    /// What a ledger never changes once it is set: the word of one that does is not taken.
    pub(super) fn check_change_from(&self, old: &Self) -> Result<(), LedgerFault> {
        let file_changed = |differs: bool| !old.ota_url.is_empty() && differs;
        let changed = [
            (
                "softwareVersionString",
                self.software_version_string != old.software_version_string,
            ),
            (
                "cdVersionNumber",
                self.cd_version_number != old.cd_version_number,
            ),
            (
                "firmwareInformation",
                self.firmware_information != old.firmware_information,
            ),
            (
                "otaFileSize",
                file_changed(self.ota_file_size != old.ota_file_size),
            ),
            (
                "otaChecksum",
                file_changed(self.ota_checksum != old.ota_checksum),
            ),
            (
                "otaChecksumType",
                file_changed(self.ota_checksum_type != old.ota_checksum_type),
            ),
        ];
        match changed.into_iter().find(|(_, changed)| *changed) {
            Some((what, _)) => Err(LedgerFault::Changed { what }),
            None => Ok(()),
        }
    }
}

/// Reads a number, or a text that is one: which of the two a node writes depends on how many bits the field has.
fn number<'de, T: TryFrom<u64>, D: Deserializer<'de>>(input: D) -> Result<T, D::Error> {
    input.deserialize_any(Number(PhantomData))
}

struct Number<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = 8 * size_of::<T>();
        write!(f, "a whole number of at most {bits} bits, not below 0")
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<T, E> {
        T::try_from(found).map_err(|_| E::invalid_value(Unexpected::Unsigned(found), &self))
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<T, E> {
        let number = u64::try_from(found).ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| E::invalid_value(Unexpected::Signed(found), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|_| digits);
        let number = number.and_then(|number| T::try_from(number).ok());
        let shown: String = text.chars().take(40).collect();
        number.ok_or_else(|| E::invalid_value(Unexpected::Str(&shown), &self))
    }
}
