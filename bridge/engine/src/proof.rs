//! What an ECU's report proves of the operation under way.

use crate::inventory::{Image, Protocol, ReportedImage, Robot};
use crate::operation::operation_id;
use crate::rollout::Rollout;
use crate::state::State;
use crate::target::{Ran, Target};

/// What an ECU's report says of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The image runs.
    Installed,
    /// The robot says that the operation brought another image.
    OtherImage,
    /// What ran when the operation began.
    OldImage,
    /// Neither that nor the image, by its version.
    ThirdImage,
    /// The image's version in another build, and not the one that ran when the operation began.
    OtherBuild,
    /// Not enough.
    Nothing,
}

impl State {
    /// Whether the ECU's report proves that `image` runs there by way of the current operation or otherwise.
    ///
    /// A native robot must name the operation or the digest; an Edgehog device can report neither.
    pub(crate) fn proves(
        robot: &Robot,
        rollout: &Rollout,
        target: &Target,
        image: &Image,
    ) -> Proof {
        let Some(ecu) = robot.ecus.get(usize::from(target.ecu)) else {
            return Proof::Nothing;
        };
        let Some(reported) = ecu.reported.as_ref().filter(|r| !r.version.is_empty()) else {
            return Proof::Nothing;
        };
        let edgehog = robot.protocol == Some(Protocol::Edgehog);
        let operation = operation_id(rollout.id, robot.key, &ecu.name, target.attempt);
        let names_operation = reported.operation == Some(operation);
        if image.is_reported_by(reported, robot.protocol) {
            let enough = edgehog || names_operation || reported.digest.is_some();
            return if enough {
                Proof::Installed
            } else {
                Proof::Nothing
            };
        }
        if names_operation {
            return Proof::OtherImage;
        }
        // Operations of an older database do not know what ran before them.
        let Some(ran) = &target.ran else {
            return Proof::OldImage;
        };
        if !image.has_version_of(reported) {
            return if *ran.version == *reported.version {
                Proof::OldImage
            } else {
                Proof::ThirdImage
            };
        }
        // The build id may come long after the version. Until it does, this is not known to be the old build.
        let build_may_come = edgehog && reported.build_id.is_empty();
        match ran.is_reported_by(reported) {
            true if !build_may_come => Proof::OldImage,
            _ if reported.build_id.is_empty() => Proof::Nothing,
            _ => Proof::OtherBuild,
        }
    }

    /// For people: what an ECU reports, and what it should run.
    pub(crate) fn names_both(reported: &ReportedImage, image: &Image) -> String {
        let build = |id: Option<&str>| match id {
            None | Some("") => String::new(),
            Some(id) => format!(", build {id}"),
        };
        format!(
            "runs version {}{}; wanted was {}{}",
            reported.version,
            build(Some(&reported.build_id)),
            image.reference,
            build(image.build()),
        )
    }
}

impl Ran {
    pub(crate) fn of(reported: &ReportedImage) -> Self {
        Self {
            version: reported.version.as_str().into(),
            build_id: reported.build_id.as_str().into(),
        }
    }

    fn is_reported_by(&self, reported: &ReportedImage) -> bool {
        *self.version == *reported.version && *self.build_id == *reported.build_id
    }
}
