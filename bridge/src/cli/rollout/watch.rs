//! `rollcall rollout watch`: live progress until the rollout is completed.

use super::progress::Bar;
use super::tables;
use crate::api::RolloutView;
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, note};
use rollcall_engine::Completion;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// Between two looks.
const POLL: Duration = Duration::from_millis(500);
/// Looks in a row that may find no server: one that restarts is waited for, one that is gone is not.
const ABSENCES: u32 = 120;

/// Follows the rollout; the exit code says whether its outcome is success.
pub(super) fn watch(id: u32, client: &Client, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = format!("/rollouts/{id}");
    let bar = Bar::new(output.json);
    let mut shown: Option<RolloutView> = None;
    let mut absences = 0;
    loop {
        match client.get::<RolloutView>(&path) {
            Ok(rollout) => {
                absences = 0;
                if shown.as_ref() != Some(&rollout) {
                    show(&rollout, &bar, output)?;
                }
                if let Some(outcome) = rollout.outcome {
                    return end(&rollout, outcome, bar, output);
                }
                shown = Some(rollout);
            }
            // The first look decides whether there is a server at all.
            Err(failure)
                if failure.error.code == "unreachable"
                    && shown.is_some()
                    && absences < ABSENCES =>
            {
                absences += 1;
                bar.waiting_for_server();
            }
            Err(failure) => return Err(failure),
        }
        if output.is_closed() {
            return Ok(Exit::Success.into());
        }
        sleep(POLL);
    }
}

fn show(rollout: &RolloutView, bar: &Bar, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        output.json(rollout)?;
    } else if bar.is_hidden() {
        // Without a terminal a line per change says what the bar would.
        note(Bar::text(rollout));
    } else {
        bar.show(rollout);
    }
    Ok(())
}

fn end(
    rollout: &RolloutView,
    outcome: Completion,
    bar: Bar,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    bar.finish();
    if !output.json {
        tables::counts(&rollout.counts, output)?;
        output.line(format_args!(
            "rollout {} is completed: {}",
            rollout.id,
            tables::word(&outcome)
        ))?;
    }
    Ok(if outcome == Completion::Success {
        Exit::Success.into()
    } else {
        Exit::RolloutNotSuccessful.into()
    })
}
