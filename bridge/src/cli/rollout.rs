//! `rollcall rollout …`

use super::args::{CreateArgs, EditArgs, PlanArgs, PreviewArgs, RolloutCommand, one_target};
use super::client::{Client, paged, segment};
use super::exit::{Exit, Failure};
use super::output::{Output, confirm, note};
use super::robot::{history_path, print_records};
use super::{rollout_tables as tables, watch};
use crate::api::{
    ChangedRollout, MappedImage, MemberView, NewRollout, PreviewView, RolloutView, WhyView,
};
use rollcall_engine::{HardwareId, ImageRef, Mechanism, RolloutName};
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
        RolloutCommand::Show { id, robots } => show(id, robots, client, output),
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

fn map(images: Vec<(HardwareId, ImageRef)>) -> Vec<MappedImage> {
    let mapped = |(hardware_id, image): (HardwareId, ImageRef)| MappedImage {
        hardware_id,
        image: image.to_string(),
    };
    images.into_iter().map(mapped).collect()
}

fn new_rollout(name: RolloutName, plan: PlanArgs) -> Result<NewRollout, Failure> {
    let mut mechanism = Mechanism::default();
    if let Some(cap) = plan.max_in_progress {
        mechanism.max_in_progress = cap;
    }
    mechanism.force_downgrade = plan.force_downgrade.unwrap_or_default();
    let target = one_target(plan.target, plan.selector);
    Ok(NewRollout {
        name,
        target: target.ok_or_else(|| Failure::usage("a rollout needs --target or --selector"))?,
        images: map(plan.image),
        mechanism,
    })
}

fn preview(args: PreviewArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let new = new_rollout(args.name, args.plan)?;
    let mut preview: PreviewView = client.post(&paged("/rollouts/preview", None), &new)?;
    while let Some(next) = preview.next.take() {
        let more: PreviewView = client.post(&paged("/rollouts/preview", Some(&next)), &new)?;
        preview.items.extend(more.items);
        preview.next = more.next;
    }
    if output.json {
        return Ok(output.json(&preview)?);
    }
    tables::preview(&preview, args.all, output)
}

fn create(args: CreateArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rollout: RolloutView = client.post("/rollouts", &new_rollout(args.name, args.plan)?)?;
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

fn edit(args: EditArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let changed = ChangedRollout {
        revision: args.revision,
        name: args.name,
        target: one_target(args.target, args.selector),
        images: (!args.image.is_empty()).then(|| map(args.image)),
        max_in_progress: args.max_in_progress,
        force_downgrade: args.force_downgrade,
        ..ChangedRollout::default()
    };
    let rollout: RolloutView = client.patch(&format!("/rollouts/{}", args.id), &changed)?;
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
        "rollout {id} is launched: {told} robots, {} skipped",
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
