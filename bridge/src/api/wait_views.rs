//! What an ECU waits for, as the API shows it: phases and rules count from 1, moments come twice.

use super::views::rfc3339;
use rollcall_engine::{PauseReason, Timestamp, WaitReason};
use serde_json::{Map, Value, json};

/// The reason with its fields.
pub(super) fn wait_view(reason: &WaitReason) -> Value {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(reason) else {
        return Value::Null;
    };
    match reason {
        WaitReason::Launch { start } => moment(&mut fields, "start", *start),
        WaitReason::Paused(why) => match why {
            PauseReason::Operator => {}
            PauseReason::Approval { phase }
            | PauseReason::PhaseMissed { phase }
            | PauseReason::PhaseErrors { phase } => number(&mut fields, "phase", *phase),
            PauseReason::Failures { rule } => number(&mut fields, "rule", *rule),
        },
        WaitReason::Phase {
            phase,
            open,
            soaks_until,
        } => {
            number(&mut fields, "phase", *phase);
            number(&mut fields, "open", *open);
            moment(&mut fields, "soaks_until", *soaks_until);
        }
        WaitReason::Retry { at, .. } => moment(&mut fields, "at", Some(*at)),
        WaitReason::Window {
            opens, bad_zone, ..
        } => {
            moment(&mut fields, "opens", *opens);
            if let Some(bad) = bad_zone {
                fields.insert("bad_zone".to_owned(), json!(bad.found));
            }
        }
        WaitReason::Rate { next, .. } => moment(&mut fields, "next", Some(*next)),
        WaitReason::Offline { fails } => moment(&mut fields, "fails", *fails),
        WaitReason::Stopped
        | WaitReason::Deadline
        | WaitReason::NotSubscribed
        | WaitReason::Introduction
        | WaitReason::Busy { .. }
        | WaitReason::Order { .. }
        | WaitReason::Slot { .. }
        | WaitReason::Turn
        | WaitReason::Hold(_) => {}
    }
    Value::Object(fields)
}

fn moment(fields: &mut Map<String, Value>, name: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        fields.insert(name.to_owned(), json!(rfc3339(at)));
        fields.insert(format!("{name}_ms"), json!(at.0));
    }
}

/// A number that people count from 1.
fn number(fields: &mut Map<String, Value>, name: &str, from_zero: u16) {
    fields.insert(name.to_owned(), json!(u32::from(from_zero) + 1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_engine::{FailureReason, RolloutId, TimeZone};

    #[test]
    fn phases_count_from_one_and_moments_come_twice() {
        let at = Timestamp(1_000);
        let moment = "1970-01-01T00:00:01.000Z";
        for (reason, view) in [
            (
                WaitReason::Launch { start: Some(at) },
                json!({ "wait": "launch", "start": moment, "start_ms": 1_000 }),
            ),
            (
                WaitReason::Launch { start: None },
                json!({ "wait": "launch" }),
            ),
            (
                WaitReason::Paused(PauseReason::Approval { phase: 0 }),
                json!({ "wait": "paused", "why": "approval", "phase": 1 }),
            ),
            (
                WaitReason::Paused(PauseReason::Failures { rule: 1 }),
                json!({ "wait": "paused", "why": "failures", "rule": 2 }),
            ),
            (
                WaitReason::Phase {
                    phase: 2,
                    open: 0,
                    soaks_until: Some(at),
                },
                json!({ "wait": "phase", "phase": 3, "open": 1, "soaks_until": moment, "soaks_until_ms": 1_000 }),
            ),
            (
                WaitReason::Retry {
                    failure: FailureReason::NetworkError,
                    at,
                },
                json!({ "wait": "retry", "failure": "network_error", "at": moment, "at_ms": 1_000 }),
            ),
            (
                WaitReason::Rate {
                    per_minute: 5,
                    next: at,
                },
                json!({ "wait": "rate", "per_minute": 5, "next": moment, "next_ms": 1_000 }),
            ),
            (
                WaitReason::Window {
                    opens: Some(at),
                    zone: TimeZone::default(),
                    bad_zone: "Kiel".parse::<TimeZone>().err(),
                },
                json!({ "wait": "window", "opens": moment, "opens_ms": 1_000, "zone": "UTC", "bad_zone": "Kiel" }),
            ),
            (
                WaitReason::Busy {
                    rollout: RolloutId(7),
                },
                json!({ "wait": "busy", "rollout": 7 }),
            ),
        ] {
            assert_eq!(wait_view(&reason), view);
        }
    }
}
