//! Whom the ledger lets a version be offered to: it is not withdrawn, and the ECU runs a version that it may be installed
//! over. What an ECU runs has the number of the version that is called what it reports.

use super::versions::{Catalogue, LedgerVersion};
use crate::inventory::{Image, ReportedImage};
use crate::state::State;
use crate::target::SkipReason;
use std::cmp::Ordering;

impl State {
    /// The image is of a ledger, and the ledger does not have it as valid any more.
    #[must_use]
    pub fn is_withdrawn(&self, image: &Image) -> bool {
        let Some(of) = image.ledger else {
            return false;
        };
        let version = self.ledger_version(of.channel, of.number);
        version
            .is_none_or(|version| version.withdrawn().is_some() || version.image != Some(image.key))
    }

    /// Why an ECU that runs `reported` is not offered the image, as far as the ledger goes. By hand it may be installed
    /// over any version, unless it is withdrawn.
    pub(crate) fn ledger_objection(
        &self,
        image: &Image,
        reported: &ReportedImage,
        manual: bool,
    ) -> Option<SkipReason> {
        image.ledger?;
        if self.is_withdrawn(image) {
            return Some(SkipReason::LedgerWithdrawn);
        }
        let (version, running) = self.versions_of(image, reported)?;
        let record = &version.record;
        let range = record.min_applicable_software_version..=record.max_applicable_software_version;
        match running {
            _ if manual => None,
            None => Some(SkipReason::LedgerVersionUnknown),
            Some(running) if range.contains(&running) => None,
            Some(_) => Some(SkipReason::LedgerVersionNotApplicable),
        }
    }

    /// How the image stands to what the ECU runs, by the ledger's numbers. They order versions, whatever they are called.
    pub(crate) fn ledger_order(&self, image: &Image, reported: &ReportedImage) -> Option<Ordering> {
        let (version, running) = self.versions_of(image, reported)?;
        Some(version.record.software_version.cmp(&running?))
    }

    /// The image's version, and the number of what the ECU runs.
    fn versions_of(
        &self,
        image: &Image,
        reported: &ReportedImage,
    ) -> Option<(&LedgerVersion, Option<u32>)> {
        let of = image.ledger?;
        let catalogue = self.ledger.get(&of.channel)?;
        Some((
            catalogue.version(of.number)?,
            catalogue.number_of_reported(reported),
        ))
    }
}

impl Catalogue {
    /// Edgehog's runtime splits `1.0.0+b7` into version and build id.
    fn number_of_reported(&self, reported: &ReportedImage) -> Option<u32> {
        let ReportedImage {
            version, build_id, ..
        } = reported;
        let split = !build_id.is_empty() && !version.contains('+');
        let whole = split.then(|| format!("{version}+{build_id}"));
        let whole = whole.and_then(|whole| self.number_of(&whole));
        whole.or_else(|| self.number_of(version))
    }
}
