//! `rollout pause`, `resume`, `stop`, `cancel` and `approve`: what people do to a launched rollout.

use super::tables;
use crate::api::{RolloutView, StandstillView};
use crate::cli::client::Client;
use crate::cli::exit::Failure;
use crate::cli::group::robots;
use crate::cli::output::{Output, confirm, note};
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
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let phase = phase.map_or_else(|| json!({}), |phase| json!({ "phase": phase }));
    let rollout = act(id, "approve", &phase, client)?;
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
        "Stop",
        "and are not told until it is resumed",
        yes,
        client,
    )?;
    let rollout = act(id, "stop", &json!({}), client)?;
    end(&rollout, output, after(&found))
}

pub(super) fn cancel(
    id: u32,
    yes: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let found = ask(id, "Cancel", "and are never told", yes, client)?;
    let rollout = act(id, "cancel", &json!({}), client)?;
    end(&rollout, output, after(&found))
}

/// What a stop or a cancel has begun.
fn after(found: &StandstillView) -> String {
    let mut parts = Vec::new();
    if found.told > 0 {
        parts.push(format!("{} told to give up", robots(found.told)));
    }
    if found.installing > 0 {
        parts.push(format!("{} left to finish", robots(found.installing)));
    }
    if parts.is_empty() {
        parts.push("no robot is under way".to_owned());
    }
    parts.join(", ")
}

/// Says what will become of the robots (requirements X18), then asks.
fn ask(
    id: u32,
    verb: &str,
    waiting: &str,
    yes: bool,
    client: &Client,
) -> Result<StandstillView, Failure> {
    let found: StandstillView = client.get(&format!("/rollouts/{id}/stop"))?;
    // Where there is nothing to do the server says so; nobody needs to be asked.
    if matches!(found.status.as_str(), "prepared" | "completed") {
        return Ok(found);
    }
    note(format_args!(
        "rollout {id} is {}. Of its robots\n  \
         {:>6} wait        {waiting}\n  \
         {:>6} were told   and do not install yet: they are told to give up; what each then does decides\n  \
         {:>6} install     and finish\n  \
         {:>6} are done",
        found.status,
        found.waiting,
        found.told,
        found.installing,
        found.updated + found.not_updated,
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
        "paused" | "stopped" => format!(
            "`rollcall rollout resume {id}` lets it go on, `rollcall rollout cancel {id}` ends it."
        ),
        "completed" => {
            format!("`rollcall rollout show {id} --robots` shows what became of each robot.")
        }
        _ => format!("Follow it with `rollcall rollout watch {id}`."),
    });
    Ok(())
}
