//! The progress bar of a rollout, on standard error; hidden where there is no terminal.

use super::tables::{done, reason_text};
use crate::api::RolloutView;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

const TEMPLATE: &str = "{spinner} [{elapsed_precise}] [{wide_bar}] {pos}/{len} ECUs  {msg}";
const BLINK: Duration = Duration::from_millis(120);

/// A rollout's progress.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(hidden: bool) -> Self {
        let target = if hidden {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(BLINK);
        }
        Self { bar }
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    pub(super) fn show(&self, rollout: &RolloutView) {
        let counts = &rollout.counts;
        self.bar.set_length(counts.targets.into());
        self.bar.set_position(done(counts).into());
        self.bar.set_message(Self::message(rollout));
    }

    pub(super) fn waiting_for_server(&self) {
        self.bar
            .set_message("the server does not answer; waiting for it");
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn message(rollout: &RolloutView) -> String {
        let counts = &rollout.counts;
        let failed = counts.failed + counts.rolled_back + counts.expired;
        match rollout.status.as_str() {
            "prepared" => "prepared; waiting for its launch".to_owned(),
            "paused" | "stopped" | "ending" => {
                format!(
                    "{}; {} robots in progress",
                    reason_text(rollout),
                    counts.in_progress
                )
            }
            _ => format!(
                "{} robots in progress, {failed} ECUs failed",
                counts.in_progress
            ),
        }
    }

    /// The same in one line of text.
    pub(super) fn text(rollout: &RolloutView) -> String {
        let counts = &rollout.counts;
        format!(
            "{}: {}/{} ECUs, {}",
            rollout.status,
            done(counts),
            counts.targets,
            Self::message(rollout)
        )
    }
}
