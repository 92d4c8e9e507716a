//! What the kernel says of a process: CPU time and resident memory.

use std::fs;
use std::time::Duration;

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
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Process::find(u32::MAX).unwrap_err();
        assert!(error.to_string().contains(&u32::MAX.to_string()));
        assert!(Process::own().resident().unwrap() > 0);
    }
}
