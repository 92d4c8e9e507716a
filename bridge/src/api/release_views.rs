//! Releases as the API shows them, and what clients say of one.

use super::error::ApiError;
use super::preview_views::{ConflictView, tally};
use super::views::{reference, rfc3339, word};
use rollcall_engine::{
    Act, ChannelName, Check, Deed, InactiveReason, Mechanism, Release, ReleaseCounts,
    ReleasePreview, ReleaseSet, ReleaseSpec, ReleaseStatus, Released, Robot, Salt, Sampling, Share,
    Standstill, State, Tranche,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A release to preview or publish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// To which channel.
    pub channel: ChannelName,
    /// `NAME@VERSION`; not given where the channel follows the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `true`: the newest version of the ledger that can be offered; a number: that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerChoice>,
    /// A whole number from 1 to 100; not given for the same set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Share>,
    /// `"same"` or `{"new": {"away_from_former": false}}`; needed once the channel has had a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<ReleaseSet>,
    /// `exact` or `bernoulli`.
    #[serde(default)]
    pub sampling: Sampling,
    /// How fast each tranche goes.
    #[serde(default)]
    pub mechanism: Mechanism,
}

/// Which version of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LedgerChoice {
    /// The newest that can be offered.
    Newest(bool),
    /// This one.
    Version(u32),
}

/// A release: a row of the Live Releases table (G10), and more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ReleaseView {
    pub id: u32,
    pub channel: String,
    pub image: String,
    /// Its number on the ledger, if it comes from there; then it is read-only.
    pub ledger: Option<u32>,
    /// `LIVE` or `INACTIVE`.
    pub status: String,
    /// Since when it is inactive, and why.
    pub inactive: Option<InactiveView>,
    pub replaced_by: Option<u32>,
    /// It is its channel's newest, and the channel is there.
    pub current: bool,
    /// In force; X10.
    pub percentage: u8,
    pub first_percentage: u8,
    pub sampling: Sampling,
    pub published: String,
    pub published_ms: u64,
    pub published_by: String,
    /// Robots that the percentage is of.
    pub pool: u32,
    pub robots: ReleaseCounts,
    pub mechanism: Mechanism,
    pub tranches: Vec<TrancheView>,
    pub acts: Vec<ActView>,
}

/// Why a release is inactive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct InactiveView {
    pub since: String,
    pub since_ms: u64,
    #[serde(flatten)]
    pub reason: InactiveReason,
    pub text: String,
}

/// Robots that were added at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct TrancheView {
    pub percentage: u8,
    /// `null` when the percentage grew by less than a robot.
    pub rollout: Option<u32>,
    /// It tells robots of earlier tranches once more.
    #[serde(default)]
    pub again: bool,
    pub status: Option<String>,
    pub outcome: Option<String>,
    pub robots: ReleaseCounts,
}

/// Something that was done to a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ActView {
    pub at: String,
    pub at_ms: u64,
    pub by: String,
    #[serde(flatten)]
    pub what: Deed,
    pub text: String,
}

/// What a publish would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ReleasePreviewView {
    pub image: String,
    /// Its number on the ledger, if it comes from there.
    pub ledger: Option<u32>,
    pub percentage: u8,
    pub pool: u32,
    pub chosen: usize,
    pub already_current: usize,
    pub will_fail_by_reason: BTreeMap<String, usize>,
    pub skipped_by_reason: BTreeMap<String, usize>,
    pub conflicts: Vec<ConflictView>,
    pub replaces: Option<u32>,
}

/// X18: what a stop would find now, in robots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ReleaseStandstill {
    pub release: u32,
    pub status: String,
    #[serde(flatten)]
    pub robots: Standstill,
}

/// Whether a release goes to a robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ReleasePlace {
    pub robot: String,
    pub release: u32,
    /// Whether it is in the set.
    pub chosen: bool,
    /// The rollout that brings the release to it.
    pub rollout: Option<u32>,
    /// Its place in the order of choice, from 1.
    pub place: Option<usize>,
    /// At which percentage it is in the set; `null` if it is not in the pool.
    pub from_percentage: Option<u8>,
    pub text: String,
}

impl NewRelease {
    pub(super) fn spec(self, salt: Salt) -> Result<ReleaseSpec, ApiError> {
        let what = match (self.image, self.ledger) {
            (Some(image), None | Some(LedgerChoice::Newest(false))) => {
                let image = image.parse();
                Released::Image(image.map_err(|error: String| ApiError::invalid(error))?)
            }
            (None, Some(LedgerChoice::Newest(true))) => Released::Ledger { version: None },
            (None, Some(LedgerChoice::Version(number))) => Released::Ledger {
                version: Some(number),
            },
            _ => {
                return Err(ApiError::invalid(
                    "give either `image`, as NAME@VERSION, or `ledger`: true or the number of a version",
                ));
            }
        };
        Ok(ReleaseSpec {
            channel: self.channel,
            what,
            percentage: self.percentage,
            set: self.set,
            sampling: self.sampling,
            salt,
            mechanism: self.mechanism,
        })
    }
}

impl ReleaseView {
    pub(super) fn new(state: &State, release: &Release) -> Self {
        let tranches = release.tranches.iter();
        let tranches: Vec<_> = tranches.map(|one| TrancheView::new(state, one)).collect();
        let inactive = match release.status {
            ReleaseStatus::Live => None,
            ReleaseStatus::Inactive { since, why } => Some(InactiveView {
                since: rfc3339(since),
                since_ms: since.0,
                reason: why,
                text: why_inactive(why),
            }),
        };
        let by = release.acts.first().map(|act| act.by.0.clone());
        Self {
            id: release.id.0,
            channel: release.channel_name.to_string(),
            image: reference(state, release.image),
            ledger: release.ledger,
            status: release.word().to_owned(),
            inactive,
            replaced_by: release.replaced_by.map(|by| by.0),
            current: release.replaced_by.is_none()
                && state.channel_by_key(release.channel).is_some(),
            percentage: release.percentage().percent(),
            first_percentage: release.first_percentage().percent(),
            sampling: release.sampling,
            published: rfc3339(release.published),
            published_ms: release.published.0,
            published_by: by.unwrap_or_default(),
            pool: release.pool_size,
            robots: state.release_counts(release),
            mechanism: release.mechanism.clone(),
            tranches,
            acts: release.acts.iter().map(ActView::new).collect(),
        }
    }
}

impl TrancheView {
    fn new(state: &State, tranche: &Tranche) -> Self {
        let rollout = tranche.rollout.and_then(|id| state.rollout(id));
        let outcome = rollout.and_then(|rollout| match rollout.status {
            rollcall_engine::RolloutStatus::Completed { outcome, .. } => Some(word(&outcome)),
            _ => None,
        });
        Self {
            percentage: tranche.percentage.percent(),
            rollout: tranche.rollout.map(|id| id.0),
            again: tranche.again,
            status: rollout.map(|rollout| rollout.word().to_owned()),
            outcome,
            robots: rollout.map(ReleaseCounts::of).unwrap_or_default(),
        }
    }
}

impl ActView {
    fn new(act: &Act) -> Self {
        Self {
            at: rfc3339(act.at),
            at_ms: act.at.0,
            by: act.by.0.clone(),
            what: act.what,
            text: deed_text(act.what),
        }
    }
}

fn deed_text(deed: Deed) -> String {
    match deed {
        Deed::Published {
            percentage,
            set_of: None,
        } => format!("published it at {percentage}"),
        Deed::Published {
            percentage,
            set_of: Some(former),
        } => format!(
            "published it to the robots of release {} ({percentage})",
            former.0
        ),
        Deed::Stopped {
            why: InactiveReason::Stopped,
        } => "stopped it".to_owned(),
        Deed::Stopped { why } => format!("stopped it: {}", why_inactive(why)),
        Deed::Resumed => "resumed it".to_owned(),
        Deed::Raised { percentage } => format!("raised it to {percentage}"),
        Deed::Replaced { release } => format!("published release {} in its place", release.0),
    }
}

fn why_inactive(why: InactiveReason) -> String {
    match why {
        InactiveReason::Stopped => "an operator stopped it".to_owned(),
        InactiveReason::Withdrawn => "the ledger has withdrawn its version".to_owned(),
        InactiveReason::SourceSwitched => "its channel got another source".to_owned(),
        InactiveReason::ChannelRemoved => "its channel was removed".to_owned(),
        InactiveReason::RolloutEnded { rollout } => {
            format!("its rollout {} did not end well", rollout.0)
        }
    }
}

impl ReleasePreviewView {
    pub(super) fn new(state: &State, preview: &ReleasePreview) -> Self {
        let robots = &preview.plan.robots;
        let ecus = || robots.iter().flat_map(|robot| &robot.ecus);
        let failing = ecus().filter_map(|ecu| match ecu.at_dispatch {
            Check::Fail { reason } => Some(word(&reason)),
            _ => None,
        });
        let skipped = robots.iter().filter_map(|robot| robot.skipped);
        let conflicts = preview.conflicts.iter();
        let current = ecus().filter(|ecu| ecu.at_dispatch == Check::AlreadyCurrent);
        Self {
            image: reference(state, preview.image),
            ledger: preview.ledger,
            percentage: preview.percentage.percent(),
            pool: preview.pool,
            chosen: preview.plan.affected().count(),
            already_current: current.count(),
            will_fail_by_reason: tally(failing),
            skipped_by_reason: tally(skipped.map(|reason| word(&reason))),
            conflicts: conflicts.map(|one| ConflictView::new(state, one)).collect(),
            replaces: preview.replaces.map(|former| former.0),
        }
    }
}

impl ReleaseStandstill {
    pub(super) fn new(release: &Release, found: Standstill) -> Self {
        Self {
            release: release.id.0,
            status: release.word().to_owned(),
            robots: found,
        }
    }
}

impl ReleasePlace {
    pub(super) fn new(state: &State, release: &Release, robot: &Robot) -> Self {
        let place = release.pool.iter().position(|key| *key == robot.key);
        let place = place.map(|index| index + 1);
        let rollout = state.brings(release, robot);
        let from = state.share_that_takes(release, robot);
        let (id, number) = (&robot.id, release.id.0);
        let order = place.map(|place| {
            format!(
                ": it is number {place} of {} robots in the order of choice",
                release.pool_size
            )
        });
        let order = order.unwrap_or_default();
        let text = match (rollout, from) {
            (Some(_), _) => format!("release {number} goes to {id}{order}"),
            (None, _) if release.replaced_by.is_some() => {
                format!("release {number} did not go to {id} before it was replaced")
            }
            (None, Some(from)) if release.percentage() < from => {
                format!("release {number} does not go to {id}{order}; it is in from {from} on")
            }
            (None, _) => format!(
                "release {number} does not go to {id}: when it was published, {id} was not in channel {}, or the image did not suit it",
                release.channel_name
            ),
        };
        Self {
            robot: id.to_string(),
            release: number,
            chosen: rollout.is_some(),
            rollout: rollout.map(|id| id.0),
            place,
            from_percentage: from.map(Share::percent),
            text,
        }
    }
}
