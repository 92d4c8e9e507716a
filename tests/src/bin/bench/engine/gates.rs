//! What a rollout has to ask before it tells a robot: nothing but its cap, or everything that there is.

use anyhow::{Context, Result};
use rollcall_engine::{
    AbortRule, Counting, Defaults, Factor, FailureClass, FailureKind, Growth, Mechanism, Millis,
    OfflinePolicy, OnFailure, Percent, Phase, PhaseSize, Rate, Retry, Schedule, ThresholdAction,
    Timestamp, Window, Windows,
};
use std::collections::BTreeMap;

/// Which gates a fleet's rollouts have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gates {
    /// The cap only.
    Plain,
    /// All, and each lets everybody through at last: what they cost is measured, not what they hold back.
    All,
}

/// Longer than a rollout takes here.
const LONG: Millis = 20 * 24 * 3_600_000;

/// Where robots are, when windows go by it.
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC"];

/// Every time of day is in one of them, or in both.
const OPENS: [&str; 2] = ["0 0 * * *", "0 12 * * *"];

impl Gates {
    /// What the robot with this number says of where it is.
    pub(super) fn labels(self, number: usize) -> BTreeMap<String, String> {
        match self {
            Self::Plain => BTreeMap::new(),
            Self::All => {
                let zone = ZONES[number % ZONES.len()].to_owned();
                [("timezone".to_owned(), zone)].into()
            }
        }
    }

    /// A mechanism with this cap.
    pub(super) fn mechanism(self, cap: u32, now: Timestamp) -> Result<Mechanism> {
        let plain = Mechanism {
            max_in_progress: cap,
            ..Mechanism::default()
        };
        if self == Self::Plain {
            return Ok(plain);
        }
        let windows = OPENS.iter().map(|opens| {
            let opens = opens.parse().map_err(anyhow::Error::msg)?;
            Ok(Window {
                opens,
                minutes: 1_430,
            })
        });
        Ok(Mechanism {
            rate: Some(rate()),
            on_failure: OnFailure::Stop,
            retries: vec![
                Retry::new(FailureClass::Network, 3),
                Retry::new(FailureClass::Timeout, 3),
            ],
            max_failure_percentage: Some(Percent::ALL),
            abort: vec![never(FailureKind::All), never(FailureKind::TimedOut)],
            offline: OfflinePolicy::Fail { grace: LONG },
            phases: vec![phase(1_000)?, phase(4_000)?, tolerant(PhaseSize::Rest)],
            schedule: Schedule {
                start: None,
                end: Some(now.after(LONG)),
            },
            windows: Some(Windows {
                windows: windows.collect::<Result<_>>()?,
                zone: "UTC".parse().map_err(anyhow::Error::msg)?,
                zone_label: "timezone".to_owned(),
            }),
            ..plain
        })
    }
}

/// As fast as a rate can be, after two robots, so that fleets of every size are told at the same pace.
const fn rate() -> Rate {
    Rate {
        per_minute: 900_000,
        growth: Some(Growth {
            factor: Factor::tenths(11),
            every: 1,
            counting: Counting::Told,
            max_per_minute: Defaults::MAX_RATE,
        }),
    }
}

const fn never(kind: FailureKind) -> AbortRule {
    AbortRule {
        kind,
        percentage: Percent::ALL,
        min_tried: u32::MAX,
        action: ThresholdAction::Abort,
    }
}

/// The next one opens at once: nobody needs to have succeeded.
fn phase(hundredths: u16) -> Result<Phase> {
    let share = Percent::hundredths(hundredths).context("more than everybody")?;
    Ok(Phase {
        success_threshold: Percent::ZERO,
        ..tolerant(PhaseSize::Percentage(share))
    })
}

/// All of its robots may fail.
fn tolerant(size: PhaseSize) -> Phase {
    Phase {
        error_threshold: Some(Percent::ALL),
        ..Phase::new(size)
    }
}
