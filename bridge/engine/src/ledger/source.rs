//! Where the releases of a channel come from: from our own images, or from the ledger on which makers of Matter devices
//! publish their software (the Distributed Compliance Ledger, G2).

use crate::channels::ChannelKey;
use crate::input::Actor;
use crate::names::{ChannelName, HardwareId};
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Between two looks at the ledger, if nothing else is said, in milliseconds.
const EVERY: Millis = 60 * 60_000;
const SHORTEST: Millis = 60_000;
const LONGEST: Millis = 7 * 24 * 60 * 60_000;
/// Boards of one product.
const MAX_BOARDS: usize = 32;
const MAX_URL_BYTES: usize = 2_048;

/// Where the releases of a channel come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Images that were added here.
    #[default]
    Console,
    /// A product's versions on the ledger.
    Ledger(LedgerSource),
}

/// Which product's versions, and where they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSource {
    /// Where they are read.
    pub origin: LedgerOrigin,
    /// Which product.
    pub product: Product,
    /// The boards that the product is, in our words; at least one.
    pub hardware_ids: BTreeSet<HardwareId>,
    /// Between two looks at the ledger, in milliseconds: an hour if not given, from a minute to seven days.
    #[serde(default = "every")]
    pub every: Millis,
}

const fn every() -> Millis {
    EVERY
}

/// Where the ledger is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerOrigin {
    /// A node's REST API.
    Rest {
        /// What `/dcl/...` is put behind, without a trailing slash.
        url: String,
    },
    /// Files that somebody brings.
    File,
}

/// A product on the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Product {
    /// The vendor's number.
    pub vid: u16,
    /// The product's number with this vendor.
    pub pid: u16,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}/0x{:04X}", self.vid, self.pid)
    }
}

/// What a ledger's word is of and where it was read. A channel that has another source meanwhile does not take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReading {
    /// The channel.
    pub channel: ChannelKey,
    /// The product that it followed when the reading began.
    pub product: Product,
    /// Where it was read then.
    pub origin: LedgerOrigin,
}

impl Source {
    /// The ledger, if that is the source.
    #[must_use]
    pub const fn ledger(&self) -> Option<&LedgerSource> {
        match self {
            Self::Console => None,
            Self::Ledger(source) => Some(source),
        }
    }
}

impl LedgerSource {
    /// A reading of it for the channel.
    #[must_use]
    pub fn reading(&self, channel: ChannelKey) -> LedgerReading {
        LedgerReading {
            channel,
            product: self.product,
            origin: self.origin.clone(),
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.product.vid == 0 || self.product.pid == 0 {
            return Err(Refusal::NoSuchProduct);
        }
        if self.hardware_ids.is_empty() {
            return Err(Refusal::ProductWithoutHardware);
        }
        if self.hardware_ids.len() > MAX_BOARDS {
            return Err(Refusal::TooMany {
                what: "hardware ids of a product",
                max: MAX_BOARDS,
            });
        }
        if !(SHORTEST..=LONGEST).contains(&self.every) {
            return Err(Refusal::OutOfRange {
                what: "the time between two looks at the ledger, in milliseconds,",
                min: SHORTEST,
                max: LONGEST,
                found: self.every,
            });
        }
        match &self.origin {
            LedgerOrigin::File => Ok(()),
            LedgerOrigin::Rest { url } if url.len() > MAX_URL_BYTES => Err(Refusal::TooLong {
                what: "the ledger's URL",
                max: MAX_URL_BYTES,
            }),
            LedgerOrigin::Rest { url } if is_base(url) => Ok(()),
            LedgerOrigin::Rest { url } => Err(Refusal::BadLedgerUrl { url: url.clone() }),
        }
    }
}

/// Whether paths can be put behind the URL. Whoever may look at the channel sees it, so no secret is in it.
fn is_base(url: &str) -> bool {
    is_http(url) && !url.contains(['@', '?', '#'])
}

/// Whether that is a URL that something can be fetched from.
pub(super) fn is_http(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    let rest = rest.or_else(|| url.strip_prefix("http://"));
    let odd = |c: char| c.is_whitespace() || c.is_control();
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) && !url.contains(odd)
}

impl State {
    /// Gives the channel another source. What was imported of the same product stays; of another it goes, and counts as
    /// withdrawn.
    pub(crate) fn set_channel_source(
        &mut self,
        by: &Actor,
        name: ChannelName,
        source: Source,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(channel) = self.channel(name.as_str()) else {
            return Err(Refusal::UnknownChannel { name });
        };
        let key = channel.key;
        if let Some(ledger) = source.ledger() {
            ledger.check()?;
            self.check_nobody_follows(key, ledger.product)?;
        }
        if channel.source == source {
            return Ok(Reply::Stale);
        }
        let product = source.ledger().map(|ledger| ledger.product);
        let before = channel.source.ledger().map(|ledger| ledger.product);
        if product != before {
            self.leave_source(by, key, changes)?;
        }
        if let Some(channel) = self.channels.get_mut(key) {
            channel.source = source;
        }
        changes.touch(Row::Channel(key));
        if let Some(product) = product {
            self.forget_other_products(key, product, changes);
            self.take_boards(key, changes);
        }
        Ok(Reply::Done)
    }

    /// Images are named by their product, so one channel follows it.
    fn check_nobody_follows(&self, key: ChannelKey, product: Product) -> Result<(), Refusal> {
        let follows = |source: &Source| source.ledger().is_some_and(|l| l.product == product);
        let mut others = self.channels().filter(|channel| channel.key != key);
        match others.find(|channel| follows(&channel.source)) {
            Some(other) => Err(Refusal::ProductFollowed {
                product,
                channel: other.name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The ledger that the channel called `name` follows.
    pub(super) fn followed(
        &self,
        name: ChannelName,
    ) -> Result<(ChannelKey, &LedgerSource), Refusal> {
        let Some(channel) = self.channel(name.as_str()) else {
            return Err(Refusal::UnknownChannel { name });
        };
        let source = channel.source.ledger();
        let source = source.ok_or(Refusal::NotFromLedger { name })?;
        Ok((channel.key, source))
    }

    /// The same, if it is what `reading` began with: the end of an old reading must not touch what a new one found.
    pub(super) fn still_read(
        &self,
        name: ChannelName,
        reading: &LedgerReading,
    ) -> Result<(ChannelKey, &LedgerSource), Refusal> {
        let (channel, source) = self.followed(name.clone())?;
        if source.reading(channel) == *reading {
            Ok((channel, source))
        } else {
            Err(Refusal::LedgerSourceChanged { name })
        }
    }

    /// The boards are the operator's word, so the product's images follow it.
    fn take_boards(&mut self, key: ChannelKey, changes: &mut Changes) {
        let source = self.channel_by_key(key).and_then(|c| c.source.ledger());
        let Some(boards) = source.map(|source| source.hardware_ids.clone()) else {
            return;
        };
        let images: Vec<_> = self.ledger_versions(key).filter_map(|v| v.image).collect();
        for image in images {
            if let Some(image) = self.images.get_mut(&image)
                && image.hardware_ids != boards
            {
                image.hardware_ids.clone_from(&boards);
                changes.touch(Row::Image(image.key));
            }
        }
    }
}
