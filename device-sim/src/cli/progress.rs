//! Progress bars on standard error; nothing when that is not a terminal.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::driver::{Snapshot, Stats};

const REFRESH: Duration = Duration::from_millis(200);

/// Bars that are being shown.
#[derive(Debug)]
pub(super) struct Bars {
    done: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Bars {
    pub(super) async fn finish(self) {
        let _ = self.done.send(());
        let _ = self.task.await;
    }
}

pub(super) fn show(stats: Arc<Stats>, robots: usize, quiet: bool) -> Bars {
    let (done, mut finished) = oneshot::channel();
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let all = MultiProgress::with_draw_target(target);
    let connected = all.add(bar(robots as u64, "connected "));
    let operations = all.add(bar(0, "operations"));
    let traffic = all.add(ProgressBar::new_spinner());
    let task = tokio::spawn(async move {
        let mut refresh = tokio::time::interval(REFRESH);
        loop {
            let over = tokio::select! {
                _ = refresh.tick() => false,
                _ = &mut finished => true,
            };
            let now = stats.snapshot();
            connected.set_position(now.connected);
            connected.set_message(trouble(&stats, robots, &now));
            operations.set_length(now.operations_started);
            operations.set_position(now.operations_ended);
            operations.set_message(format!("{} installed", now.operations_installed));
            traffic.set_message(format!(
                "{} published, {} acknowledged, {} received, {} downloads",
                now.published, now.acknowledged, now.received, now.downloads
            ));
            if over {
                connected.abandon();
                operations.abandon();
                traffic.abandon();
                return;
            }
        }
    });
    Bars { done, task }
}

/// Why robots are missing, if they are.
fn trouble(stats: &Stats, robots: usize, now: &Snapshot) -> String {
    match stats.last_error() {
        Some(error) if now.connected < robots as u64 => error,
        _ => String::new(),
    }
}

fn bar(length: u64, title: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length)
        .with_style(style)
        .with_prefix(title)
}
