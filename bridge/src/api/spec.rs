//! What clients say of a rollout, turned into what the engine takes.

use super::error::ApiError;
use rollcall_engine::{
    ForceDowngrade, HardwareId, ImageRef, Mechanism, Millis, Rate, RolloutEdit, RolloutName,
    RolloutSpec, TargetSelection,
};
use serde::{Deserialize, Serialize};

/// A rollout to preview or create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRollout {
    /// What people call it.
    pub name: RolloutName,
    /// Which robots: `{"group": NAME}`, `{"hardware": ID}` or `{"robots": [ID]}`.
    pub target: TargetSelection,
    /// Which image for which hardware id.
    pub images: Vec<MappedImage>,
    /// How fast.
    #[serde(default)]
    pub mechanism: Mechanism,
}

/// One image for one hardware id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedImage {
    /// The board.
    pub hardware_id: HardwareId,
    /// `NAME@VERSION`
    pub image: String,
}

/// What to change in a rollout; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `NewRollout`")]
pub struct ChangedRollout {
    /// Refuse when the rollout is no longer at this revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<RolloutName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSelection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<MappedImage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_progress: Option<u32>,
    /// `null` takes the rate away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub rate: Option<Option<Rate>>,
    /// Milliseconds from the launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_downgrade: Option<ForceDowngrade>,
}

/// Tells a field that is `null` from one that is not there.
fn given<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Option<Rate>>, D::Error> {
    Option::deserialize(input).map(Some)
}

fn map(images: Vec<MappedImage>) -> Result<Vec<(HardwareId, ImageRef)>, ApiError> {
    let pair = |mapped: MappedImage| {
        let image = mapped
            .image
            .parse()
            .map_err(|error: String| ApiError::invalid(error))?;
        Ok((mapped.hardware_id, image))
    };
    images.into_iter().map(pair).collect()
}

impl TryFrom<NewRollout> for RolloutSpec {
    type Error = ApiError;
    fn try_from(new: NewRollout) -> Result<Self, ApiError> {
        Ok(Self {
            name: new.name,
            target: new.target,
            images: map(new.images)?,
            mechanism: new.mechanism,
        })
    }
}

impl TryFrom<ChangedRollout> for RolloutEdit {
    type Error = ApiError;
    fn try_from(changed: ChangedRollout) -> Result<Self, ApiError> {
        Ok(Self {
            revision: changed.revision,
            name: changed.name,
            target: changed.target,
            images: changed.images.map(map).transpose()?,
            mechanism: changed.mechanism,
            max_in_progress: changed.max_in_progress,
            rate: changed.rate,
            deadline: changed.deadline,
            force_downgrade: changed.force_downgrade,
        })
    }
}
