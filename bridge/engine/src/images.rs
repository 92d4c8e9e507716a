//! Removing images.
//!
//! The image itself stays for the rollouts that name it; what goes is its name, which may then be given again, and its
//! file. A rollout that is not completed keeps its images (Edgehog: no deleting while an unfinished campaign uses it).

use crate::inventory::ImageRef;
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::rollout::RolloutStatus;
use crate::state::{Changes, State};

impl State {
    pub(crate) fn remove_image(
        &mut self,
        reference: ImageRef,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(key) = self.image_key(&reference) else {
            return Err(Refusal::UnknownImage { image: reference });
        };
        if let Some(image) = self.images.get(&key) {
            self.check_not_of_ledger(image)?;
        }
        let uses = |rollout: &&crate::Rollout| {
            !matches!(rollout.status, RolloutStatus::Completed { .. })
                && rollout.images.values().any(|image| *image == key)
        };
        if let Some(rollout) = self.rollouts.values().find(uses) {
            return Err(Refusal::ImageInUse {
                image: reference,
                rollout: rollout.id,
            });
        }
        let offers =
            |release: &&crate::Release| release.replaced_by.is_none() && release.image == key;
        if let Some(release) = self.releases.values().find(offers) {
            return Err(Refusal::ImageReleased {
                image: reference,
                release: release.id,
            });
        }
        self.detach_ledger_file(key, changes);
        self.image_keys.remove(&reference);
        if let Some(image) = self.images.get_mut(&key) {
            image.removed = Some(self.now);
        }
        changes.touch(Row::Image(key));
        Ok(Reply::Image(key))
    }
}
