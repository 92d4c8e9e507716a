//! What a rollout would do, for people.

use super::tables::{check_text, skip_text};
use crate::api::{ConflictView, PlannedView, PreviewView, SpanView, ZoneWindowsView};
use crate::cli::exit::Failure;
use crate::cli::group::robots;
use crate::cli::output::{Output, or_dash, table};
use rollcall_engine::SkipReason;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

/// Robots of each kind that a preview shows without `--all`.
pub(super) const PREVIEW_ROWS: usize = 20;
/// Windows of each time zone that it shows.
const NEXT_WINDOWS: usize = 3;

pub(in crate::cli) fn preview(
    preview: &PreviewView,
    all: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    output.line(format_args!(
        "{}: {} affected, {} skipped; {} would get an image, {} run theirs already",
        robots(preview.robots),
        preview.affected_robots,
        preview.skipped_robots,
        ecus(preview.ecus - preview.already_current - preview.will_fail - preview.will_skip),
        preview.already_current
    ))?;
    if preview.lifted > 0 {
        output.line(format_args!(
            "of these {} only because the downgrade is forced",
            ecus(preview.lifted)
        ))?;
    }
    reasons(preview, output)?;
    conflicts(&preview.conflicts, output)?;
    windows(&preview.windows, output)?;
    let rows = if all { usize::MAX } else { PREVIEW_ROWS };
    let (skipped, affected): (Vec<_>, Vec<_>) = preview
        .items
        .iter()
        .partition(|robot| robot.skipped.is_some());
    if !affected.is_empty() {
        let mut table = table(["robot", "ecu", "hardware id", "runs", "gets"]);
        for (robot, ecu) in affected
            .iter()
            .take(rows)
            .flat_map(|robot| robot.ecus.iter().map(move |ecu| (robot, ecu)))
        {
            let gets = check_text(&ecu.at_dispatch, &ecu.image);
            table.add_row([
                robot.robot.as_str(),
                &ecu.ecu,
                &ecu.hardware_id,
                or_dash(ecu.from.as_deref()),
                &gets,
            ]);
        }
        output.line("")?;
        output.table(table)?;
        more(&affected, rows, output)?;
    }
    if !skipped.is_empty() {
        let mut table = table(["skipped robot", "why"]);
        for robot in skipped.iter().take(rows) {
            table.add_row([robot.robot.as_str(), robot.skipped.map_or("-", skip_text)]);
        }
        output.line("")?;
        output.table(table)?;
        more(&skipped, rows, output)?;
    }
    Ok(())
}

fn more(robots: &[&PlannedView], rows: usize, output: &mut Output) -> Result<(), Failure> {
    if robots.len() > rows {
        output.line(format_args!(
            "and {} more; --all shows them",
            robots.len() - rows
        ))?;
    }
    Ok(())
}

/// Who gets nothing, by reason.
fn reasons(preview: &PreviewView, output: &mut Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (reason, count) in &preview.skipped_by_reason {
        rows.push(("skipped robots", *count, skip_reason(reason)));
    }
    for (reason, count) in &preview.will_fail_by_reason {
        rows.push(("ECUs that fail at once", *count, reason.replace('_', " ")));
    }
    if preview.will_skip > 0 {
        let why = skip_text(SkipReason::VersionMismatch).to_owned();
        rows.push(("ECUs that are skipped", preview.will_skip, why));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = table(["gets nothing", "count", "why"]);
    for (what, count, why) in rows {
        table.add_row([what, &count.to_string(), &why]);
    }
    output.line("")?;
    Ok(output.table(table)?)
}

/// A reason in the API's word, as it is said everywhere else.
fn skip_reason(word: &str) -> String {
    let found: StrDeserializer<'_, Error> = word.into_deserializer();
    SkipReason::deserialize(found).map_or_else(
        |_| word.replace('_', " "),
        |reason| skip_text(reason).to_owned(),
    )
}

/// Other rollouts that lose ECUs to it, or have them now.
fn conflicts(conflicts: &[ConflictView], output: &mut Output) -> Result<(), Failure> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let mut table = table([
        "conflict with rollout",
        "name",
        "ecus superseded",
        "ecus in progress, finish first",
    ]);
    for conflict in conflicts {
        table.add_row([
            conflict.rollout.to_string(),
            conflict.name.clone(),
            conflict.superseded.to_string(),
            conflict.in_progress.to_string(),
        ]);
    }
    output.line("")?;
    Ok(output.table(table)?)
}

/// When robots of each time zone may be told, as their clocks show it.
fn windows(zones: &[ZoneWindowsView], output: &mut Output) -> Result<(), Failure> {
    if zones.is_empty() {
        return Ok(());
    }
    let mut table = table(["zone", "robots", "next windows open", "and close"]);
    for zone in zones {
        let count = zone.robots.to_string();
        if zone.upcoming.is_empty() {
            table.add_row([zone.zone.as_str(), &count, "never", "-"]);
        }
        for (index, span) in zone.upcoming.iter().take(NEXT_WINDOWS).enumerate() {
            let first = index == 0;
            table.add_row([
                if first { zone.zone.as_str() } else { "" },
                if first { count.as_str() } else { "" },
                &span.from_local,
                closes(span),
            ]);
        }
    }
    output.line("")?;
    output.table(table)?;
    for zone in zones.iter().filter(|zone| zone.bad_labels > 0) {
        output.line(format_args!(
            "{1} stands in for the labels of {0}, which name no time zone",
            robots(zone.bad_labels),
            zone.zone
        ))?;
    }
    Ok(())
}

fn closes(span: &SpanView) -> &str {
    span.until_local.as_deref().unwrap_or("-")
}

/// "1 ECU", "2 ECUs".
fn ecus(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} ECU{s}")
}
