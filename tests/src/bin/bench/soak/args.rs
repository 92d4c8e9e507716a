//! Arguments of `bench soak`, and what they mean together.

use crate::Usage;
use anyhow::Result;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// What the soak is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SoakArgs {
    /// soak: how long.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// soak: how often everything is looked at.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    every: Duration,
    /// soak: events per second; take half of the peak that `bench peers` finds here.
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// soak: robots that come and go, per second; 0: none.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    churn: u32,
    /// soak: no hostile clients.
    #[arg(long)]
    no_abuse: bool,
}

/// What a soak is to be.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Settings {
    pub(super) duration: Duration,
    pub(super) every: Duration,
    /// Events per second.
    pub(super) rate: u32,
    /// Robots that publish.
    pub(super) robots: u32,
    /// Visits per second.
    pub(super) churn: u32,
    pub(super) hostile: bool,
}

/// Robots that publish, unless it is said.
const ROBOTS: u32 = 1_000;

/// The server takes 15,000 connections by default, and others come too.
const MOST_ROBOTS: u32 = 10_000;

/// Fewer looks say nothing of what grows: memory is compared by quarters.
const FEWEST_LOOKS: u128 = 8;

/// Bytes of the database that are allowed for each event: 178 in a run of 100 s, and some to spare, since the file grows by
/// doubling. The verdict tells what it really was.
const BYTES_PER_EVENT: u64 = 200;

/// Room that the server keeps, and that files beside the history take.
const OTHER_BYTES: u64 = 2 << 30;

impl SoakArgs {
    /// Puts everything together.
    ///
    /// # Errors
    /// [`Usage`] if it cannot be.
    pub(crate) fn settings(&self, robots: Option<u32>) -> Result<Settings> {
        let Self {
            duration,
            every,
            rate,
            churn,
            no_abuse,
        } = *self;
        let looks = duration.as_millis().checked_div(every.as_millis());
        if looks.is_none_or(|looks| looks < FEWEST_LOOKS) {
            let (duration, every) = (
                humantime::format_duration(duration),
                humantime::format_duration(every),
            );
            let text = format!(
                "--for {duration} has fewer than {FEWEST_LOOKS} looks --every {every}: make it longer, or look more often"
            );
            return Err(Usage(text).into());
        }
        let robots = robots.unwrap_or(ROBOTS);
        if robots > MOST_ROBOTS {
            let text = format!(
                "--robots {robots} is more than {MOST_ROBOTS}, which the server takes beside the others"
            );
            return Err(Usage(text).into());
        }
        Ok(Settings {
            duration,
            every,
            rate,
            robots,
            churn,
            hostile: !no_abuse,
        })
    }
}

impl Settings {
    /// Bytes that the server's data may take.
    pub(super) fn bytes(&self) -> u64 {
        let events = self.duration.as_secs().saturating_mul(self.rate.into());
        events
            .saturating_mul(BYTES_PER_EVENT)
            .saturating_add(OTHER_BYTES)
    }

    /// Whether the disk of `directory` holds the history, none of which is removed within 90 days.
    ///
    /// # Errors
    /// [`Usage`] if it does not.
    pub(super) fn check_room(&self, directory: &Path) -> Result<()> {
        let disk = rustix::fs::statvfs(directory)?;
        self.check_free(directory, disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn check_free(&self, directory: &Path, free: u64) -> Result<()> {
        let needed = self.bytes();
        if free >= needed {
            return Ok(());
        }
        let gigabytes = |bytes: u64| bytes.div_ceil(1_000_000_000);
        let text = format!(
            "a soak of {} at {} events/s writes about {} GB of history, and the disk of {} has {} GB free: lower --for \
             or --rate, or name another directory with TMPDIR",
            humantime::format_duration(self.duration),
            self.rate,
            gigabytes(needed),
            directory.display(),
            gigabytes(free),
        );
        Err(Usage(text).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        soak: SoakArgs,
    }

    fn settings(words: &[&str]) -> Result<Settings> {
        let words = std::iter::once(&"soak").chain(words);
        Cli::try_parse_from(words).unwrap().soak.settings(None)
    }

    #[test]
    fn an_hour_at_half_the_peak_with_everything_is_what_is_run_unless_it_is_said() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.duration, Duration::from_secs(3_600));
        assert_eq!(
            (settings.rate, settings.churn, settings.hostile),
            (30_000, 20, true)
        );
    }

    #[test]
    fn too_few_looks_are_an_error_of_usage_with_a_remedy() {
        let error = settings(&["--for", "3m"]).unwrap_err();
        assert!(error.is::<Usage>());
        assert!(error.to_string().contains("look more often"), "{error}");
        assert!(settings(&["--for", "20s", "--every", "2s"]).is_ok());
        assert!(settings(&["--every", "0s"]).is_err());
    }

    #[test]
    fn more_robots_than_the_server_takes_are_an_error_of_usage() {
        let soak = Cli::try_parse_from(["soak"]).unwrap().soak;
        assert!(soak.settings(Some(10_000)).is_ok());
        assert!(soak.settings(Some(10_001)).unwrap_err().is::<Usage>());
    }

    #[test]
    fn a_disk_that_cannot_hold_the_history_is_an_error_of_usage() {
        let settings = settings(&[]).unwrap();
        let directory = Path::new("/data");
        assert!(settings.check_free(directory, settings.bytes()).is_ok());
        let error = settings
            .check_free(directory, settings.bytes() - 1)
            .unwrap_err();
        assert!(error.is::<Usage>());
        assert!(error.to_string().contains("/data"), "{error}");
    }
}
