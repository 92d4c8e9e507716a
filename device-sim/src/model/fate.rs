//! What will happen to an operation, drawn when it is accepted.

use rand_chacha::ChaCha8Rng;

use crate::profile::Profile;

/// How an operation will go wrong, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Download,
    Digest,
    Install,
    Rollback,
}

/// What the robot will say that is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    None,
    ClaimSuccess,
    WrongVersion,
    BackwardProgress,
}

/// Drawn once per operation, so that it does not depend on when messages arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) fault: Fault,
    pub(super) lie: Lie,
    pub(super) refuse: bool,
    pub(super) busy: bool,
    pub(super) unknown_operation: bool,
}

impl Fate {
    pub(super) fn draw(profile: &Profile, rng: &mut ChaCha8Rng) -> Self {
        let (failures, lies) = (&profile.failures, &profile.lies);
        let faults = [
            (failures.download.happens(rng), Fault::Download),
            (failures.digest.happens(rng), Fault::Digest),
            (failures.install.happens(rng), Fault::Install),
            (failures.rollback.happens(rng), Fault::Rollback),
        ];
        let told = [
            (lies.claim_success.happens(rng), Lie::ClaimSuccess),
            (lies.wrong_version.happens(rng), Lie::WrongVersion),
            (lies.backward_progress.happens(rng), Lie::BackwardProgress),
        ];
        Self {
            fault: first(faults).unwrap_or(Fault::None),
            lie: first(told).unwrap_or(Lie::None),
            refuse: failures.refuse.happens(rng),
            busy: failures.busy.happens(rng),
            unknown_operation: lies.unknown_operation.happens(rng),
        }
    }
}

fn first<T, const N: usize>(drawn: [(bool, T); N]) -> Option<T> {
    drawn
        .into_iter()
        .find(|(happens, _)| *happens)
        .map(|(_, what)| what)
}
