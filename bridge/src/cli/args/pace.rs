//! Flags for how a rollout goes: what most rollouts need of `docs/rollouts.md`. Files can say more.

use crate::cli::rollout::words;
use clap::Args;
use rollcall_engine::{
    Defaults, FailureClass, ForceDowngrade, GroupName, MAX_WINDOW_MINUTES, Millis, OfflinePolicy,
    Percent, Phase, PhaseSize, Rate, Retry, TimeZone, Timestamp, Window,
};

/// The flags below by their ids.
pub(super) const PACE: [&str; 13] = [
    "max_in_progress",
    "rate",
    "max_failures",
    "retry",
    "offline",
    "phase",
    "start",
    "end",
    "deadline",
    "dynamic",
    "window",
    "zone",
    "force_downgrade",
];

/// In milliseconds.
const MINUTE: Millis = 60_000;

/// A value, or `none` to have none.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Setting<T>(pub(in crate::cli) Option<T>);

#[derive(Debug, Args)]
pub(in crate::cli) struct PaceArgs {
    /// Robots with an operation under way at one time [default: 100].
    #[arg(long, value_name = "N")]
    pub(in crate::cli) max_in_progress: Option<u32>,

    /// Robots that are told for the first time, per minute, or `none` for as many as the cap allows.
    #[arg(long, value_name = "N[/min]", value_parser = |text: &str| setting(text, rate))]
    pub(in crate::cli) rate: Option<Setting<Rate>>,

    /// The share of the robots that may fail, in percent, or `none`; one more ends the rollout as a failure.
    #[arg(long, value_name = "PERCENT", value_parser = |text: &str| setting(text, percent))]
    pub(in crate::cli) max_failures: Option<Setting<Percent>>,

    /// Try failures of a class (network, storage, busy, verify, timeout) again so often, or `none`.
    #[arg(long, num_args = 1.., value_name = "CLASS=TIMES", value_parser = |text: &str| setting(text, retry))]
    pub(in crate::cli) retry: Vec<Setting<Retry>>,

    /// What becomes of robots that are offline: `wait`, or `fail:10m` after so long.
    #[arg(long, value_name = "POLICY", value_parser = offline)]
    pub(in crate::cli) offline: Option<OfflinePolicy>,

    /// A phase: 10% of the robots, 5 robots, group:NAME, or `rest`; all of one must succeed before the next. Or `none`.
    #[arg(long, num_args = 1.., value_name = "SIZE", value_parser = |text: &str| setting(text, phase))]
    pub(in crate::cli) phase: Vec<Setting<Phase>>,

    /// It launches by itself then, such as 2026-11-28T22:00:00+01:00, or `none`.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| setting(text, words::moment))]
    pub(in crate::cli) start: Option<Setting<Timestamp>>,

    /// It ends by itself then at the latest, or `none`.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| setting(text, words::moment))]
    pub(in crate::cli) end: Option<Setting<Timestamp>>,

    /// How long it may take from its launch [default: 30d].
    #[arg(long, value_name = "SPAN", value_parser = |text: &str| words::span(text, Defaults::MIN_REQUEST_TIMEOUT))]
    pub(in crate::cli) deadline: Option<Millis>,

    /// Take in robots that come to belong to the target after the launch.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(in crate::cli) dynamic: Option<bool>,

    /// A maintenance window: when it opens, and for how long, such as '0 0 * * *=4h'; docs/windows.md. Or `none`.
    #[arg(long, num_args = 1.., value_name = "CRON=SPAN", value_parser = |text: &str| setting(text, window))]
    pub(in crate::cli) window: Vec<Setting<Window>>,

    /// The time zone of robots that have no label with their own, such as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE")]
    pub(in crate::cli) zone: Option<TimeZone>,

    /// Send images that are older than what runs too: `all` rules for versions are off, or `within-requirement` the order only.
    #[arg(long, value_name = "SCOPE", num_args = 0..=1, default_missing_value = "all", value_parser = force_downgrade)]
    pub(in crate::cli) force_downgrade: Option<ForceDowngrade>,
}

fn setting<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Setting<T>, String> {
    match text {
        "none" => Ok(Setting(None)),
        _ => read(text).map(|value| Setting(Some(value))),
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    let number = text.strip_suffix("/min").unwrap_or(text);
    let most = Defaults::MAX_RATE;
    let number = number
        .parse()
        .ok()
        .filter(|number| (1..=most).contains(number));
    let per_minute =
        number.ok_or_else(|| format!("write robots per minute, 1 to {most}, or none"))?;
    Ok(Rate {
        per_minute,
        growth: None,
    })
}

fn percent(text: &str) -> Result<Percent, String> {
    text.parse()
        .map_err(|error: rollcall_engine::PercentError| error.to_string())
}

fn retry(text: &str) -> Result<Retry, String> {
    let wrong = || "write CLASS=TIMES, such as network=3, with 1 to 10 times".to_owned();
    let (class, times) = text.split_once('=').ok_or_else(wrong)?;
    let times = times.parse().ok().filter(|times| (1..=10).contains(times));
    let class = words::CLASSES
        .into_iter()
        .find(|known| known.word() == class);
    let class = class.ok_or_else(|| {
        let known: Vec<_> = words::CLASSES
            .iter()
            .map(|class: &FailureClass| class.word())
            .collect();
        format!("the classes are {}", known.join(", "))
    })?;
    Ok(Retry::new(class, times.ok_or_else(wrong)?))
}

fn window(text: &str) -> Result<Window, String> {
    let wrong = "write CRON=SPAN, such as '0 0 * * *=4h'";
    let (opens, span) = text.rsplit_once('=').ok_or(wrong)?;
    let opens = opens
        .parse()
        .map_err(|error: rollcall_engine::SyntaxError| error.to_string())?;
    let minutes = words::span(span, MINUTE)? / MINUTE;
    let minutes = u16::try_from(minutes)
        .ok()
        .filter(|minutes| *minutes <= MAX_WINDOW_MINUTES);
    Ok(Window {
        opens,
        minutes: minutes
            .ok_or_else(|| format!("a window is open for 1 to {MAX_WINDOW_MINUTES} minutes"))?,
    })
}

pub(super) fn offline(text: &str) -> Result<OfflinePolicy, String> {
    match text.split_once(':') {
        None if text == "wait" => Ok(OfflinePolicy::Wait),
        Some(("fail", grace)) => Ok(OfflinePolicy::Fail {
            grace: words::span(grace, 0)?,
        }),
        _ => Err("write wait, or fail:SPAN such as fail:10m".to_owned()),
    }
}

fn phase(text: &str) -> Result<Phase, String> {
    let size = match text.split_once(':') {
        Some(("group", name)) => {
            PhaseSize::Group(GroupName::new(name).map_err(|error| error.to_string())?)
        }
        None if text == "rest" => PhaseSize::Rest,
        None if text.ends_with('%') => PhaseSize::Percentage(percent(text)?),
        None => PhaseSize::Robots(text.parse().map_err(|_| phase_form())?),
        Some(_) => return Err(phase_form()),
    };
    Ok(Phase::new(size))
}

fn phase_form() -> String {
    "write 10%, 5, group:NAME or rest".to_owned()
}

fn force_downgrade(text: &str) -> Result<ForceDowngrade, String> {
    match text {
        "no" => Ok(ForceDowngrade::No),
        "all" => Ok(ForceDowngrade::All),
        "within-requirement" => Ok(ForceDowngrade::WithinRequirement),
        _ => Err(format!(
            "{text:?} is no scope; use all, within-requirement or no"
        )),
    }
}
