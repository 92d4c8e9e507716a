//! What would happen if an image were sent to an ECU at this moment: the one answer that preview, dispatch and `why` give.
//!
//! Versions are compared as SemVer where the image's is SemVer. One that is not has no order: it is the ECU's or it is not.
//! Versions on a ledger are compared by their numbers there.

use crate::inventory::{Ecu, Image, ImageKey, Protocol, ReportedImage, Robot};
use crate::mechanism::{ForceDowngrade, Mechanism, OnVersionMismatch};
use crate::names::HardwareId;
use crate::rollout::Rollout;
use crate::state::State;
use crate::target::{FailureReason, SkipReason};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What would happen if an image were sent to an ECU at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "would", rename_all = "snake_case")]
pub enum Check {
    /// It would be sent.
    Send {
        /// What it would fail for, had the rollout no `force_downgrade` (X5).
        lifted: Option<FailureReason>,
    },
    /// Nothing would be sent: the ECU runs it already (E16).
    AlreadyCurrent,
    /// Nobody can say before the ECU has reported what it runs.
    Unreported,
    /// Nothing is sent while the robot declares something else than is registered.
    Held,
    /// It would be skipped.
    Skip {
        /// Why.
        reason: SkipReason,
    },
    /// It would fail at once, and nothing would be sent.
    Fail {
        /// Why.
        reason: FailureReason,
    },
}

/// What a rollout asks for, so far as a check looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// Which image for which hardware id.
    pub(crate) images: &'a BTreeMap<HardwareId, ImageKey>,
    /// Which objections it overrides.
    pub(crate) mechanism: &'a Mechanism,
    /// It updates one robot by hand: the model is not looked at (E20).
    pub(crate) manual: bool,
}

impl Rollout {
    pub(crate) const fn rules(&self) -> Rules<'_> {
        Rules {
            images: &self.images,
            mechanism: &self.mechanism,
            manual: self.manual,
        }
    }
}

impl State {
    /// E15: checks everything about sending `image` to the ECU with this index, in a rollout with these rules.
    pub(crate) fn check(&self, rules: Rules<'_>, image: &Image, robot: &Robot, index: u8) -> Check {
        let Some(ecu) = robot.ecus.get(usize::from(index)) else {
            return Check::Unreported;
        };
        if robot.hold(index.into()).is_some() {
            return Check::Held;
        }
        if !fits(rules.images, image, ecu) {
            return fail(FailureReason::IncompatibleHardware);
        }
        if !rules.manual && !suits(image, robot) {
            let reason = SkipReason::OtherModel;
            return Check::Skip { reason };
        }
        let Some(reported) = &ecu.reported else {
            return Check::Unreported;
        };
        if reported.version.is_empty() {
            return fail(FailureReason::MissingVersion);
        }
        if image.is_reported_by(reported, robot.protocol) {
            return Check::AlreadyCurrent;
        }
        if let Some(reason) = self.ledger_objection(image, reported, rules.manual) {
            return Check::Skip { reason };
        }
        let mut lifted = None;
        for objection in self.objections(image, reported, robot.protocol) {
            if !lifts(rules.mechanism.force_downgrade, objection) {
                return match rules.mechanism.on_version_mismatch {
                    OnVersionMismatch::Fail => fail(objection),
                    OnVersionMismatch::Skip => Check::Skip {
                        reason: SkipReason::VersionMismatch,
                    },
                };
            }
            lifted = lifted.or(Some(objection));
        }
        Check::Send { lifted }
    }

    /// What speaks against sending the image, by the versions alone (E17, device-contract 4.6).
    fn objections(
        &self,
        image: &Image,
        reported: &ReportedImage,
        protocol: Option<Protocol>,
    ) -> impl Iterator<Item = FailureReason> + use<> {
        let named = image.is_named_by(reported, protocol);
        let order = match self.ledger_order(image, reported) {
            Some(order) => order_objection(order, image, reported),
            None => semver_objection(image, reported, named),
        };
        let requirement = requirement_objection(image, reported, named);
        order.into_iter().chain(requirement)
    }
}

const fn fail(reason: FailureReason) -> Check {
    Check::Fail { reason }
}

/// A10: registration, the rollout's map and the image agree on the hardware id.
pub(crate) fn fits(map: &BTreeMap<HardwareId, ImageKey>, image: &Image, ecu: &Ecu) -> bool {
    let mapped = map.get(&ecu.hardware_id) == Some(&image.key);
    mapped && image.hardware_ids.contains(&ecu.hardware_id)
}

/// X8: the image is for every model, or for the robot's.
pub(crate) fn suits(image: &Image, robot: &Robot) -> bool {
    image.model.is_none() || image.model == robot.model
}

fn semver_objection(image: &Image, reported: &ReportedImage, named: bool) -> Option<FailureReason> {
    let wanted = image.version()?;
    // Another image's versions are another's numbers.
    if !named {
        return None;
    }
    let Ok(found) = Version::parse(&reported.version) else {
        return Some(FailureReason::InvalidVersion);
    };
    order_objection(wanted.cmp_precedence(&found), image, reported)
}

/// `order` is how the image's version stands to the one that is reported.
fn order_objection(
    order: Ordering,
    image: &Image,
    reported: &ReportedImage,
) -> Option<FailureReason> {
    match order {
        Ordering::Greater => None,
        Ordering::Less => Some(FailureReason::DowngradeNotAllowed),
        // The same version and build with other bytes: sending it mends the ECU.
        Ordering::Equal if image.is_version_of(reported) => None,
        Ordering::Equal => Some(FailureReason::AmbiguousVersionOrder),
    }
}

fn requirement_objection(
    image: &Image,
    reported: &ReportedImage,
    named: bool,
) -> Option<FailureReason> {
    let requirement = image.from_version.as_ref()?;
    if !named {
        return Some(FailureReason::VersionRequirementNotMet);
    }
    let Ok(found) = Version::parse(&reported.version) else {
        return Some(FailureReason::InvalidVersion);
    };
    (!requirement.matches(&found)).then_some(FailureReason::VersionRequirementNotMet)
}

/// X5: which objections the rollout overrides.
const fn lifts(force: ForceDowngrade, objection: FailureReason) -> bool {
    match force {
        ForceDowngrade::No => false,
        ForceDowngrade::All => true,
        ForceDowngrade::WithinRequirement => matches!(
            objection,
            FailureReason::DowngradeNotAllowed | FailureReason::AmbiguousVersionOrder
        ),
    }
}
