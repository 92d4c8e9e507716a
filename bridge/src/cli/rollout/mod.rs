//! `rollcall rollout …`

mod control;
mod file;
mod pace;
mod plan;
mod preview;
mod progress;
pub(super) mod tables;
mod watch;
pub(super) mod words;

use super::args::{CreateArgs, EditArgs, PreviewArgs, RolloutCommand};
use super::client::{Client, paged, segment};
use super::exit::{Exit, Failure};
use super::group::robots;
use super::output::{Output, confirm, note};
use super::robot::{history_path, print_records};
use crate::api::{MemberView, PreviewView, RolloutView, WhyView};
pub(super) use plan::mechanism;
use rollcall_engine::RolloutName;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) fn run(
    command: RolloutCommand,
    client: &Client,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    match command {
        RolloutCommand::Preview(args) => preview(args, client, output),
        RolloutCommand::Create(args) => create(args, client, output),
        RolloutCommand::Ls => list(client, output),
        RolloutCommand::Show { id, toml: true, .. } => show_toml(id, client, output),
        RolloutCommand::Show { id, robots, .. } => show(id, robots, client, output),
        RolloutCommand::Edit(args) => edit(args, client, output),
        RolloutCommand::Delete { id, confirm: yes } => {
            confirm(yes.yes, &format!("Delete rollout {id}?"))?;
            let deleted: Value = client.delete(&format!("/rollouts/{id}"))?;
            if output.json {
                output.json(&deleted)?;
            } else {
                output.line(format_args!("deleted rollout {id}"))?;
            }
            Ok(())
        }
        RolloutCommand::Launch { id, accept_drift } => launch(id, accept_drift, client, output),
        RolloutCommand::Pause { id } => control::pause(id, client, output),
        RolloutCommand::Resume { id } => control::resume(id, client, output),
        RolloutCommand::Stop { id, confirm } => control::stop(id, confirm.yes, client, output),
        RolloutCommand::Cancel { id, confirm } => control::cancel(id, confirm.yes, client, output),
        RolloutCommand::Approve { id, phase, confirm } => {
            control::approve(id, phase, confirm.yes, client, output)
        }
        RolloutCommand::Watch { id } => return watch::watch(id, client, output),
        RolloutCommand::Why { id, robot } => why(id, &robot, client, output),
        RolloutCommand::History { id, page } => {
            let history: Value = client.get(&history_path(&format!("/rollouts/{id}"), &page))?;
            if output.json {
                output.json(&history)?;
                Ok(())
            } else {
                print_records(&history, output)
            }
        }
    }?;
    Ok(Exit::Success.into())
}

fn preview(args: PreviewArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let name = match (&args.plan.from, args.name) {
        (None, None) => RolloutName::new("preview").ok(),
        (_, name) => name,
    };
    let new = plan::new_rollout(name, args.plan)?;
    let mut preview: PreviewView = client.post(&paged("/rollouts/preview", None), &new)?;
    while let Some(next) = preview.next.take() {
        let more: PreviewView = client.post(&paged("/rollouts/preview", Some(&next)), &new)?;
        preview.items.extend(more.items);
        preview.next = more.next;
    }
    if output.json {
        return Ok(output.json(&preview)?);
    }
    preview::preview(&preview, args.all, output)
}

fn create(args: CreateArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let new = plan::new_rollout(args.name, args.plan)?;
    let rollout: RolloutView = client.post("/rollouts", &new)?;
    if output.json {
        return Ok(output.json(&rollout)?);
    }
    output.line(format_args!(
        "rollout {} is prepared; nothing is sent yet",
        rollout.id
    ))?;
    note(format_args!(
        "Launch it with `rollcall rollout launch {}`.",
        rollout.id
    ));
    Ok(())
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rollouts = client.all::<RolloutView>("/rollouts")?;
    if output.json {
        return Ok(output.json(&rollouts)?);
    }
    tables::rollouts(&rollouts.items, output)
}

fn show(id: u32, robots: bool, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rollout: RolloutView = client.get(&format!("/rollouts/{id}"))?;
    let members = if robots {
        Some(client.all::<MemberView>(&format!("/rollouts/{id}/robots"))?)
    } else {
        None
    };
    if output.json {
        // With --robots the document is the rollout with one more field.
        let mut document = json!(rollout);
        if let (Some(members), Some(fields)) = (members, document.as_object_mut()) {
            fields.insert("robots".to_owned(), json!(members.items));
        }
        return Ok(output.json(&document)?);
    }
    tables::rollout(&rollout, output)?;
    if let Some(members) = members {
        output.line("")?;
        tables::members(&members.items, output)?;
    }
    Ok(())
}

fn show_toml(id: u32, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rollout: RolloutView = client.get(&format!("/rollouts/{id}"))?;
    Ok(output.text(&file::write(&rollout))?)
}

fn edit(args: EditArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let id = args.id;
    let changed = plan::change(args, client)?;
    let rollout: RolloutView = client.patch(&format!("/rollouts/{id}"), &changed)?;
    if output.json {
        return Ok(output.json(&rollout)?);
    }
    Ok(output.line(format_args!(
        "rollout {} is at revision {}",
        rollout.id, rollout.revision
    ))?)
}

fn launch(
    id: u32,
    accept_drift: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let launched = client.post(
        &format!("/rollouts/{id}/launch"),
        &json!({ "accept_drift": accept_drift }),
    );
    let rollout: RolloutView =
        launched.map_err(|failure| explain_drift(id, failure, output.json))?;
    if output.json {
        return Ok(output.json(&rollout)?);
    }
    let told = rollout.counts.robots - rollout.counts.skipped_robots;
    output.line(format_args!(
        "rollout {id} is launched: {}, {} skipped",
        robots(told),
        rollout.counts.skipped_robots
    ))?;
    note(format_args!(
        "Follow it with `rollcall rollout watch {id}`."
    ));
    Ok(())
}

/// Says which robots have changed, and where to look.
fn explain_drift(id: u32, failure: Failure, json: bool) -> Failure {
    if failure.error.code != "drifted" {
        return failure;
    }
    if let Some(drift) = failure.error.detail.as_ref().filter(|_| !json) {
        for side in ["joined", "left", "changed"] {
            tables::drift(side, drift);
        }
    }
    failure.hint(format!(
        "`rollcall rollout show {id} --robots` shows what it would do now"
    ))
}

fn why(id: u32, robot: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut answer: Value = client.get(&format!("/rollouts/{id}/robots/{}/why", segment(robot)))?;
    if output.json {
        return Ok(output.json(&answer)?);
    }
    let ecus = answer.get_mut("ecus").map(Value::take).unwrap_or_default();
    let ecus: Vec<WhyView> = serde_json::from_value(ecus)
        .map_err(|error| Failure::new(Exit::Failure, "bad_answer", error.to_string()))?;
    tables::why(&ecus, output)
}
