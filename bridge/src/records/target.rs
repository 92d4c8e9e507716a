//! Members of a rollout with their targets: the rows that change with nearly every event, so they are kept small.

use super::RecordError;
use prost::Message;
use rollcall_engine::{
    CancelGoal, CancelReason, Cancelling, FailureReason, ImageKey, Member, Ran, Retrying,
    RolloutId, SkipReason, SuccessKind, Target, TargetState, Timestamp,
};

#[derive(Clone, PartialEq, prost::Message)]
struct StoredMember {
    #[prost(message, repeated, tag = "1")]
    targets: Vec<StoredTarget>,
    /// 0: not skipped.
    #[prost(uint32, tag = "2")]
    skipped: u32,
    #[prost(uint32, tag = "3")]
    phase: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredTarget {
    #[prost(uint32, tag = "1")]
    ecu: u32,
    #[prost(uint32, tag = "2")]
    image: u32,
    #[prost(uint32, tag = "3")]
    state: u32,
    /// Progress, reason or rollout, as the state needs it.
    #[prost(uint32, tag = "4")]
    argument: u32,
    #[prost(uint64, tag = "5")]
    since: u64,
    #[prost(uint32, tag = "6")]
    attempt: u32,
    #[prost(uint32, tag = "7")]
    resends: u32,
    #[prost(uint64, tag = "8")]
    boot: u64,
    #[prost(uint64, optional, tag = "9")]
    suspect_until: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    deadline: Option<u64>,
    #[prost(string, optional, tag = "11")]
    detail: Option<String>,
    #[prost(string, optional, tag = "12")]
    base: Option<String>,
    #[prost(message, optional, tag = "13")]
    cancelling: Option<StoredCancelling>,
    #[prost(bool, tag = "14")]
    owes_cancel: bool,
    #[prost(message, optional, tag = "15")]
    ran: Option<StoredRan>,
    #[prost(message, optional, tag = "16")]
    retry: Option<StoredRetry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRetry {
    #[prost(uint32, tag = "1")]
    failure: u32,
    #[prost(uint64, tag = "2")]
    at: u64,
    /// Retries so far, a byte per class.
    #[prost(bytes, tag = "3")]
    used: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRan {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    build_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredCancelling {
    #[prost(string, tag = "1")]
    by: String,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(uint32, tag = "3")]
    sent: u32,
    /// 0: an operator's, as all were before rollouts could be stopped.
    #[prost(uint32, tag = "4")]
    goal: u32,
}

pub(super) fn encode_member(member: &Member) -> Vec<u8> {
    let targets = member.targets.iter().map(encode_target).collect();
    StoredMember {
        targets,
        skipped: member.skipped.map_or(0, skip_number),
        phase: member.phase.into(),
    }
    .encode_to_vec()
}

pub(super) fn decode_member(bytes: &[u8]) -> Result<Member, RecordError> {
    let stored = StoredMember::decode(bytes)?;
    let skipped = match stored.skipped {
        0 => None,
        number => Some(skip_reason(number)?),
    };
    Ok(Member {
        targets: stored
            .targets
            .into_iter()
            .map(decode_target)
            .collect::<Result<_, _>>()?,
        skipped,
        phase: u16::try_from(stored.phase).map_err(|_| RecordError::Invalid("phase"))?,
    })
}

fn encode_target(target: &Target) -> StoredTarget {
    let (state, argument) = state_numbers(target.state);
    StoredTarget {
        ecu: target.ecu.into(),
        image: target.image.0,
        state,
        argument,
        since: target.since.0,
        attempt: target.attempt.into(),
        resends: target.resends.into(),
        boot: target.boot,
        suspect_until: target.suspect_until.map(|at| at.0),
        deadline: target.deadline.map(|at| at.0),
        detail: target.detail.as_deref().map(str::to_owned),
        base: target.base.as_deref().map(str::to_owned),
        cancelling: target
            .cancelling
            .as_ref()
            .map(|cancelling| StoredCancelling {
                by: cancelling.by.to_string(),
                since: cancelling.since.0,
                sent: cancelling.sent.into(),
                goal: goal_number(cancelling.goal),
            }),
        owes_cancel: target.owes_cancel,
        retry: target.retry.as_ref().map(|retry| StoredRetry {
            failure: failure_number(retry.failure),
            at: retry.at.0,
            used: retry.used.to_vec(),
        }),
        ran: target.ran.as_ref().map(|ran| StoredRan {
            version: ran.version.to_string(),
            build_id: ran.build_id.to_string(),
        }),
    }
}

fn decode_target(stored: StoredTarget) -> Result<Target, RecordError> {
    let small = |number: u32, what| u8::try_from(number).map_err(|_| RecordError::Invalid(what));
    let cancelling = stored.cancelling.map(|cancelling| {
        Ok::<_, RecordError>(Box::new(Cancelling {
            by: cancelling.by.into(),
            since: Timestamp(cancelling.since),
            sent: small(cancelling.sent, "number of Cancels")?,
            goal: cancel_goal(cancelling.goal)?,
        }))
    });
    let retry = stored.retry.map(|retry| {
        Ok::<_, RecordError>(Box::new(Retrying {
            failure: failure_reason(retry.failure)?,
            at: Timestamp(retry.at),
            used: retry
                .used
                .try_into()
                .map_err(|_| RecordError::Invalid("retries"))?,
        }))
    });
    Ok(Target {
        ecu: small(stored.ecu, "ECU")?,
        image: ImageKey(stored.image),
        state: state(stored.state, stored.argument)?,
        since: Timestamp(stored.since),
        attempt: u16::try_from(stored.attempt).map_err(|_| RecordError::Invalid("attempt"))?,
        resends: small(stored.resends, "resends")?,
        boot: stored.boot,
        suspect_until: stored.suspect_until.map(Timestamp),
        deadline: stored.deadline.map(Timestamp),
        detail: stored.detail.map(String::into_boxed_str),
        base: stored.base.map(Into::into),
        cancelling: cancelling.transpose()?,
        retry: retry.transpose()?,
        owes_cancel: stored.owes_cancel,
        ran: stored.ran.map(|ran| {
            Box::new(Ran {
                version: ran.version.into(),
                build_id: ran.build_id.into(),
            })
        }),
    })
}

fn state_numbers(state: TargetState) -> (u32, u32) {
    match state {
        TargetState::Pending => (1, 0),
        TargetState::Requested => (2, 0),
        TargetState::Acknowledged => (3, 0),
        TargetState::Downloading { progress } => (4, progress.into()),
        TargetState::Downloaded => (5, 0),
        TargetState::Installing { progress } => (6, progress.into()),
        TargetState::Applied => (7, 0),
        TargetState::Verifying => (8, 0),
        TargetState::Succeeded {
            how: SuccessKind::Installed,
        } => (9, 0),
        TargetState::Succeeded {
            how: SuccessKind::AlreadyCurrent,
        } => (9, 1),
        TargetState::Failed { reason } => (10, failure_number(reason)),
        TargetState::RolledBack => (11, 0),
        TargetState::Skipped { reason } => (12, skip_number(reason)),
        TargetState::Cancelled { reason } => (13, cancel_number(reason)),
        TargetState::Superseded { by } => (14, by.0),
        TargetState::Expired => (15, 0),
    }
}

fn state(state: u32, argument: u32) -> Result<TargetState, RecordError> {
    let progress = || u8::try_from(argument).map_err(|_| RecordError::Invalid("progress"));
    Ok(match state {
        1 => TargetState::Pending,
        2 => TargetState::Requested,
        3 => TargetState::Acknowledged,
        4 => TargetState::Downloading {
            progress: progress()?,
        },
        5 => TargetState::Downloaded,
        6 => TargetState::Installing {
            progress: progress()?,
        },
        7 => TargetState::Applied,
        8 => TargetState::Verifying,
        9 if argument == 0 => TargetState::Succeeded {
            how: SuccessKind::Installed,
        },
        9 if argument == 1 => TargetState::Succeeded {
            how: SuccessKind::AlreadyCurrent,
        },
        10 => TargetState::Failed {
            reason: failure_reason(argument)?,
        },
        11 => TargetState::RolledBack,
        12 => TargetState::Skipped {
            reason: skip_reason(argument)?,
        },
        13 => TargetState::Cancelled {
            reason: cancel_reason(argument)?,
        },
        14 => TargetState::Superseded {
            by: RolloutId(argument),
        },
        15 => TargetState::Expired,
        _ => return Err(RecordError::Invalid("state")),
    })
}

/// Two functions between a reason and its number, from one list.
macro_rules! numbered {
    ($type:ident, $what:literal, $to:ident, $from:ident, { $($variant:ident = $number:literal),* $(,)? }) => {
        fn $to(reason: $type) -> u32 {
            match reason {
                $($type::$variant => $number,)*
            }
        }

        fn $from(number: u32) -> Result<$type, RecordError> {
            match number {
                $($number => Ok($type::$variant),)*
                _ => Err(RecordError::Invalid($what)),
            }
        }
    };
}

numbered!(SkipReason, "skip reason", skip_number, skip_reason, { NoCompatibleEcu = 1, OtherModel = 2, NoPartNumber = 3, VersionMismatch = 4, LedgerWithdrawn = 5, LedgerVersionUnknown = 6, LedgerVersionNotApplicable = 7 });
numbered!(CancelReason, "cancel reason", cancel_number, cancel_reason, {
    RobotRemoved = 1,
    EarlierEcuFailed = 2,
    ByRobot = 3,
    ByOperator = 4,
    RolloutCancelled = 5,
    RolloutAborted = 6,
});
numbered!(CancelGoal, "goal of a Cancel", goal_number, cancel_goal, {
    Operator = 0,
    Recall = 1,
    RolloutCancelled = 2,
    RolloutAborted = 3,
});
numbered!(FailureReason, "failure reason", failure_number, failure_reason, {
    RequestTimeout = 1,
    InProgressTimeout = 2,
    NotConfirmed = 3,
    Interrupted = 4,
    MissingVersion = 5,
    OtherImageReported = 6,
    IncompatibleHardware = 7,
    InvalidRequest = 8,
    UpdateAlreadyInProgress = 9,
    NetworkError = 10,
    IoError = 11,
    InternalError = 12,
    InvalidBaseImage = 13,
    RefusedHardware = 14,
    UnexpectedVersion = 15,
    DigestMismatch = 16,
    Refused = 17,
    StorageFull = 18,
    Unspecified = 19,
    Busy = 20,
    InvalidVersion = 21,
    DowngradeNotAllowed = 22,
    AmbiguousVersionOrder = 23,
    VersionRequirementNotMet = 24,
    Offline = 25,
});
