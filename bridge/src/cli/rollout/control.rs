//! `rollout pause`, `resume`, `stop`, `cancel` and `approve`: what people do to a launched rollout.

use super::tables;
use crate::api::{RolloutView, StandstillView};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::group::robots;
use crate::cli::output::{Output, confirm, note};
use crate::cli::standstill;
use serde_json::{Value, json};

pub(super) fn pause(id: u32, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rollout = act(id, "pause", &json!({}), client)?;
    let under_way = robots(rollout.counts.in_progress);
    end(
        &rollout,
        output,
        format_args!("nobody new is told, {under_way} under way"),
    )
}

pub(super) fn resume(id: u32, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rollout = act(id, "resume", &json!({}), client)?;
    let open = robots(rollout.counts.open_robots);
    end(&rollout, output, format_args!("{open} to go"))
}

pub(super) fn approve(
    id: u32,
    phase: Option<u16>,
    yes: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let found: RolloutView = client.get(&format!("/rollouts/{id}"))?;
    let run = found.run.as_ref();
    let reason = run.and_then(|run| run.reason.as_ref());
    let waits = reason.filter(|reason| matches!(reason.why.as_str(), "approval" | "phase_missed"));
    let Some((reason, waiting)) = waits.and_then(|reason| Some((reason, reason.phase?))) else {
        // Sent all the same, it could open a phase that nobody has seen.
        let message = format!(
            "rollout {id} is {} and waits for no approval; `rollcall rollout show {id}` says where it is",
            found.status
        );
        return Err(Failure::new(Exit::Refused, "nothing_to_approve", message));
    };
    let phase = phase.unwrap_or(waiting);
    if reason.why == "phase_missed" && phase == waiting {
        let text = run.and_then(|run| run.reason_text.as_deref());
        note(text.unwrap_or("too few robots of the phase succeeded"));
        confirm(yes, &format!("Open the phase after {phase} all the same?"))?;
    }
    let rollout = act(id, "approve", &json!({ "phase": phase }), client)?;
    let open = robots(rollout.counts.open_robots);
    end(
        &rollout,
        output,
        format_args!("the next phase is open, {open} to go"),
    )
}

pub(super) fn stop(
    id: u32,
    yes: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let found = ask(
        id,
        ("Stop", "stopped"),
        "and are not told until it is resumed",
        yes,
        client,
    )?;
    let rollout = act(id, "stop", &json!({}), client)?;
    end(&rollout, output, standstill::after(&found.robots))
}

pub(super) fn cancel(
    id: u32,
    yes: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let found = ask(
        id,
        ("Cancel", "cancelled"),
        "and are never told",
        yes,
        client,
    )?;
    let rollout = act(id, "cancel", &json!({}), client)?;
    end(&rollout, output, standstill::after(&found.robots))
}

/// Says what will become of the robots (requirements X18), then asks.
fn ask(
    id: u32,
    (verb, done): (&str, &str),
    waiting: &str,
    yes: bool,
    client: &Client,
) -> Result<StandstillView, Failure> {
    let found: StandstillView = client.get(&format!("/rollouts/{id}/stop"))?;
    // Refused here as the server would: sent, it could meet a rollout that its schedule launches now, unasked.
    if matches!(found.status.as_str(), "prepared" | "completed") {
        let message = format!(
            "rollout {id} is {}; only a launched rollout can be {done}",
            found.status
        );
        return Err(Failure::new(Exit::Refused, "not_launched", message));
    }
    note(format_args!(
        "rollout {id} is {}. Of its robots\n{}",
        found.status,
        standstill::table(&found.robots, waiting)
    ));
    confirm(yes, &format!("{verb} rollout {id}?"))?;
    Ok(found)
}

fn act(id: u32, action: &str, body: &Value, client: &Client) -> Result<RolloutView, Failure> {
    client.post(&format!("/rollouts/{id}/{action}"), body)
}

/// The state in a line, and what to do next beside it.
fn end(
    rollout: &RolloutView,
    output: &mut Output,
    more: impl std::fmt::Display,
) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(rollout)?);
    }
    let id = rollout.id;
    output.line(format_args!(
        "rollout {id} is {}: {more}",
        tables::status_text(rollout)
    ))?;
    note(match rollout.status.as_str() {
        "paused" | "stopped" => {
            let remedy = rollout.run.as_ref().and_then(|run| run.remedy.as_deref());
            format!(
                "You can {} (`rollcall rollout --help`).",
                remedy.unwrap_or("resume it or cancel it")
            )
        }
        "completed" => {
            format!("`rollcall rollout show {id} --robots` shows what became of each robot.")
        }
        _ => format!("Follow it with `rollcall rollout watch {id}`."),
    });
    Ok(())
}
