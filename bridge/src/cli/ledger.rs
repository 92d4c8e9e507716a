//! `rollcall channel source`, `ledger`, `sync` and `import`

use super::args::{LedgerArgs, SourceCommand};
use super::client::{Client, paged, segment};
use super::exit::Failure;
use super::output::{Output, confirm, note, sheet, table};
use super::standstill;
use crate::api::{
    IMPORT_LIMIT, LedgerState, LedgerVersionView, LedgerView, ReleaseStandstill, ReleaseView,
    SourceView,
};
use crate::ledger::{SyncReport, SyncStatus};
use rollcall_engine::Product;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub(super) fn set_source(
    name: &str,
    source: SourceCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let (wanted, yes) = match source {
        SourceCommand::Console { confirm } => (SourceView::Console {}, confirm.yes),
        SourceCommand::Ledger(ledger) => {
            let yes = ledger.confirm.yes;
            (of_ledger(ledger), yes)
        }
    };
    let path = format!("/channels/{}/source", segment(name));
    let before: SourceView = client.get(&path)?;
    if product(&before).is_some() && product(&before) != product(&wanted) {
        ask_before_the_end(name, yes, client)?;
    }
    let set: SourceView = client.put(&path, &wanted)?;
    if output.json {
        return Ok(output.json(&set)?);
    }
    output.line(format_args!(
        "channel {name} releases {}",
        source_text(&set)
    ))?;
    if let SourceView::Ledger { url, .. } = &set {
        note(match url {
            Some(_) => "It is being read; `rollcall channel ledger` shows what it records.",
            None => "Bring versions with `rollcall channel import`.",
        });
    }
    Ok(())
}

/// G17: what the channel gives from the ledger ends with that source, and nobody can resume it.
fn ask_before_the_end(name: &str, yes: bool, client: &Client) -> Result<(), Failure> {
    let newest = client.get::<ReleaseView>(&format!("/channels/{}/release", segment(name)));
    let release = match newest {
        Ok(release) if release.status == "LIVE" => release,
        Ok(_) => return Ok(()),
        Err(failure) if failure.error.code == "never_released" => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let id = release.id;
    let found: ReleaseStandstill = client.get(&format!("/releases/{id}/stop"))?;
    note(format_args!(
        "release {id} ({}) is LIVE on channel {name} and ends with this source, for good. Of its robots\n{}",
        release.image,
        standstill::table(&found.robots, "and are not told")
    ));
    confirm(yes, &format!("Give channel {name} another source?"))
}

const fn product(source: &SourceView) -> Option<(u16, u16)> {
    match source {
        SourceView::Console {} => None,
        SourceView::Ledger { vid, pid, .. } => Some((*vid, *pid)),
    }
}

fn of_ledger(ledger: LedgerArgs) -> SourceView {
    let ids = ledger.hardware_id.iter();
    let every = ledger.every.map(|every| every.as_millis());
    SourceView::Ledger {
        url: ledger.url,
        vid: ledger.vid,
        pid: ledger.pid,
        hardware_ids: ids.map(ToString::to_string).collect(),
        every_ms: every.map(|every| u64::try_from(every).unwrap_or(u64::MAX)),
    }
}

/// Where releases come from, in a word.
pub(super) const fn source_word(source: &SourceView) -> &'static str {
    match source {
        SourceView::Console {} => "console",
        SourceView::Ledger { .. } => "ledger",
    }
}

/// Where releases come from, in a line.
pub(super) fn source_text(source: &SourceView) -> String {
    match source {
        SourceView::Console {} => "images added here".to_owned(),
        SourceView::Ledger {
            url,
            vid,
            pid,
            hardware_ids,
            every_ms,
        } => {
            let product = Product {
                vid: *vid,
                pid: *pid,
            };
            let every =
                every_ms.map(|every| humantime::format_duration(Duration::from_millis(every)));
            let from = match (url, every) {
                (Some(url), Some(every)) => format!("{url}, every {every}"),
                (Some(url), None) => url.clone(),
                (None, _) => "files".to_owned(),
            };
            let boards = hardware_ids.join(", ");
            format!("product {product} ({boards}) on the ledger, from {from}")
        }
    }
}

pub(super) fn show(name: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let path = format!("/channels/{}/ledger", segment(name));
    let mut ledger: LedgerView = client.get(&paged(&path, None))?;
    while let Some(next) = ledger.next.take() {
        let more: LedgerView = client.get(&paged(&path, Some(&next)))?;
        ledger.versions.extend(more.versions);
        ledger.next = more.next;
    }
    if output.json {
        return Ok(output.json(&ledger)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["channel", &ledger.channel]);
    sheet.add_row(["source", &source_text(&ledger.source)]);
    if matches!(ledger.source, SourceView::Ledger { .. }) {
        sheet.add_row(["read", &reading(&ledger.sync)]);
    }
    output.table(sheet)?;
    if ledger.versions.is_empty() {
        note("Nothing is recorded yet.");
        return Ok(());
    }
    let mut table = table(["number", "version", "over", "state", "image"]);
    for version in &ledger.versions {
        let record = &version.record;
        table.add_row([
            version.version.to_string(),
            version.name.clone(),
            format!(
                "{} to {}",
                record.min_applicable_software_version, record.max_applicable_software_version
            ),
            state(version).to_owned(),
            version.image.clone().unwrap_or_default(),
        ]);
    }
    output.table(table)?;
    for version in &ledger.versions {
        if let Some(problem) = &version.problem {
            output.line(format_args!("version {}: {problem}", version.version))?;
        }
    }
    if let Some(report) = &ledger.sync.last {
        print_refused(report, output)?;
    }
    Ok(())
}

const fn state(version: &LedgerVersionView) -> &'static str {
    match version.state {
        LedgerState::Ready => "ready",
        LedgerState::Fetching => "its file is to be fetched",
        LedgerState::Failed => "its file is not here",
        LedgerState::NoFile => "has no file",
        LedgerState::Invalid => "withdrawn: not valid",
        LedgerState::Vanished => "withdrawn: no longer listed",
    }
}

fn reading(sync: &SyncStatus) -> String {
    let last = match &sync.last {
        None if sync.running => return "for the first time, right now".to_owned(),
        None => return "not yet since the server's start".to_owned(),
        Some(last) => last,
    };
    let next = sync.next_in_s.map(Duration::from_secs);
    let next = next.map(|next| format!(", again in {}", humantime::format_duration(next)));
    let next = next.unwrap_or_default();
    match &last.error {
        Some(error) => format!("at {}, in vain: {error}{next}", last.at),
        None => format!(
            "at {}: {} versions, {} not taken{next}",
            last.at,
            last.listed,
            last.not_taken()
        ),
    }
}

pub(super) fn sync(name: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let path = format!("/channels/{}/ledger/sync", segment(name));
    let report: SyncReport = client.post(&path, &json!({}))?;
    print(&report, output)
}

pub(super) fn import(
    name: &str,
    file: &Path,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let content = read(file)?;
    let path = format!("/channels/{}/ledger/import", segment(name));
    let report: SyncReport = client.post(&path, &content)?;
    print(&report, output)
}

fn read(file: &Path) -> Result<Value, Failure> {
    let shown = file.display();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "{shown} cannot be read: {error}; name a file with versions in a node's JSON"
        ))
    };
    let limit = u64::try_from(IMPORT_LIMIT).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    let opened = File::open(file).map_err(|error| failed(&error))?;
    let mut limited = opened.take(limit + 1);
    limited
        .read_to_end(&mut content)
        .map_err(|error| failed(&error))?;
    if content.len() > IMPORT_LIMIT {
        return Err(failed(&format_args!(
            "it is larger than {IMPORT_LIMIT} bytes"
        )));
    }
    serde_json::from_slice(&content).map_err(|error| failed(&error))
}

fn print(report: &SyncReport, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(report)?);
    }
    output.line(format_args!(
        "{} versions: {} new or changed, {} as before, {} withdrawn, {} not taken",
        report.listed,
        report.changed.len(),
        report.unchanged,
        report.withdrawn.len(),
        report.not_taken()
    ))?;
    print_refused(report, output)
}

fn print_refused(report: &SyncReport, output: &mut Output) -> Result<(), Failure> {
    for refused in &report.refused {
        let which = match (refused.version, refused.place) {
            (Some(version), _) => format!("version {version}"),
            (None, Some(place)) => format!("record {place}"),
            (None, None) => "a record".to_owned(),
        };
        output.line(format_args!("not taken, {which}: {}", refused.why))?;
    }
    if report.refused_more > 0 {
        output.line(format_args!("not taken, {} more", report.refused_more))?;
    }
    Ok(())
}
