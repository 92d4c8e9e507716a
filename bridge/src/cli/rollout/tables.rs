//! Rollouts for people.

use super::pace::{conditions, pace, size_text};
use super::preview::PREVIEW_ROWS;
use super::words::{distance, now_ms};
use crate::api::{MemberView, RolloutView, WhyView};
use crate::artifacts::Tally;
use crate::cli::exit::Failure;
use crate::cli::group::robots;
use crate::cli::output::{Output, note, or_dash, sheet, table};
use indicatif::DecimalBytes;
use rollcall_engine::{
    Check, Counts, PhaseSize, SkipReason, SuccessKind, TargetSelection, TargetState,
};
use serde::Serialize;
use serde_json::Value;

/// The word that the API has for a value, with spaces.
pub(in crate::cli) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word.replace('_', " "),
        _ => "-".to_owned(),
    }
}

/// A target's state in a few words.
pub(in crate::cli) fn state_text(state: &TargetState) -> String {
    match state {
        TargetState::Pending => "pending".to_owned(),
        TargetState::Requested => "requested".to_owned(),
        TargetState::Acknowledged => "acknowledged".to_owned(),
        TargetState::Downloading { progress } => format!("downloading {progress} %"),
        TargetState::Downloaded => "downloaded".to_owned(),
        TargetState::Installing { progress } => format!("installing {progress} %"),
        TargetState::Applied => "applied".to_owned(),
        TargetState::Verifying => "verifying".to_owned(),
        TargetState::Succeeded {
            how: SuccessKind::Installed,
        } => "succeeded".to_owned(),
        TargetState::Succeeded {
            how: SuccessKind::AlreadyCurrent,
        } => "succeeded, already current".to_owned(),
        TargetState::Failed { reason } => format!("failed, {}", word(reason)),
        TargetState::RolledBack => "rolled back".to_owned(),
        TargetState::Skipped { reason } => format!("skipped, {}", word(reason)),
        TargetState::Cancelled { reason } => format!("cancelled, {}", word(reason)),
        TargetState::Superseded { by } => format!("superseded by rollout {}", by.0),
        TargetState::Expired => "expired".to_owned(),
    }
}

/// What was downloaded for an operation, in a few words.
pub(in crate::cli) fn downloads_text(tally: &Tally) -> String {
    let times = |count: u64| match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        more => format!("{more} times"),
    };
    format!(
        "asked for {}, {} sent, {} to the end, last answer {}",
        times(tally.requests),
        DecimalBytes(tally.bytes),
        times(tally.completed),
        tally.last_status
    )
}

/// What an ECU would get, in a few words.
pub(super) fn check_text(check: &Check, image: &str) -> String {
    match check {
        Check::Send { lifted: None } | Check::Unreported => image.to_owned(),
        Check::Send {
            lifted: Some(reason),
        } => format!("{image}, forced past: {}", word(reason)),
        Check::AlreadyCurrent => "nothing, already current".to_owned(),
        Check::Held => format!("{image}, when its hold ends"),
        Check::Skip { reason } => format!("nothing, {}", skip_text(*reason)),
        Check::Fail { reason } => format!("nothing, fails at once: {}", word(reason)),
    }
}

pub(super) fn skip_text(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NoCompatibleEcu => "no ECU has a mapped hardware id",
        SkipReason::OtherModel => "the image is for another model",
        SkipReason::VersionMismatch => "the image does not accept its version",
        SkipReason::NoPartNumber => "the device has not said its part number yet",
        SkipReason::LedgerWithdrawn => "the image is withdrawn on the ledger",
        SkipReason::LedgerVersionUnknown => "the ledger does not know what it runs",
        SkipReason::LedgerVersionNotApplicable => {
            "on the ledger the image is not for the version that it runs"
        }
    }
}

fn target_text(target: &TargetSelection) -> String {
    match target {
        TargetSelection::Group(name) => format!("group:{name}"),
        TargetSelection::Selector(selector) => format!("selector: {}", selector.as_str()),
        TargetSelection::Hardware(id) => format!("hardware:{id}"),
        TargetSelection::Release(id) => format!("release:{}", id.0),
        TargetSelection::Robots(ids) if ids.len() > 5 => format!("{} listed robots", ids.len()),
        TargetSelection::Robots(ids) => {
            let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
            format!("robots:{}", ids.join(","))
        }
    }
}

pub(in crate::cli) fn status_text(rollout: &RolloutView) -> String {
    let outcome = rollout
        .outcome
        .as_ref()
        .map(|outcome| format!(", {}", word(outcome)));
    format!("{}{}", rollout.status, outcome.unwrap_or_default())
}

/// The status, and why it is so where it has a reason.
pub(in crate::cli) fn reason_text(rollout: &RolloutView) -> String {
    let reason = rollout
        .run
        .as_ref()
        .and_then(|run| run.reason_text.as_ref());
    let reason = reason.map(|reason| format!(": {reason}"));
    format!("{}{}", status_text(rollout), reason.unwrap_or_default())
}

/// Targets that are final.
pub(in crate::cli) const fn done(counts: &Counts) -> u32 {
    counts.targets - counts.pending - counts.active
}

pub(in crate::cli) fn rollouts(
    rollouts: &[RolloutView],
    output: &mut Output,
) -> Result<(), Failure> {
    let mut table = table([
        "rollout", "name", "status", "target", "robots", "done", "failed", "created",
    ]);
    for rollout in rollouts {
        let counts = &rollout.counts;
        table.add_row([
            rollout.id.to_string(),
            rollout.name.clone(),
            status_text(rollout),
            target_text(&rollout.target),
            counts.robots.to_string(),
            format!("{}/{}", done(counts), counts.targets),
            (counts.failed + counts.rolled_back + counts.expired).to_string(),
            rollout.created.clone(),
        ]);
    }
    Ok(output.table(table)?)
}

pub(in crate::cli) fn rollout(rollout: &RolloutView, output: &mut Output) -> Result<(), Failure> {
    let images: Vec<_> = rollout
        .images
        .iter()
        .map(|(hardware, image)| format!("{hardware}={image}"))
        .collect();
    let mut sheet = sheet();
    sheet.add_row(["rollout", &rollout.id.to_string()]);
    sheet.add_row(["name", &rollout.name]);
    sheet.add_row(["status", &reason_text(rollout)]);
    if let Some(remedy) = rollout.run.as_ref().and_then(|run| run.remedy.as_ref()) {
        sheet.add_row(["you can", remedy]);
    }
    if let Some(missed) = &rollout.missed_start {
        sheet.add_row(["missed start", missed]);
    }
    sheet.add_row(["target", &target_text(&rollout.target)]);
    sheet.add_row(["images", &images.join(", ")]);
    for (name, value) in pace(&rollout.mechanism) {
        sheet.add_row([name, &value]);
    }
    sheet.add_row(["revision", &rollout.revision.to_string()]);
    sheet.add_row([
        "created",
        &format!("{} by {}", rollout.created, rollout.created_by),
    ]);
    let moments = [
        ("launched", &rollout.launched),
        ("deadline", &rollout.deadline),
        ("completed", &rollout.completed),
    ];
    for (name, at) in moments {
        if let Some(at) = at {
            sheet.add_row([name, at]);
        }
    }
    output.table(sheet)?;
    phases(rollout, output)?;
    if rollout.launched.is_some() {
        output.line("")?;
        counts(&rollout.counts, output)?;
    }
    Ok(())
}

fn phases(rollout: &RolloutView, output: &mut Output) -> Result<(), Failure> {
    let phases = &rollout.mechanism.phases;
    if phases.is_empty() {
        return Ok(());
    }
    let course = rollout.course.as_ref();
    let mut table = table(["phase", "robots", "state", "succeeded", "failed", "then"]);
    for (number, phase) in (1..).zip(phases) {
        let at = course.and_then(|course| course.phases.get(number - 1));
        let size = match (&phase.size, at) {
            (PhaseSize::Robots(_), Some(_)) | (_, None) => size_text(&phase.size),
            (_, Some(at)) => format!("{}: {}", size_text(&phase.size), at.robots),
        };
        let dash = || "-".to_owned();
        table.add_row([
            number.to_string(),
            size,
            at.map_or_else(dash, |at| at.state.replace('_', " ")),
            at.map_or_else(dash, |at| at.succeeded.to_string()),
            at.map_or_else(dash, |at| at.failed.to_string()),
            conditions(phase, number == phases.len()),
        ]);
    }
    output.line("")?;
    Ok(output.table(table)?)
}

/// What became of the ECUs.
pub(in crate::cli) fn counts(counts: &Counts, output: &mut Output) -> Result<(), Failure> {
    let mut table = table(["ecus", "count"]);
    for (what, count) in [
        ("pending", counts.pending),
        ("in progress", counts.active),
        ("installed", counts.installed),
        ("already current", counts.already_current),
        ("failed", counts.failed),
        ("rolled back", counts.rolled_back),
        ("skipped", counts.skipped),
        ("cancelled", counts.cancelled),
        ("superseded", counts.superseded),
        ("expired", counts.expired),
    ] {
        if count > 0 {
            table.add_row([what, &count.to_string()]);
        }
    }
    table.add_row(["in all", &counts.targets.to_string()]);
    output.table(table)?;
    Ok(output.line(format_args!(
        "{}, {} skipped",
        robots(counts.robots),
        counts.skipped_robots
    ))?)
}

pub(in crate::cli) fn members(members: &[MemberView], output: &mut Output) -> Result<(), Failure> {
    let mut table = table([
        "robot",
        "progress",
        "ecu",
        "image",
        "state",
        "waits for",
        "detail",
    ]);
    for member in members {
        let progress = member
            .progress
            .as_ref()
            .map_or_else(|| "pending".to_owned(), word);
        if let Some(reason) = member.skipped {
            table.add_row([
                member.robot.as_str(),
                &progress,
                "-",
                "-",
                skip_text(reason),
                "-",
                "-",
            ]);
        }
        for ecu in &member.ecus {
            table.add_row([
                member.robot.as_str(),
                &progress,
                &ecu.ecu,
                &ecu.image,
                &state_text(&ecu.state),
                or_dash(ecu.waits_for.as_deref()),
                or_dash(ecu.detail.as_deref()),
            ]);
        }
    }
    Ok(output.table(table)?)
}

pub(in crate::cli) fn why(ecus: &[WhyView], output: &mut Output) -> Result<(), Failure> {
    let now = now_ms();
    for (index, why) in ecus.iter().enumerate() {
        if index > 0 {
            output.line("")?;
        }
        let mut sheet = sheet();
        sheet.add_row(["ecu", or_dash(why.ecu.as_deref())]);
        sheet.add_row([
            "state",
            &format!(
                "{}, since {} ({})",
                state_text(&why.state),
                why.since,
                distance(why.since_ms, now)
            ),
        ]);
        if let Some(waits_for) = &why.waits_for_text {
            sheet.add_row(["waits for", waits_for]);
        }
        if let (Some(since), Some(since_ms)) = (&why.waits_since, why.waits_since_ms) {
            sheet.add_row(["since", &format!("{since} ({})", distance(since_ms, now))]);
        }
        if let Some(cancelling) = &why.cancelling {
            sheet.add_row([
                "being cancelled",
                &crate::cli::device::cancelling(cancelling),
            ]);
        }
        if let (Some(until), Some(until_ms)) = (&why.until, why.until_ms) {
            sheet.add_row(["until", &format!("{until} ({})", distance(until_ms, now))]);
        }
        sheet.add_row(["then", &why.then]);
        if let Some(check @ (Check::Fail { .. } | Check::Send { lifted: Some(_) })) =
            &why.at_dispatch
        {
            sheet.add_row(["if sent now", &check_text(check, "the image")]);
        }
        sheet.add_row(["you can", &why.remedy]);
        if let Some(detail) = &why.detail {
            sheet.add_row(["the robot said", detail]);
        }
        if let Some(downloads) = &why.downloads {
            sheet.add_row(["downloaded", &downloads_text(downloads)]);
        }
        output.table(sheet)?;
    }
    Ok(())
}

/// One side of a drift, beside the error.
pub(in crate::cli) fn drift(side: &str, drift: &Value) {
    let Some(count) = drift
        .pointer(&format!("/{side}/count"))
        .and_then(Value::as_u64)
        .filter(|count| *count > 0)
    else {
        return;
    };
    let robots = drift
        .pointer(&format!("/{side}/robots"))
        .and_then(Value::as_array);
    let robots: Vec<_> = robots
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .take(PREVIEW_ROWS)
        .collect();
    let rest = if usize::try_from(count).is_ok_and(|count| count > robots.len()) {
        ", ..."
    } else {
        ""
    };
    note(format_args!(
        "{side}: {count} ({}{rest})",
        robots.join(", ")
    ));
}
