//! What a publish would do, as a value: preview and publish share it, so they cannot disagree.

use super::{Release, ReleaseId, ReleaseSet, ReleaseSpec, Released, Salt, Sampling, Share};
use crate::channels::{Channel, ChannelKey};
use crate::check::Rules;
use crate::inventory::{Image, ImageKey, RobotKey};
use crate::mechanism::{AbortRule, Mechanism, ThresholdAction};
use crate::names::HardwareId;
use crate::plan::{Conflict, Plan};
use crate::refusal::Refusal;
use crate::robot_map::RobotMap;
use crate::rollout::RolloutId;
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// A release that could be published now.
pub(super) struct Draft<'a> {
    pub(super) channel: &'a Channel,
    pub(super) image: ImageKey,
    pub(super) ledger: Option<u32>,
    pub(super) share: Share,
    pub(super) salt: Salt,
    pub(super) sampling: Sampling,
    pub(super) mechanism: Mechanism,
    pub(super) pool: Vec<RobotKey>,
    pub(super) reach: usize,
    pub(super) first: TranchePlan,
    /// The release that it replaces.
    pub(super) former: Option<ReleaseId>,
    /// Whether it takes over that one's set.
    pub(super) same_set: bool,
}

/// What a tranche would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TranchePlan {
    pub(super) images: BTreeMap<HardwareId, ImageKey>,
    pub(super) plan: Plan,
    pub(super) phases: RobotMap<u16>,
}

/// What a publish would do now. Nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePreview {
    /// The image.
    pub image: ImageKey,
    /// Its number on the ledger, if it comes from there.
    pub ledger: Option<u32>,
    /// The percentage that would be in force.
    pub percentage: Share,
    /// Robots of the channel that the image suits.
    pub pool: u32,
    /// What would happen to those that are chosen.
    pub plan: Plan,
    /// Which rollouts it would meet.
    pub conflicts: Vec<Conflict>,
    /// The release that it would replace.
    pub replaces: Option<ReleaseId>,
}

impl State {
    /// What publishing `spec` would do now.
    ///
    /// # Errors
    /// Refuses what a publish would refuse.
    pub fn preview_release(&self, spec: &ReleaseSpec) -> Result<ReleasePreview, Refusal> {
        let draft = self.draft(spec)?;
        let plan = draft.first.plan;
        Ok(ReleasePreview {
            image: draft.image,
            ledger: draft.ledger,
            percentage: draft.share,
            pool: u32::try_from(draft.pool.len()).unwrap_or(u32::MAX),
            conflicts: self.conflicts(&plan),
            plan,
            replaces: draft.former,
        })
    }

    /// The image that publishing `spec` would give to robots; `None` if it would be refused for that.
    #[must_use]
    pub fn image_to_release(&self, spec: &ReleaseSpec) -> Option<&Image> {
        let channel = self.channel(spec.channel.as_str())?;
        let (image, _) = self.released(spec, channel).ok()?;
        self.images.get(&image)
    }

    pub(super) fn draft(&self, spec: &ReleaseSpec) -> Result<Draft<'_>, Refusal> {
        let name = &spec.channel;
        let channel = self
            .channel(name.as_str())
            .ok_or_else(|| Refusal::UnknownChannel { name: name.clone() })?;
        let former = self.release_of(channel.key);
        if let Some(release) = former.filter(|former| former.is_live()) {
            return Err(Refusal::ChannelIsLive {
                channel: name.clone(),
                release: release.id,
            });
        }
        let (image, ledger) = self.released(spec, channel)?;
        let mut mechanism = spec.mechanism.clone();
        self.check_pace(&mechanism)?;
        let choice = match (spec.set, former) {
            _ if ledger.is_some() => self.new_set(spec, channel, image, None)?,
            (Some(ReleaseSet::Same), None) => {
                return Err(Refusal::NoFormerSet {
                    channel: name.clone(),
                });
            }
            (None, Some(former)) => {
                return Err(Refusal::ChooseSet {
                    channel: name.clone(),
                    release: former.id,
                });
            }
            (Some(ReleaseSet::Same), Some(former)) => self.same_set(spec, former)?,
            (
                Some(ReleaseSet::New {
                    away_from_former: true,
                }),
                Some(_),
            ) if spec.sampling == Sampling::Bernoulli => return Err(Refusal::AwayIsExact),
            (Some(ReleaseSet::New { away_from_former }), Some(former)) => {
                let without = away_from_former.then_some(former);
                self.new_set(spec, channel, image, without)?
            }
            (Some(ReleaseSet::New { .. }) | None, None) => {
                self.new_set(spec, channel, image, None)?
            }
        };
        let same_set = spec.set == Some(ReleaseSet::Same);
        // The same robots are nobody who comes later.
        mechanism.dynamic = choice.sampling == Sampling::Bernoulli && !same_set;
        let first = self.plan_tranche(image, &mechanism, &choice.pool[..choice.reach])?;
        // Robots that come later may be all that it is for.
        if first.plan.affected().next().is_none() && !mechanism.dynamic {
            return Err(Refusal::AffectsNobody {
                skipped: first.plan.robots.len(),
            });
        }
        Ok(Draft {
            channel,
            image,
            ledger,
            share: choice.share,
            salt: choice.salt,
            sampling: choice.sampling,
            mechanism,
            reach: choice.reach,
            pool: choice.pool,
            first,
            former: former.map(|former| former.id),
            same_set,
        })
    }

    /// The image, and its number on the ledger if that is the channel's source.
    fn released(
        &self,
        spec: &ReleaseSpec,
        channel: &Channel,
    ) -> Result<(ImageKey, Option<u32>), Refusal> {
        let name = || channel.name.clone();
        match (&spec.what, channel.source.ledger()) {
            (Released::Image(_), Some(_)) => Err(Refusal::SourceIsLedger { channel: name() }),
            (Released::Ledger { .. }, None) => Err(Refusal::NotFromLedger { name: name() }),
            (Released::Image(reference), None) => {
                let image = self.image_key(reference);
                let unknown = || Refusal::UnknownImage {
                    image: reference.clone(),
                };
                let image = image.ok_or_else(unknown)?;
                self.check_offered(image)?;
                Ok((image, None))
            }
            (Released::Ledger { version }, Some(_)) => {
                check_read_only(spec)?;
                let number = match version {
                    Some(number) => *number,
                    None => self
                        .newest_on_ledger(channel.key)
                        .ok_or_else(|| Refusal::NothingOnLedger { channel: name() })?,
                };
                let version = self.ledger_version(channel.key, number);
                let unknown = || Refusal::UnknownLedgerVersion {
                    name: name(),
                    number,
                };
                let version = version.ok_or_else(unknown)?;
                if version.withdrawn().is_some() {
                    return Err(Refusal::LedgerVersionWithdrawn { number });
                }
                let channel = name();
                let image = version.image;
                let image = image.ok_or(Refusal::LedgerFileMissing { channel, number })?;
                Ok((image, Some(number)))
            }
        }
    }

    /// A version that its ledger has withdrawn is offered to nobody, whoever releases it.
    pub(super) fn check_offered(&self, image: ImageKey) -> Result<(), Refusal> {
        match self
            .images
            .get(&image)
            .filter(|image| self.is_withdrawn(image))
        {
            Some(image) => Err(Refusal::ImageWithdrawn {
                image: image.reference.clone(),
            }),
            None => Ok(()),
        }
    }

    fn newest_on_ledger(&self, channel: ChannelKey) -> Option<u32> {
        let versions = self.ledger_versions(channel);
        let offered = versions.filter(|v| v.withdrawn().is_none() && v.image.is_some());
        offered.map(|version| version.record.software_version).max()
    }

    /// A release begins when it is published, and its sampling says whether robots may join.
    fn check_pace(&self, mechanism: &Mechanism) -> Result<(), Refusal> {
        if mechanism.schedule.start.is_some() {
            return Err(Refusal::ReleaseStartsAtOnce);
        }
        if mechanism.dynamic {
            return Err(Refusal::ReleaseIsSampled);
        }
        self.check_mechanism(mechanism)
    }

    fn new_set(
        &self,
        spec: &ReleaseSpec,
        channel: &Channel,
        image: ImageKey,
        without: Option<&Release>,
    ) -> Result<Choice, Refusal> {
        let share = match spec.what {
            Released::Ledger { .. } => Share::ALL,
            Released::Image(_) => spec.percentage.ok_or(Refusal::NoPercentage)?,
        };
        let left_out: BTreeSet<_> = without
            .map(|former| self.set_of(former))
            .unwrap_or_default()
            .into_iter()
            .collect();
        let images = self.map_of(image);
        let rules = Rules {
            images: &images,
            mechanism: &spec.mechanism,
            manual: false,
        };
        let robots = self.robots_of_channel(channel, None);
        let suited = robots.map(|(robot, _)| robot).filter(|robot| {
            !left_out.contains(&robot.key) && self.plan_robot(robot, rules).skipped.is_none()
        });
        let pool = spec.salt.order(suited);
        let reach = self.reach(&pool, share, spec.salt, spec.sampling);
        Ok(Choice {
            share,
            salt: spec.salt,
            sampling: spec.sampling,
            pool,
            reach,
        })
    }

    fn same_set(&self, spec: &ReleaseSpec, former: &Release) -> Result<Choice, Refusal> {
        let share = former.percentage();
        if spec.percentage.is_some() {
            return Err(Refusal::PercentageIsFixed { percentage: share });
        }
        let set = self.set_of(former);
        let reach = set.len();
        let rest: BTreeSet<_> = set.iter().copied().collect();
        let rest = former.pool.iter().filter(|key| !rest.contains(key));
        let pool = set.iter().chain(rest).copied().collect();
        Ok(Choice {
            share,
            salt: former.salt,
            sampling: former.sampling,
            pool,
            reach,
        })
    }

    /// What the tranche does to these robots.
    pub(super) fn plan_tranche(
        &self,
        image: ImageKey,
        mechanism: &Mechanism,
        robots: &[RobotKey],
    ) -> Result<TranchePlan, Refusal> {
        if mechanism.ends(self.now) <= self.now {
            return Err(Refusal::InThePast { what: "end" });
        }
        let images = self.map_of(image);
        let rules = Rules {
            images: &images,
            mechanism,
            manual: false,
        };
        // In the order of registration, as every plan.
        let keys: BTreeSet<_> = robots.iter().collect();
        let robots = keys.into_iter().filter_map(|key| self.robots.get(key));
        let robots = robots.filter(|robot| robot.removed.is_none());
        let plan = Plan {
            robots: robots.map(|robot| self.plan_robot(robot, rules)).collect(),
        };
        self.check_windows(mechanism, &plan)?;
        let next = RolloutId(self.counters.rollouts.saturating_add(1));
        let phases = self.phases_of(next, &mechanism.phases, &plan)?;
        Ok(TranchePlan {
            images,
            plan,
            phases,
        })
    }

    /// The image on each board that it runs on.
    fn map_of(&self, image: ImageKey) -> BTreeMap<HardwareId, ImageKey> {
        let boards = self.images.get(&image).map(|image| &image.hardware_ids);
        let boards = boards.into_iter().flatten();
        boards.map(|id| (id.clone(), image)).collect()
    }
}

/// G11: nobody could resume what pauses, or raise what is for a part.
fn check_read_only(spec: &ReleaseSpec) -> Result<(), Refusal> {
    let all = spec.percentage.is_none_or(|share| share == Share::ALL);
    if !all || spec.set.is_some() || spec.sampling != Sampling::Exact {
        return Err(Refusal::LedgerIsForAll);
    }
    let pauses = |rule: &AbortRule| rule.action == ThresholdAction::Pause;
    if !spec.mechanism.phases.is_empty() || spec.mechanism.abort.iter().any(pauses) {
        return Err(Refusal::LedgerCannotPause);
    }
    Ok(())
}

/// Whom a release goes to.
struct Choice {
    share: Share,
    salt: Salt,
    sampling: Sampling,
    pool: Vec<RobotKey>,
    reach: usize,
}
