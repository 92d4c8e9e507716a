//! What the kernel says of a process: CPU time and resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;

/// A process cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "process {pid} cannot be looked at in /proc: is --server-pid the server's, on this machine?"
)]
pub struct ProcessError {
    /// Which one.
    pub pid: u32,
}

/// A process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    /// The process `pid`, if it is there.
    pub(super) fn find(pid: u32) -> Result<Self, ProcessError> {
        let found = Self(pid);
        found.cpu().and(found.resident()).map(|_| found)
    }

    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    /// CPU time that it has used, user and system.
    pub(super) fn cpu(self) -> Result<Duration, ProcessError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok();
        stat.and_then(|text| parse_cpu(&text, clock_ticks_per_second()))
            .ok_or(ProcessError { pid: self.0 })
    }

    /// Bytes that are resident.
    pub(super) fn resident(self) -> Result<u64, ProcessError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok();
        status
            .and_then(|text| parse_resident(&text))
            .ok_or(ProcessError { pid: self.0 })
    }
}

/// CPU of this program and of the server, from one moment on.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    server: Option<Process>,
    own: Duration,
    threads: BTreeMap<String, Duration>,
    of_server: Option<Duration>,
}

/// What was used since a meter began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) own: Duration,
    /// Of the whole time: how much of it that thread of this program ran, or waited for a core, which did so the most.
    /// Nothing where the kernel does not tell.
    pub(super) busiest_thread: Option<f64>,
    pub(super) server: Option<Duration>,
}

impl Meter {
    pub(super) fn begin(server: Option<Process>) -> Result<Self, ProcessError> {
        Ok(Self {
            began: Instant::now(),
            server,
            own: Process::own().cpu()?,
            threads: busy_threads(),
            of_server: server.map(Process::cpu).transpose()?,
        })
    }

    pub(super) fn read(&self) -> Result<Usage, ProcessError> {
        let server = self.server.map(Process::cpu).transpose()?;
        let elapsed = self.began.elapsed().as_secs_f64();
        let shares = busy_threads().into_iter().map(|(thread, busy)| {
            let before = self.threads.get(&thread).copied().unwrap_or_default();
            busy.saturating_sub(before).as_secs_f64() / elapsed
        });
        Ok(Usage {
            own: Process::own().cpu()?.saturating_sub(self.own),
            busiest_thread: shares.max_by(f64::total_cmp),
            server: server
                .zip(self.of_server)
                .map(|(now, then)| now.saturating_sub(then)),
        })
    }
}

/// How long each thread of this program has run or waited for a core, by its number.
fn busy_threads() -> BTreeMap<String, Duration> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let busy = tasks.flatten().filter_map(|task| {
        let number = task.file_name().into_string().ok()?;
        Some((number, busy(&task.path())?))
    });
    busy.collect()
}

fn busy(task: &Path) -> Option<Duration> {
    parse_busy(&fs::read_to_string(task.join("schedstat")).ok()?)
}

/// Nanoseconds on a core, and nanoseconds of waiting for one.
fn parse_busy(schedstat: &str) -> Option<Duration> {
    let mut fields = schedstat.split_ascii_whitespace();
    let mut nanos = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_nanos(nanos()?.saturating_add(nanos()?)))
}

/// The name before the numbers may contain anything, brackets too.
fn parse_cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let used = ticks()? + ticks()?;
    Some(Duration::from_millis(used * 1_000 / ticks_per_second))
}

fn parse_resident(status: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "42 (a) (b c) S 1 42 42 0 -1 4194304 10 0 0 0 150 25 7 8 20 0 1 0 99 0 0";
        assert_eq!(parse_cpu(stat, 100), Some(Duration::from_millis(1_750)));
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t  12 kB\n"), Some(12_288));
        assert_eq!(parse_resident("Name:\tx\n"), None);
        let busy = parse_busy("2000000000 500000000 77\n");
        assert_eq!(busy, Some(Duration::from_millis(2_500)));
        assert_eq!(parse_busy("2000000000"), None);
    }

    #[test]
    fn a_thread_that_never_rests_is_busy_nearly_all_the_time() {
        let meter = Meter::begin(None).unwrap();
        while meter.read().unwrap().own < Duration::from_millis(200) {}
        let busiest = meter.read().unwrap().busiest_thread;
        assert!(busiest.is_none_or(|busy| busy > 0.5), "{busiest:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Process::find(u32::MAX).unwrap_err();
        assert!(error.to_string().contains(&u32::MAX.to_string()));
        assert!(Process::own().resident().unwrap() > 0);
    }
}
