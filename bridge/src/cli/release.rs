//! `rollcall release …`

use super::args::{PublishArgs, ReleaseCommand, ReleaseName};
use super::client::{Client, segment};
use super::exit::Failure;
use super::group::robots;
use super::output::{Output, confirm, note, or_dash, sheet, table};
use super::rollout::mechanism;
use super::standstill;
use crate::api::{
    LedgerChoice, NewRelease, ReleasePlace, ReleasePreviewView, ReleaseStandstill, ReleaseView,
};
use rollcall_engine::{ReleaseSet, Sampling, Share};
use serde_json::json;

pub(super) fn run(
    command: ReleaseCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Publish(args) => publish(args, client, output),
        ReleaseCommand::Ls { all } => list(all, client, output),
        ReleaseCommand::Show {
            release,
            robot: None,
        } => show(&find(&release, client)?, output),
        ReleaseCommand::Show {
            release,
            robot: Some(robot),
        } => {
            let id = find(&release, client)?.id;
            let place: ReleasePlace = client.get(&format!("/releases/{id}/robots/{robot}"))?;
            if output.json {
                return Ok(output.json(&place)?);
            }
            Ok(output.line(&place.text)?)
        }
        ReleaseCommand::Stop { release, confirm } => {
            stop(&find(&release, client)?, confirm.yes, client, output)
        }
        ReleaseCommand::Resume { release, confirm } => {
            resume(&find(&release, client)?, confirm.yes, client, output)
        }
        ReleaseCommand::Raise {
            release,
            percentage,
        } => raise(&find(&release, client)?, percentage, client, output),
        ReleaseCommand::History { release } => history(&release, client, output),
    }
}

fn publish(args: PublishArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let set = if args.same_set {
        Some(ReleaseSet::Same)
    } else {
        args.new_set.then_some(ReleaseSet::New {
            away_from_former: args.away_from_former,
        })
    };
    let mut new = NewRelease {
        channel: args.channel,
        image: args.image.map(|image| image.to_string()),
        ledger: args
            .ledger
            .map(|number| number.map_or(LedgerChoice::Newest(true), LedgerChoice::Version)),
        percentage: args.percentage,
        set,
        sampling: args.sampling,
        mechanism: mechanism(args.pace)?,
    };
    if args.preview {
        let found = client.post("/releases/preview", &new)?;
        return preview(&found, new.sampling, output);
    }
    if new.ledger.is_some() {
        // G8: for every robot at once, and nobody can edit it.
        let found: ReleasePreviewView = client.post("/releases/preview", &new)?;
        note(format_args!(
            "{} comes from the ledger and goes to {} of channel {}. The release is read-only: only another source of \
             the channel, or the ledger itself, stops it.",
            found.image,
            robots(found.pool),
            new.channel
        ));
        confirm(args.confirm.yes, &format!("Release {}?", found.image))?;
        // What was confirmed, though a newer one may have come meanwhile.
        new.ledger = found.ledger.map(LedgerChoice::Version).or(new.ledger);
    }
    let release: ReleaseView = client.post("/releases", &new)?;
    let (chosen, pool) = (release.robots.chosen, robots(release.pool));
    end(
        &release,
        output,
        &format!("{} goes to {chosen} of {pool}", release.image),
    )
}

fn preview(
    found: &ReleasePreviewView,
    sampling: Sampling,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(found)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["image", &found.image]);
    sheet.add_row(["percentage", &format!("{} %", found.percentage)]);
    sheet.add_row([
        "robots",
        &match sampling {
            Sampling::Exact => format!("{} of {}", found.chosen, robots(found.pool)),
            Sampling::Bernoulli => format!("about {} of {}", found.chosen, robots(found.pool)),
        },
    ]);
    sheet.add_row(["already current", &found.already_current.to_string()]);
    for (reason, count) in &found.will_fail_by_reason {
        sheet.add_row(["fail at once", &format!("{count}: {reason}")]);
    }
    for (reason, count) in &found.skipped_by_reason {
        sheet.add_row(["get nothing", &format!("{count}: {reason}")]);
    }
    if let Some(former) = found.replaces {
        sheet.add_row(["replaces", &format!("release {former}")]);
    }
    for conflict in &found.conflicts {
        let text = format!(
            "rollout {} ({}): takes {} ECUs from it, waits for {}",
            conflict.rollout, conflict.name, conflict.superseded, conflict.in_progress
        );
        sheet.add_row(["meets", &text]);
    }
    output.table(sheet)?;
    note("Nothing was published. Which robots are chosen is drawn when it is.");
    Ok(())
}

fn list(all: bool, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut releases = client.all::<ReleaseView>("/releases")?;
    releases.items.retain(|release| all || release.current);
    if output.json {
        return Ok(output.json(&releases)?);
    }
    let mut table = table([
        "release",
        "image",
        "channel",
        "status",
        "percentage",
        "published",
        "robots",
        "updated",
        "failed",
    ]);
    for release in &releases.items {
        table.add_row([
            release.id.to_string(),
            release.image.clone(),
            release.channel.clone(),
            release.status.clone(),
            format!("{} %", release.percentage),
            release.published.clone(),
            release.robots.chosen.to_string(),
            release.robots.succeeded.to_string(),
            release.robots.failed.to_string(),
        ]);
    }
    output.table(table)?;
    if releases.items.is_empty() {
        note(
            "Nothing was released yet: `rollcall release publish CHANNEL --image NAME@VERSION --percentage N`.",
        );
    }
    Ok(())
}

fn show(release: &ReleaseView, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(release)?);
    }
    let status = match &release.inactive {
        None => release.status.clone(),
        Some(inactive) => format!("{}, {} ({})", release.status, inactive.text, inactive.since),
    };
    let percentage = if release.percentage == release.first_percentage {
        format!("{} %", release.percentage)
    } else {
        format!(
            "{} %, published with {} %",
            release.percentage, release.first_percentage
        )
    };
    let found = &release.robots;
    let mut sheet = sheet();
    sheet.add_row(["release", &release.id.to_string()]);
    sheet.add_row(["image", &release.image]);
    sheet.add_row(["channel", &release.channel]);
    sheet.add_row(["status", &status]);
    sheet.add_row(["percentage", &percentage]);
    sheet.add_row([
        "published",
        &format!("{} by {}", release.published, release.published_by),
    ]);
    if let Some(by) = release.replaced_by {
        sheet.add_row(["replaced by", &format!("release {by}")]);
    }
    sheet.add_row([
        "robots",
        &format!(
            "{} of {}: {} updated, {} failed, {} under way, {} wait",
            found.chosen,
            release.pool,
            found.succeeded,
            found.failed,
            found.in_progress,
            found.open.saturating_sub(found.in_progress),
        ),
    ]);
    output.table(sheet)?;
    let mut table = table([
        "percentage",
        "rollout",
        "status",
        "robots",
        "updated",
        "failed",
    ]);
    for tranche in &release.tranches {
        let status = match (&tranche.status, &tranche.outcome) {
            (Some(status), Some(outcome)) => format!("{status}, {outcome}"),
            (Some(status), None) => status.clone(),
            (None, _) => String::new(),
        };
        let rollout = tranche.rollout.map(|id| id.to_string());
        table.add_row([
            format!("{} %", tranche.percentage),
            or_dash(rollout.as_deref()).to_owned(),
            or_dash(Some(&status)).to_owned(),
            tranche.robots.chosen.to_string(),
            tranche.robots.succeeded.to_string(),
            tranche.robots.failed.to_string(),
        ]);
    }
    output.line("")?;
    Ok(output.table(table)?)
}

/// G12, G13, X18: says what a stop means for how many robots, then asks.
fn stop(
    release: &ReleaseView,
    yes: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let id = release.id;
    let found: ReleaseStandstill = client.get(&format!("/releases/{id}/stop"))?;
    if found.status == "LIVE" && release.ledger.is_none() {
        note(format_args!(
            "release {id} ({}) is LIVE on channel {}. From now on nobody more gets it; robots that have it keep it.\n\
             Of its robots\n{}",
            release.image,
            release.channel,
            standstill::table(&found.robots, "and are not told until it is resumed")
        ));
        confirm(yes, &format!("Stop release {id}?"))?;
    }
    let stopped = act(id, "stop", client)?;
    end(&stopped, output, &standstill::after(&found.robots))
}

/// G19, X10: says whom a resume is for, then asks.
fn resume(
    release: &ReleaseView,
    yes: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let id = release.id;
    if release.inactive.is_some() && release.current && release.ledger.is_none() {
        let raised = if release.percentage == release.first_percentage {
            String::new()
        } else {
            format!(" (it was published with {} %)", release.first_percentage)
        };
        note(format_args!(
            "release {id} ({}) goes on with the robots that it was made for, {} of {}, at {} %{raised}.",
            release.image,
            release.robots.chosen,
            robots(release.pool),
            release.percentage,
        ));
        confirm(yes, &format!("Resume release {id}?"))?;
    }
    let resumed = act(id, "resume", client)?;
    let open = robots(resumed.robots.open);
    end(&resumed, output, &format!("{open} to go"))
}

fn raise(
    release: &ReleaseView,
    percentage: Share,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let path = format!("/releases/{}/raise", release.id);
    let raised: ReleaseView = client.post(&path, &json!({ "percentage": percentage }))?;
    let new = raised.robots.chosen - release.robots.chosen.min(raised.robots.chosen);
    let more = if raised.percentage == release.percentage {
        "it was there already".to_owned()
    } else {
        format!("{} more, {} in all", robots(new), raised.robots.chosen)
    };
    end(&raised, output, &more)
}

fn history(name: &ReleaseName, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let channel = find(name, client)?.channel;
    let mut releases = client.all::<ReleaseView>("/releases")?;
    releases.items.retain(|release| release.channel == channel);
    if output.json {
        return Ok(output.json(&releases)?);
    }
    let acts = releases.items.iter();
    let mut acts: Vec<_> = acts
        .flat_map(|release| {
            release
                .acts
                .iter()
                .map(move |act| (act.at_ms, release, act))
        })
        .collect();
    acts.sort_by_key(|(at, release, _)| (*at, release.id));
    let mut table = table(["at", "release", "image", "by", "what"]);
    for (_, release, act) in acts.into_iter().rev() {
        table.add_row([
            &act.at,
            &release.id.to_string(),
            &release.image,
            &act.by,
            &act.text,
        ]);
    }
    Ok(output.table(table)?)
}

fn act(id: u32, action: &str, client: &Client) -> Result<ReleaseView, Failure> {
    client.post(&format!("/releases/{id}/{action}"), &json!({}))
}

/// The release that is meant: by its number, or the newest of its channel.
fn find(name: &ReleaseName, client: &Client) -> Result<ReleaseView, Failure> {
    match name {
        ReleaseName::Number(id) => client.get(&format!("/releases/{id}")),
        ReleaseName::Channel(channel) => {
            client.get(&format!("/channels/{}/release", segment(channel)))
        }
    }
}

/// The state in a line, and what to do next beside it.
fn end(release: &ReleaseView, output: &mut Output, more: &str) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(release)?);
    }
    let (id, channel) = (release.id, &release.channel);
    output.line(format_args!(
        "release {id} is {} on channel {channel} at {} %: {more}",
        release.status, release.percentage
    ))?;
    note(if release.inactive.is_some() {
        format!(
            "`rollcall release resume {channel}` lets it go on; another image can go to the same robots or to others \
             (`rollcall release publish --help`)."
        )
    } else {
        format!("Follow it with `rollcall release show {channel}`.")
    });
    Ok(())
}
