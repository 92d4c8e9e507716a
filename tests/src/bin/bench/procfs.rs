//! What the kernel says of a process: CPU time by kind of thread, and memory.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// CPU time that a process has used, user and system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cpu {
    pub(crate) total: Duration,
    /// By the name of the thread; of threads that still run.
    pub(crate) threads: BTreeMap<String, Duration>,
}

impl Cpu {
    /// Of the process `pid`, which may be `self`.
    pub(crate) fn of(pid: &str) -> Result<Self> {
        let (_, total) = read_stat(&format!("/proc/{pid}/stat"))?;
        let mut threads: BTreeMap<_, Duration> = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
            let stat = task?.path().join("stat");
            // A thread may end between the listing and the reading.
            if let Ok((name, used)) = read_stat(&stat.to_string_lossy()) {
                *threads.entry(name).or_default() += used;
            }
        }
        Ok(Self { total, threads })
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.threads.get(name).copied().unwrap_or_default();
        let used =
            |(name, now): (&String, &Duration)| (name.clone(), now.saturating_sub(before(name)));
        Self {
            total: self.total.saturating_sub(earlier.total),
            threads: self.threads.iter().map(used).collect(),
        }
    }

    /// Of the threads of this name.
    pub(crate) fn thread(&self, name: &str) -> Duration {
        self.threads.get(name).copied().unwrap_or_default()
    }
}

/// CPU time that all processes of the machine have used, with what the hypervisor took away.
pub(crate) fn machine() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    parse_machine(&text, rustix::param::clock_ticks_per_second())
        .context("/proc/stat cannot be understood")
}

/// Of the first line, everything but idle and waiting (the fourth and fifth number); the last two are contained in
/// the first two.
fn parse_machine(text: &str, ticks_per_second: u64) -> Option<Duration> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = numbers
        .split_ascii_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    let busy: u64 = numbers.get(..3)?.iter().chain(numbers.get(5..8)?).sum();
    Some(Duration::from_millis(busy * 1_000 / ticks_per_second))
}

fn read_stat(path: &str) -> Result<(String, Duration)> {
    let text = fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
    parse_stat(&text, rustix::param::clock_ticks_per_second())
        .with_context(|| format!("{path} cannot be understood"))
}

/// Name and CPU time out of a `stat` file, in which the name may contain anything.
fn parse_stat(text: &str, ticks_per_second: u64) -> Option<(String, Duration)> {
    let (before, rest) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let used = ticks()? + ticks()?;
    Some((
        name.to_owned(),
        Duration::from_millis(used * 1_000 / ticks_per_second),
    ))
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Everything resident: also pages of the program and of files, which others share or the kernel may take back.
    pub(crate) resident: u64,
    /// Its own: heap and stacks.
    pub(crate) anonymous: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            resident: field(pid, "status", "VmRSS:")?,
            anonymous: field(pid, "smaps_rollup", "Anonymous:")?,
        })
    }
}

/// How many files a process has open.
pub(crate) fn open_files(pid: u32) -> Result<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).context("the process is gone")?;
    Ok(files.count() as u64)
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
    Ok(tasks.count() as u64)
}

/// The most bytes that were resident since the process started.
pub(crate) fn peak(pid: u32) -> Result<u64> {
    field(pid, "status", "VmHWM:")
}

fn field(pid: u32, file: &str, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    kilobytes(&text, name)
        .map(|found| found * 1024)
        .with_context(|| format!("{path} has no {name}"))
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_thread_is_called() {
        let text = "42 (a) (b c) S 1 42 42 0 -1 4194304 10 0 0 0 150 25 7 8 20 0 1 0 99 0 0";
        let (name, used) = parse_stat(text, 100).unwrap();
        assert_eq!(name, "a) (b c");
        assert_eq!(used, Duration::from_millis(1_750));
    }

    #[test]
    fn the_machine_is_busy_with_everything_but_idling_and_waiting() {
        let text = "cpu  1 2 4 1000 2000 8 16 32 1 2\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(parse_machine(text, 1_000), Some(Duration::from_millis(63)));
        assert_eq!(parse_machine("intr 1 2", 100), None);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let text = "VmPeak:\t  9000 kB\nVmRSS:\t  1234 kB\n";
        assert_eq!(kilobytes(text, "VmRSS:"), Some(1_234));
        assert_eq!(kilobytes(text, "Anonymous:"), None);
    }
}
