//! What a person sees of the demonstration.

use super::Foresight;
use super::compare::Verdict;
use super::fleet::DemoFleet;
use crate::server::Addresses;
use crate::writer::StatusSnapshot;
use anyhow::Result;
use comfy_table::{Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollcall_engine::{Completion, Counts, SkipReason};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// The end of the demonstration, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) robots: u32,
    /// ECUs of all robots.
    pub(super) ecus: u32,
    pub(super) affected_robots: u32,
    pub(super) skipped_robots: u32,
    pub(super) operations: Operations,
    pub(super) rollout_status: &'static str,
    pub(super) outcome: Option<Completion>,
    pub(super) elapsed_ms: u64,
    pub(super) events_committed: u64,
    /// Whether the robots really did what the server believes.
    pub(super) robots_agree: bool,
}

/// Operations by final state.
#[derive(Debug, Serialize)]
pub(super) struct Operations {
    succeeded: u32,
    already_current: u32,
    failed: u32,
    rolled_back: u32,
    cancelled: u32,
    superseded: u32,
    expired: u32,
}

impl From<Counts> for Operations {
    fn from(counts: Counts) -> Self {
        Self {
            succeeded: counts.installed,
            already_current: counts.already_current,
            failed: counts.failed,
            rolled_back: counts.rolled_back,
            cancelled: counts.cancelled,
            superseded: counts.superseded,
            expired: counts.expired,
        }
    }
}

/// Standard error for what goes on, standard output for the end.
pub(super) struct Screen {
    json: bool,
    bars: MultiProgress,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let target = if json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self {
            json,
            bars: MultiProgress::with_draw_target(target),
        }
    }

    fn say(&self, text: &str) {
        if !self.json {
            // A closed terminal is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    pub(super) fn server(&self, addresses: &Addresses) {
        let Addresses {
            mqtt,
            mqtts: _,
            websocket: _,
            http,
            device_http,
        } = addresses;
        self.say(&format!(
            "server     MQTT {mqtt}, API http://{http}, artifacts http://{device_http}"
        ));
    }

    pub(super) fn bar(&self, what: &'static str, length: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(length));
        bar.set_style(style("{prefix:<10} {wide_bar:.cyan/dim} {pos:>6}/{len}"));
        bar.set_prefix(what);
        bar
    }

    pub(super) fn preview(&self, foresight: &Foresight, fleet: &DemoFleet) {
        let Foresight {
            affected,
            ecus,
            skipped,
            examples,
        } = foresight;
        self.say(&format!(
            "fleet      {} robots are connected over MQTT",
            fleet.robots.len()
        ));
        let map: Vec<_> = fleet
            .images
            .iter()
            .map(|(id, image)| format!("{id} = {image}"))
            .collect();
        self.say(&format!("rollout    {}", map.join(", ")));
        let skipped: usize = skipped.values().sum();
        self.say(&format!(
            "preview    {affected} robots get {ecus} updates, {skipped} are skipped"
        ));
        for (id, reason) in examples {
            self.say(&format!("             {id}: {}", words(*reason)));
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let done = self.bar("updated", 0);
        done.set_style(style("{prefix:<10} {wide_bar:.green/dim} {pos:>6}/{len}"));
        let line = self.bars.add(ProgressBar::new_spinner());
        line.set_style(style("           {msg}"));
        Progress { done, line }
    }

    pub(super) fn end(
        &self,
        summary: &Summary,
        verdict: &Verdict,
        skipped: &BTreeMap<SkipReason, usize>,
    ) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, summary)?;
            writeln!(out)?;
        } else {
            write_end(&mut out, summary, verdict, skipped)?;
        }
        for difference in &verdict.differences {
            writeln!(std::io::stderr(), "difference {difference}")?;
        }
        Ok(())
    }
}

fn write_end(
    out: &mut impl Write,
    summary: &Summary,
    verdict: &Verdict,
    skipped: &BTreeMap<SkipReason, usize>,
) -> Result<()> {
    let Operations {
        succeeded,
        already_current,
        failed,
        rolled_back,
        cancelled,
        superseded,
        expired,
    } = summary.operations;
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["outcome", "ECUs", "why"]);
    let reasons: Vec<_> = verdict
        .reasons
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let rows = [
        ("succeeded", succeeded, String::new()),
        ("already current", already_current, String::new()),
        ("failed", failed + rolled_back, reasons.join(", ")),
        ("cancelled", cancelled, String::new()),
        ("superseded", superseded, String::new()),
        ("expired", expired, String::new()),
    ];
    for (outcome, count, why) in rows.into_iter().filter(|(_, count, _)| *count > 0) {
        table.add_row([outcome.to_owned(), count.to_string(), why]);
    }
    for (reason, count) in skipped {
        table.add_row([
            "skipped robots".to_owned(),
            count.to_string(),
            words(*reason).to_owned(),
        ]);
    }
    let seconds = Duration::from_millis(summary.elapsed_ms).as_secs_f64();
    let outcome = summary
        .outcome
        .map_or_else(String::new, |outcome| format!("{outcome:?}").to_lowercase());
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "{}, outcome {outcome}: {} robots, {} ECUs, {} events made durable, {seconds:.1} s",
        summary.rollout_status, summary.robots, summary.ecus, summary.events_committed
    )?;
    if verdict.differences.is_empty() {
        writeln!(
            out,
            "The {} outcomes are what the robots really did.",
            verdict.compared
        )?;
    } else {
        writeln!(
            out,
            "The server and its robots DISAGREE; the first differences follow."
        )?;
    }
    Ok(())
}

/// The bars while a rollout runs.
pub(super) struct Progress {
    done: ProgressBar,
    line: ProgressBar,
}

impl Progress {
    pub(super) fn show(&self, counts: &Counts, status: &StatusSnapshot) {
        let Counts {
            targets,
            pending,
            active,
            installed,
            failed,
            rolled_back,
            in_progress,
            ..
        } = *counts;
        self.done.set_length(targets.into());
        self.done.set_position((targets - pending - active).into());
        self.line.set_message(format!(
            "{in_progress} robots under way, {installed} ECUs installed, {} failed, {} events durable",
            failed + rolled_back,
            status.events_committed
        ));
    }

    pub(super) fn finish(&self) {
        self.line.finish_and_clear();
        self.done.finish();
    }
}

const fn words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NoCompatibleEcu => "none of its ECUs has a hardware id of the map",
        SkipReason::OtherModel => "the images are for another model",
        SkipReason::VersionMismatch => "the image does not accept its version",
        SkipReason::NoPartNumber => "it has not said its part number yet",
        SkipReason::LedgerWithdrawn => "the image is withdrawn on the ledger",
        SkipReason::LedgerVersionUnknown => "the ledger does not know what it runs",
        SkipReason::LedgerVersionNotApplicable => {
            "on the ledger the image is not for the version that it runs"
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a broken one would show as a plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
