//! What a ledger records of a channel's product, and the images that come of it.

use super::record::{ChecksumType, LedgerFault, LedgerFile, LedgerRecord};
use super::source::{LedgerReading, Product};
use crate::channels::ChannelKey;
use crate::input::ImageSpec;
use crate::inventory::{Image, ImageKey, ImageRef};
use crate::names::{ChannelName, ImageName, ImageVersion};
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Versions of one product that are kept; the ledger's busiest products have some dozens.
pub const MAX_VERSIONS: usize = 1_000;
/// How much is kept of why a file could not be fetched, in bytes.
const MAX_PROBLEM_BYTES: usize = 512;

/// A version of a channel's product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerVersion {
    /// What the ledger says of it.
    pub record: LedgerRecord,
    /// When the ledger said so first.
    pub recorded: Timestamp,
    /// Since when the ledger no longer lists it.
    pub vanished: Option<Timestamp>,
    /// What it is here, once its file is.
    pub image: Option<ImageKey>,
    /// Why its file is not here, if that was tried in vain.
    pub problem: Option<String>,
}

/// Why a version is not offered to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// The ledger says that it is not valid.
    Invalid,
    /// The ledger no longer lists it.
    Vanished,
}

/// Which version on the ledger an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerImage {
    /// The channel that follows the product.
    pub channel: ChannelKey,
    /// The version's number.
    pub number: u32,
}

/// A file that was fetched and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its name among the hosted files.
    pub token: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
    /// Its digest of the ledger's kind, as it was checked.
    pub checksum: Vec<u8>,
}

/// What the ledger records of one product.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    versions: BTreeMap<u32, LedgerVersion>,
    /// By what devices call them.
    numbers: BTreeMap<String, u32>,
}

impl LedgerVersion {
    /// Whether and why nobody gets it.
    #[must_use]
    pub const fn withdrawn(&self) -> Option<Withdrawn> {
        if self.vanished.is_some() {
            Some(Withdrawn::Vanished)
        } else if self.record.software_version_valid {
            None
        } else {
            Some(Withdrawn::Invalid)
        }
    }
}

impl StoredFile {
    /// The ledger may say something else by now than when the file was fetched and checked.
    fn is(&self, wanted: &LedgerFile) -> bool {
        let same = wanted.kind != ChecksumType::Sha256 || wanted.checksum == self.sha256;
        same && self.size == wanted.size && self.checksum == wanted.checksum
    }
}

impl Catalogue {
    pub(super) fn version(&self, number: u32) -> Option<&LedgerVersion> {
        self.versions.get(&number)
    }

    /// The number of the version that devices call `text`.
    pub(super) fn number_of(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    fn put(&mut self, version: LedgerVersion) {
        let number = version.record.software_version;
        let text = version.record.software_version_string.clone();
        self.numbers.insert(text, number);
        self.versions.insert(number, version);
    }
}

/// What images of the product are called.
fn image_name(product: Product) -> Option<ImageName> {
    ImageName::new(&format!("dcl-{:04x}-{:04x}", product.vid, product.pid)).ok()
}

impl State {
    /// Puts stored versions back; part of rebuilding a state.
    #[must_use]
    pub fn with_ledger_versions(
        mut self,
        versions: impl IntoIterator<Item = (ChannelKey, LedgerVersion)>,
    ) -> Self {
        for (channel, version) in versions {
            self.ledger.entry(channel).or_default().put(version);
        }
        self
    }

    /// The versions that the channel's ledger records, by number.
    pub fn ledger_versions(&self, channel: ChannelKey) -> impl Iterator<Item = &LedgerVersion> {
        let catalogue = self.ledger.get(&channel);
        catalogue.into_iter().flat_map(|c| c.versions.values())
    }

    /// The version with this number of the channel's product.
    #[must_use]
    pub fn ledger_version(&self, channel: ChannelKey, number: u32) -> Option<&LedgerVersion> {
        self.ledger.get(&channel)?.version(number)
    }

    /// Takes a record of the ledger, whole or not at all.
    pub(crate) fn record_ledger_version(
        &mut self,
        name: ChannelName,
        reading: &LedgerReading,
        record: LedgerRecord,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let (channel, source) = self.still_read(name, reading)?;
        let number = record.software_version;
        let refuse = |fault| Refusal::BadLedgerRecord { number, fault };
        record.check(source.product).map_err(refuse)?;
        let catalogue = self.ledger.get(&channel);
        self.check_string(channel, &record).map_err(refuse)?;
        let old = catalogue.and_then(|catalogue| catalogue.version(number));
        let was_withdrawn = old.and_then(LedgerVersion::withdrawn).is_some();
        let version = match old {
            Some(old) if old.record == record && old.vanished.is_none() => {
                let adopted = self.adopt_image(channel, number, changes);
                return Ok(if adopted { Reply::Done } else { Reply::Stale });
            }
            Some(old) => {
                record.check_change_from(&old.record).map_err(refuse)?;
                LedgerVersion {
                    record,
                    vanished: None,
                    ..old.clone()
                }
            }
            None if catalogue.is_some_and(|c| c.versions.len() >= MAX_VERSIONS) => {
                return Err(Refusal::TooMany {
                    what: "versions of a product",
                    max: MAX_VERSIONS,
                });
            }
            None => LedgerVersion {
                record,
                recorded: self.now,
                vanished: None,
                image: None,
                problem: None,
            },
        };
        let is_withdrawn = version.withdrawn().is_some();
        self.ledger.entry(channel).or_default().put(version);
        changes.touch(Row::LedgerVersion(channel, number));
        self.adopt_image(channel, number, changes);
        if is_withdrawn && !was_withdrawn {
            self.ledger_version_withdrawn(channel, number, changes);
        }
        Ok(Reply::Done)
    }

    /// Another image is called like this version's, so its file would be fetched in vain.
    #[must_use]
    pub fn in_the_way_of(&self, version: &LedgerVersion) -> Option<&Image> {
        let wanted = version.record.file()?;
        let image = self.image_called_like(version)?;
        let is_other = wanted.kind == ChecksumType::Sha256 && wanted.checksum != image.sha256;
        let own = image.ledger.is_none() || !image.hosted;
        (own || image.size != wanted.size || is_other).then_some(image)
    }

    fn image_called_like(&self, version: &LedgerVersion) -> Option<&Image> {
        let name = image_name(version.record.product())?;
        let version = ImageVersion::new(&version.record.software_version_string).ok()?;
        let key = self.image_keys.get(&ImageRef { name, version })?;
        self.images.get(key)
    }

    /// The file of a product that was followed before is still here: its image is this version's again.
    fn adopt_image(&mut self, channel: ChannelKey, number: u32, changes: &mut Changes) -> bool {
        let adopted = self.ledger_version(channel, number).and_then(|version| {
            let wanted = version.record.file()?;
            // Only a file of which the ledger's own digest is known here needs no fetching.
            let known = wanted.kind == ChecksumType::Sha256 && version.image.is_none();
            let image = self.image_called_like(version).filter(|_| known)?;
            self.in_the_way_of(version).is_none().then_some(image.key)
        });
        if let Some(image) = adopted {
            self.give_image(channel, number, image, changes);
        }
        adopted.is_some()
    }

    /// The image is this version's, and nobody else's, on the channel's boards.
    fn give_image(
        &mut self,
        channel: ChannelKey,
        number: u32,
        key: ImageKey,
        changes: &mut Changes,
    ) {
        self.detach_ledger_file(key, changes);
        let source = self.channel_by_key(channel).and_then(|c| c.source.ledger());
        let boards = source.map(|source| source.hardware_ids.clone());
        if let Some(image) = self.images.get_mut(&key) {
            image.ledger = Some(LedgerImage { channel, number });
            if let Some(boards) = boards {
                image.hardware_ids = boards;
            }
            changes.touch(Row::Image(key));
        }
        if let Some(version) = self.version_mut(channel, number) {
            version.image = Some(key);
            version.problem = None;
        }
        changes.touch(Row::LedgerVersion(channel, number));
    }

    /// What a robot says that it runs must mean one version.
    fn check_string(&self, channel: ChannelKey, record: &LedgerRecord) -> Result<(), LedgerFault> {
        let found = &record.software_version_string;
        let catalogue = self.ledger.get(&channel);
        let other = catalogue.and_then(|catalogue| catalogue.number_of(found));
        match other.filter(|other| *other != record.software_version) {
            Some(other) => Err(LedgerFault::SameString {
                found: found.clone(),
                other,
            }),
            None => Ok(()),
        }
    }

    /// A complete list of the product's versions no longer has this one.
    pub(crate) fn withdraw_ledger_version(
        &mut self,
        name: ChannelName,
        reading: &LedgerReading,
        number: u32,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let now = self.now;
        self.still_read(name.clone(), reading)?;
        let (channel, version) = self.known_version(name, number)?;
        if version.vanished.is_some() {
            return Ok(Reply::Stale);
        }
        let was_withdrawn = version.withdrawn().is_some();
        version.vanished = Some(now);
        changes.touch(Row::LedgerVersion(channel, number));
        if !was_withdrawn {
            self.ledger_version_withdrawn(channel, number, changes);
        }
        Ok(Reply::Done)
    }

    /// Notes why the version's file is not here.
    pub(crate) fn note_ledger_problem(
        &mut self,
        name: ChannelName,
        number: u32,
        problem: &str,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let (channel, version) = self.known_version(name, number)?;
        let problem = &problem[..problem.floor_char_boundary(MAX_PROBLEM_BYTES)];
        if version.image.is_some() || version.problem.as_deref() == Some(problem) {
            return Ok(Reply::Stale);
        }
        version.problem = Some(problem.to_owned());
        changes.touch(Row::LedgerVersion(channel, number));
        Ok(Reply::Done)
    }

    /// The version's file is here, and has the ledger's size and checksum: it becomes an image. If the same one is here
    /// already, that is the image, and the answer is [`Reply::Stale`]: this file is not needed.
    pub(crate) fn attach_ledger_file(
        &mut self,
        name: ChannelName,
        number: u32,
        file: StoredFile,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let (channel, source) = self.followed(name.clone())?;
        let boards = source.hardware_ids.iter().cloned().collect();
        let version = self.ledger_version(channel, number);
        let unknown = || Refusal::UnknownLedgerVersion { name, number };
        let version = version.ok_or_else(unknown)?;
        if version.withdrawn().is_some() {
            return Err(Refusal::LedgerVersionWithdrawn { number });
        }
        let record = &version.record;
        if record.file().is_none_or(|wanted| !file.is(&wanted)) {
            return Err(Refusal::NotTheLedgersFile { number });
        }
        let text = ImageVersion::new(&record.software_version_string).ok();
        let Some((name, text)) = image_name(record.product()).zip(text) else {
            return Err(Refusal::NotTheLedgersFile { number });
        };
        let there = self.image_called_like(version);
        let there = there.filter(|image| {
            let same = image.size == file.size && image.sha256 == file.sha256 && image.hosted;
            same && image.ledger.is_some() && version.image.is_none()
        });
        if let Some(key) = there.map(|image| image.key) {
            self.give_image(channel, number, key, changes);
            return Ok(Reply::Stale);
        }
        let spec = ImageSpec {
            reference: ImageRef {
                name,
                version: text,
            },
            hardware_ids: boards,
            model: None,
            build_id: None,
            from_version: None,
            url: file.token,
            hosted: true,
            size: file.size,
            sha256: file.sha256,
        };
        let image = self.add_image(spec, Some(LedgerImage { channel, number }), changes)?;
        if let Some(version) = self.version_mut(channel, number) {
            version.image = Some(image);
            version.problem = None;
        }
        changes.touch(Row::LedgerVersion(channel, number));
        Ok(Reply::Image(image))
    }

    /// While the ledger has a version, its image is the ledger's (G11).
    pub(crate) fn check_not_of_ledger(&self, image: &Image) -> Result<(), Refusal> {
        let holder = image.ledger.and_then(|of| {
            let channel = self.channel_by_key(of.channel)?;
            let version = self.ledger_version(of.channel, of.number)?;
            let held = version.image == Some(image.key) && version.withdrawn().is_none();
            (held && channel.source.ledger().is_some()).then_some(channel)
        });
        match holder {
            Some(channel) => Err(Refusal::ImageOfLedger {
                image: image.reference.clone(),
                channel: channel.name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The image was removed: its version has no file here.
    pub(crate) fn detach_ledger_file(&mut self, image: ImageKey, changes: &mut Changes) {
        let of = self.images.get(&image).and_then(|image| image.ledger);
        let Some(LedgerImage { channel, number }) = of else {
            return;
        };
        if let Some(version) = self.version_mut(channel, number)
            && version.image == Some(image)
        {
            version.image = None;
            changes.touch(Row::LedgerVersion(channel, number));
        }
    }

    /// The channel follows another product, or is gone: what was recorded of others goes.
    pub(crate) fn forget_other_products(
        &mut self,
        channel: ChannelKey,
        kept: impl Into<Option<Product>>,
        changes: &mut Changes,
    ) {
        let kept = kept.into();
        let of_another = |version: &LedgerVersion| Some(version.record.product()) != kept;
        if !self.ledger_versions(channel).any(of_another) {
            return;
        }
        let forgotten = self.ledger.remove(&channel).unwrap_or_default();
        for number in forgotten.versions.into_keys() {
            self.ledger_version_withdrawn(channel, number, changes);
        }
    }

    /// The version is not offered from now on: what its release has not told robots yet, it does not tell them.
    pub(crate) fn ledger_version_withdrawn(
        &mut self,
        channel: ChannelKey,
        number: u32,
        changes: &mut Changes,
    ) {
        changes.touch(Row::LedgerVersion(channel, number));
        self.stop_withdrawn(changes);
    }

    fn known_version(
        &mut self,
        name: ChannelName,
        number: u32,
    ) -> Result<(ChannelKey, &mut LedgerVersion), Refusal> {
        let (channel, _) = self.followed(name.clone())?;
        let version = self.version_mut(channel, number);
        let version = version.ok_or(Refusal::UnknownLedgerVersion { name, number })?;
        Ok((channel, version))
    }

    fn version_mut(&mut self, channel: ChannelKey, number: u32) -> Option<&mut LedgerVersion> {
        self.ledger.get_mut(&channel)?.versions.get_mut(&number)
    }
}
