//! Publishing a release, and launching its tranches.

use super::draft::{Draft, TranchePlan};
use super::{Act, Deed, InactiveReason, Release, ReleaseId, ReleaseSpec, ReleaseStatus, Tranche};
use crate::channels::ChannelKey;
use crate::input::Actor;
use crate::names::RolloutName;
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::rollout::{EndReason, RolloutId, RolloutSpec, Run, TargetSelection};
use crate::state::{Changes, State};

/// Increases and resumes of one release. Increases alone are fewer than 100.
pub(super) const MAX_TRANCHES: usize = 1_000;
/// What is remembered of what was done to one release; the first act always is.
const MAX_ACTS: usize = 1_000;

impl State {
    /// Puts stored releases back; part of rebuilding a state.
    #[must_use]
    pub fn with_releases(mut self, releases: impl IntoIterator<Item = Release>) -> Self {
        let releases = releases.into_iter();
        self.releases
            .extend(releases.map(|release| (release.id, release)));
        self
    }

    /// All releases, oldest first.
    pub fn releases(&self) -> impl DoubleEndedIterator<Item = &Release> {
        self.releases.values()
    }

    /// The release with this number.
    #[must_use]
    pub fn release(&self, id: ReleaseId) -> Option<&Release> {
        self.releases.get(&id)
    }

    /// The newest release of the channel: the only one that can be live.
    #[must_use]
    pub fn release_of(&self, channel: ChannelKey) -> Option<&Release> {
        let mut newest = self.releases.values().rev();
        newest.find(|release| release.channel == channel)
    }

    pub(crate) fn publish_release(
        &mut self,
        by: &Actor,
        spec: &ReleaseSpec,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let draft = self.draft(spec)?;
        let Draft {
            channel,
            image,
            ledger,
            share,
            salt,
            sampling,
            mechanism,
            pool,
            reach,
            first,
            former,
            same_set,
        } = draft;
        let (channel, channel_name) = (channel.key, channel.name.clone());
        self.counters.releases += 1;
        let id = ReleaseId(self.counters.releases);
        let release = Release {
            id,
            channel,
            channel_name,
            image,
            ledger,
            sampling,
            salt,
            mechanism,
            published: self.now,
            status: ReleaseStatus::Live,
            replaced_by: None,
            tranches: Vec::new(),
            acts: Vec::new(),
            pool_size: u32::try_from(pool.len()).unwrap_or(u32::MAX),
            pool,
        };
        self.releases.insert(id, release);
        let deed = Deed::Published {
            percentage: share,
            set_of: former.filter(|_| same_set),
        };
        self.note_act(id, by, deed, changes);
        changes.touch(Row::Counters);
        changes.touch(Row::Pool(id));
        // What the former one waits for makes room first.
        if let Some(former) = former {
            self.replace(by, former, id, changes);
        }
        self.launch_tranche(by, id, Tranche::to(share, reach), first, changes);
        Ok(Reply::Release(id))
    }

    /// The release `old` is over: nothing of it goes out any more, and robots that install finish.
    fn replace(&mut self, by: &Actor, old: ReleaseId, new: ReleaseId, changes: &mut Changes) {
        let Some(release) = self.releases.get_mut(&old) else {
            return;
        };
        release.replaced_by = Some(new);
        release.pool = Vec::new();
        changes.touch(Row::Pool(old));
        self.note_act(old, by, Deed::Replaced { release: new }, changes);
        for rollout in self.rollouts_that(old, |run| !matches!(run, Run::Ending { .. })) {
            self.end_by(by, rollout, EndReason::Replaced { by: new }, changes);
            self.pump(rollout, changes);
        }
    }

    /// Launches the rollout that brings the release to the robots of `plan`.
    pub(super) fn launch_tranche(
        &mut self,
        by: &Actor,
        id: ReleaseId,
        mut tranche: Tranche,
        planned: TranchePlan,
        changes: &mut Changes,
    ) {
        let Some(release) = self.releases.get_mut(&id) else {
            return;
        };
        if planned.plan.robots.is_empty() && !release.mechanism.dynamic {
            release.tranches.push(tranche);
            return;
        }
        let name = format!(
            "release {}, {}, to {}",
            id.0, tranche.percentage, release.channel_name
        );
        let Ok(name) = RolloutName::new(&name) else {
            return;
        };
        let spec = RolloutSpec {
            name,
            target: TargetSelection::Release(id),
            images: Vec::new(),
            mechanism: release.mechanism.clone(),
        };
        let rollout = self.add_rollout(by, spec, planned.images, changes);
        tranche.rollout = Some(rollout);
        // Before the launch, which may end the rollout at once and asks whose it is.
        if let Some(release) = self.releases.get_mut(&id) {
            release.tranches.push(tranche);
        }
        self.launch_plan(rollout, &planned.plan, &planned.phases, changes);
    }

    pub(super) fn note_act(
        &mut self,
        id: ReleaseId,
        by: &Actor,
        what: Deed,
        changes: &mut Changes,
    ) {
        let at = self.now;
        if let Some(release) = self.releases.get_mut(&id) {
            if release.acts.len() >= MAX_ACTS {
                release.acts.remove(1);
            }
            let by = by.clone();
            release.acts.push(Act { at, by, what });
            changes.touch(Row::Release(id));
        }
    }

    /// A ledger has withdrawn something: nobody more gets it, on whatever channel.
    pub(crate) fn stop_withdrawn(&mut self, changes: &mut Changes) {
        let live = self.releases.values().filter(|release| release.is_live());
        let withdrawn = live.filter(|release| self.check_offered(release.image).is_err());
        let withdrawn: Vec<_> = withdrawn.map(|release| release.id).collect();
        let by = Actor("rollcall".to_owned());
        for id in withdrawn {
            self.halt(&by, id, InactiveReason::Withdrawn, changes);
        }
    }

    /// The channel goes: its newest release goes with it, and its history stays (G28).
    pub(crate) fn end_release_of(
        &mut self,
        by: &Actor,
        channel: ChannelKey,
        changes: &mut Changes,
    ) {
        let newest = self.release_of(channel);
        let Some(id) = newest.map(|release| release.id) else {
            return;
        };
        if let Some(release) = self.releases.get_mut(&id) {
            release.pool = Vec::new();
        }
        changes.touch(Row::Pool(id));
        for rollout in self.rollouts_that(id, |run| !matches!(run, Run::Ending { .. })) {
            self.end_by(by, rollout, EndReason::Operator, changes);
            self.pump(rollout, changes);
        }
        self.halt(by, id, InactiveReason::ChannelRemoved, changes);
    }

    /// G17: what came from the ledger ends with it. A release of our own has to be stopped first.
    pub(crate) fn leave_source(
        &mut self,
        by: &Actor,
        channel: ChannelKey,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        let live = self.release_of(channel).filter(|release| release.is_live());
        let Some(live) = live else {
            return Ok(());
        };
        let id = live.id;
        if live.ledger.is_none() {
            let channel = live.channel_name.clone();
            return Err(Refusal::ChannelIsLive {
                channel,
                release: id,
            });
        }
        self.halt(by, id, InactiveReason::SourceSwitched, changes);
        Ok(())
    }

    /// G16: a rollout that ends badly makes its release inactive, and nobody more gets it.
    pub(crate) fn tranche_ended(
        &mut self,
        id: ReleaseId,
        rollout: RolloutId,
        changes: &mut Changes,
    ) {
        let by = Actor("rollcall".to_owned());
        let live = self.releases.get(&id).is_some_and(Release::is_live);
        if live {
            self.halt(&by, id, InactiveReason::RolloutEnded { rollout }, changes);
        }
    }
}
