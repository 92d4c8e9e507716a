//! The keys of a rollout's mechanism.

use super::super::words::CLASSES;
use super::source::{Entry, Section};
use crate::cli::exit::Failure;
use rollcall_engine::{
    AbortRule, Counting, Cron, Defaults, Factor, FailureClass, FailureKind, ForceDowngrade,
    GroupName, Growth, MAX_WINDOW_MINUTES, Mechanism, Millis, OfflinePolicy, OnFailure,
    OnVersionMismatch, Phase, PhaseSize, Rate, Refusal, Retry, Schedule, ThresholdAction, TimeZone,
    Window, Windows,
};

const SECOND: Millis = Defaults::MIN_REQUEST_TIMEOUT;
const MAX_U32: u64 = u32::MAX as u64;
const ACTIONS: [(&str, ThresholdAction); 2] = [
    ("abort", ThresholdAction::Abort),
    ("pause", ThresholdAction::Pause),
];
const KINDS: [(&str, FailureKind); 5] = [
    ("all", FailureKind::All),
    ("failed", FailureKind::Failed),
    ("rejected", FailureKind::Rejected),
    ("timed_out", FailureKind::TimedOut),
    ("rolled_back", FailureKind::RolledBack),
];

/// Takes all of the mechanism's keys.
pub(super) fn read(top: &mut Section<'_>) -> Result<Mechanism, Failure> {
    let mut mechanism = Mechanism::default();
    pace(top, &mut mechanism)?;
    waits(top, &mut mechanism)?;
    policies(top, &mut mechanism)?;
    if let Some(retries) = top.take("retries") {
        mechanism.retries = read_retries(&retries)?;
    }
    if let Some(share) = top.take("max_failure_percentage") {
        mechanism.max_failure_percentage = Some(share.percent()?);
    }
    if let Some(rules) = top.take("abort") {
        mechanism.abort = abort(&rules)?;
    }
    let phases = top.take("phases");
    if let Some(phases) = &phases {
        mechanism.phases = read_phases(phases)?;
    }
    if let Some(schedule) = top.take("schedule") {
        mechanism.schedule = read_schedule(&schedule)?;
    }
    let windows = top.take("windows");
    mechanism.windows = read_windows(top, windows.as_ref())?;
    // What the keys say together. Each by itself was looked at above.
    mechanism
        .check()
        .map_err(|refusal| match (&refusal, &phases) {
            (Refusal::PhasesDoNotAddUp { .. } | Refusal::RestBeforeTheEnd { .. }, Some(phases)) => {
                phases.wrong(&refusal)
            }
            _ => top.wrong(&refusal),
        })?;
    Ok(mechanism)
}

fn pace(top: &mut Section<'_>, mechanism: &mut Mechanism) -> Result<(), Failure> {
    if let Some(cap) = top.take("max_in_progress") {
        mechanism.max_in_progress = cap.whole(1, MAX_U32)?;
    }
    if let Some(rate) = top.take("rate") {
        mechanism.rate = Some(read_rate(&rate)?);
    }
    Ok(())
}

fn waits(top: &mut Section<'_>, mechanism: &mut Mechanism) -> Result<(), Failure> {
    let Mechanism {
        request_timeout,
        in_progress_timeout,
        confirm_timeout,
        rollback_grace,
        deadline,
        ..
    } = mechanism;
    for (key, span, min) in [
        ("request_timeout", request_timeout, SECOND),
        ("in_progress_timeout", in_progress_timeout, SECOND),
        ("confirm_timeout", confirm_timeout, SECOND),
        ("rollback_grace", rollback_grace, 0),
        ("deadline", deadline, SECOND),
    ] {
        if let Some(entry) = top.take(key) {
            *span = entry.span(min)?;
        }
    }
    if let Some(resends) = top.take("request_resends") {
        mechanism.request_resends = resends.whole(0, 100)?;
    }
    Ok(())
}

fn policies(top: &mut Section<'_>, mechanism: &mut Mechanism) -> Result<(), Failure> {
    if let Some(entry) = top.take("on_failure") {
        let words = [("continue", OnFailure::Continue), ("stop", OnFailure::Stop)];
        mechanism.on_failure = entry.word(&words)?;
    }
    if let Some(entry) = top.take("force_downgrade") {
        mechanism.force_downgrade = entry.word(&[
            ("no", ForceDowngrade::No),
            ("all", ForceDowngrade::All),
            ("within_requirement", ForceDowngrade::WithinRequirement),
        ])?;
    }
    if let Some(entry) = top.take("on_version_mismatch") {
        let words = [
            ("fail", OnVersionMismatch::Fail),
            ("skip", OnVersionMismatch::Skip),
        ];
        mechanism.on_version_mismatch = entry.word(&words)?;
    }
    if let Some(entry) = top.take("offline") {
        mechanism.offline = offline(&entry)?;
    }
    for (key, value) in [
        ("dynamic", &mut mechanism.dynamic),
        ("immutable_on_create", &mut mechanism.immutable_on_create),
    ] {
        if let Some(entry) = top.take(key) {
            *value = entry.yes_or_no()?;
        }
    }
    Ok(())
}

fn offline(entry: &Entry<'_>) -> Result<OfflinePolicy, Failure> {
    let such_as = "write \"wait\", or { fail_after = \"10m\" }";
    if entry.text() == Some("wait") {
        return Ok(OfflinePolicy::Wait);
    }
    let mut section = entry.section("`offline`", such_as)?;
    let grace = section
        .need("fail_after", "fail_after = \"10m\"")?
        .span(0)?;
    section.end()?;
    Ok(OfflinePolicy::Fail { grace })
}

fn read_rate(entry: &Entry<'_>) -> Result<Rate, Failure> {
    let most = u64::from(Defaults::MAX_RATE);
    if !entry.is_table() {
        let per_minute = entry.whole(1, most)?;
        return Ok(Rate {
            per_minute,
            growth: None,
        });
    }
    let mut section = entry.section("`rate`", "")?;
    let per_minute = section
        .need("per_minute", "per_minute = 10")?
        .whole(1, most)?;
    let growth = section.take("growth");
    let growth = growth
        .map(|growth| read_growth(&growth, per_minute))
        .transpose()?;
    section.end()?;
    Ok(Rate { per_minute, growth })
}

fn read_growth(entry: &Entry<'_>, per_minute: u32) -> Result<Growth, Failure> {
    let such_as = "{ factor = 1.5, every = 20, counting = \"succeeded\", max_per_minute = 1000 }";
    let mut section = entry.section("`growth`", &format!("write {such_as}"))?;
    let factor = section.need("factor", "factor = 1.5")?;
    let read = factor
        .number()
        .and_then(|number| number.parse::<f64>().ok());
    let read = read.and_then(|number| Factor::try_from(number).ok());
    let read = read.filter(|factor| (11..=50).contains(&factor.in_tenths()));
    let growth = Growth {
        factor: read.ok_or_else(|| factor.bad("write a number from 1.1 to 5 with one decimal"))?,
        every: section.need("every", "every = 20")?.whole(1, MAX_U32)?,
        counting: section
            .need("counting", "counting = \"succeeded\"")?
            .word(&[("succeeded", Counting::Succeeded), ("told", Counting::Told)])?,
        max_per_minute: section
            .need("max_per_minute", "max_per_minute = 1000")?
            .whole(u64::from(per_minute), u64::from(Defaults::MAX_RATE))?,
    };
    section.end()?;
    Ok(growth)
}

fn read_retries(entry: &Entry<'_>) -> Result<Vec<Retry>, Failure> {
    let mut section = entry.section("`retries`", "write { network = 3 }")?;
    let mut retries = Vec::new();
    for class in CLASSES {
        if let Some(entry) = section.take(class.word()) {
            retries.push(read_retry(class, &entry)?);
        }
    }
    section.end()?;
    Ok(retries)
}

fn read_retry(class: FailureClass, entry: &Entry<'_>) -> Result<Retry, Failure> {
    let mut retry = Retry::new(class, 1);
    if !entry.is_table() {
        retry.times = entry.whole(1, 10)?;
        return Ok(retry);
    }
    let mut section = entry.section(&format!("retry `{}`", class.word()), "")?;
    retry.times = section.need("times", "times = 3")?.whole(1, 10)?;
    if let Some(backoff) = section.take("backoff") {
        retry.backoff = backoff.span(0)?;
        retry.max_backoff = retry.max_backoff.max(retry.backoff);
    }
    if let Some(longest) = section.take("max_backoff") {
        retry.max_backoff = longest.span(retry.backoff)?;
    }
    section.end()?;
    Ok(retry)
}

fn abort(entry: &Entry<'_>) -> Result<Vec<AbortRule>, Failure> {
    let rules = entry.list("abort rule", "write [[abort]] for each rule")?;
    if rules.len() > Defaults::MAX_ABORT_RULES {
        return Err(entry.wrong(format_args!(
            "at most {} abort rules are possible",
            Defaults::MAX_ABORT_RULES
        )));
    }
    rules.iter().map(abort_rule).collect()
}

fn abort_rule(entry: &Entry<'_>) -> Result<AbortRule, Failure> {
    let mut section = entry.section(&entry.name, "write [[abort]] and below it its keys")?;
    let percentage = section.need("percentage", "percentage = 10")?;
    let share = percentage.percent()?;
    if share.in_hundredths() == 0 {
        return Err(percentage.bad("write a percentage above 0, up to 100"));
    }
    let rule = AbortRule {
        kind: section
            .need("kind", "kind = \"rolled_back\"")?
            .word(&KINDS)?,
        percentage: share,
        min_tried: section
            .need("min_tried", "min_tried = 20")?
            .whole(1, MAX_U32)?,
        action: action(&mut section, "action", ThresholdAction::Abort)?,
    };
    section.end()?;
    Ok(rule)
}

fn action(
    section: &mut Section<'_>,
    key: &'static str,
    default: ThresholdAction,
) -> Result<ThresholdAction, Failure> {
    let action = section.take(key);
    action.map_or(Ok(default), |action| action.word(&ACTIONS))
}

fn read_phases(entry: &Entry<'_>) -> Result<Vec<Phase>, Failure> {
    let phases = entry.list("phase", "write [[phases]] for each phase")?;
    if phases.len() > Defaults::MAX_PHASES {
        return Err(entry.wrong(format_args!(
            "at most {} phases are possible",
            Defaults::MAX_PHASES
        )));
    }
    phases.iter().map(phase).collect()
}

fn phase(entry: &Entry<'_>) -> Result<Phase, Failure> {
    let mut section = entry.section(&entry.name, "write [[phases]] and below it its keys")?;
    let mut phase = Phase::new(size(entry, &mut section)?);
    if let Some(share) = section.take("success_threshold") {
        phase.success_threshold = share.percent()?;
    }
    if let Some(soak) = section.take("soak") {
        phase.soak = soak.span(0)?;
    }
    if let Some(approval) = section.take("approval") {
        phase.approval = approval.yes_or_no()?;
    }
    if let Some(share) = section.take("error_threshold") {
        phase.error_threshold = Some(share.percent()?);
    }
    phase.on_error = action(&mut section, "on_error", ThresholdAction::Pause)?;
    section.end()?;
    Ok(phase)
}

fn size(entry: &Entry<'_>, section: &mut Section<'_>) -> Result<PhaseSize, Failure> {
    let mut sizes = Vec::new();
    if let Some(percentage) = section.take("percentage") {
        let share = percentage.percent()?;
        if share.in_hundredths() == 0 {
            return Err(percentage.bad("write a percentage above 0, up to 100"));
        }
        sizes.push(PhaseSize::Percentage(share));
    }
    if let Some(robots) = section.take("robots") {
        sizes.push(PhaseSize::Robots(robots.whole(1, MAX_U32)?));
    }
    if let Some(group) = section.take("group") {
        sizes.push(PhaseSize::Group(
            group.read(GroupName::new, "write a group's name in quotes")?,
        ));
    }
    if let Some(rest) = section.take("rest") {
        if !rest.yes_or_no()? {
            return Err(rest.bad("write rest = true, or leave it out"));
        }
        sizes.push(PhaseSize::Rest);
    }
    match sizes.pop() {
        Some(size) if sizes.is_empty() => Ok(size),
        _ => Err(entry.wrong(format_args!(
            "{} needs one size; write percentage = 10, robots = 5, group = \"NAME\" or rest = true",
            entry.name
        ))),
    }
}

fn read_schedule(entry: &Entry<'_>) -> Result<Schedule, Failure> {
    let mut section = entry.section("`schedule`", "write { start = 2026-11-28T22:00:00+01:00 }")?;
    let start = section.take("start");
    let start = start.map(|start| start.moment()).transpose()?;
    let end = section.take("end");
    let end_at = end.as_ref().map(Entry::moment).transpose()?;
    if let (Some(start), Some(end_at), Some(end)) = (start, end_at, &end)
        && end_at <= start
    {
        return Err(end.bad("write a time after the start"));
    }
    section.end()?;
    Ok(Schedule { start, end: end_at })
}

/// `zone` and `zone_label` stand beside the windows, not in each.
fn read_windows(
    top: &mut Section<'_>,
    entry: Option<&Entry<'_>>,
) -> Result<Option<Windows>, Failure> {
    let (zone, zone_label) = (top.take("zone"), top.take("zone_label"));
    let Some(entry) = entry else {
        return match zone.or(zone_label) {
            Some(alone) => {
                Err(alone.bad("there are no windows; write [[windows]] and below it their keys"))
            }
            None => Ok(None),
        };
    };
    let list = entry.list("window", "write [[windows]] for each window")?;
    let mut windows = Windows {
        windows: list.iter().map(window).collect::<Result<_, _>>()?,
        zone: TimeZone::default(),
        zone_label: "timezone".to_owned(),
    };
    if let Some(zone) = zone {
        windows.zone = zone.parse("write a time zone such as \"Europe/Berlin\"")?;
    }
    if let Some(label) = zone_label {
        let such_as = "write the key of a label, such as \"timezone\"";
        label
            .text()
            .ok_or_else(|| label.bad(such_as))?
            .clone_into(&mut windows.zone_label);
    }
    windows.check().map_err(|error| entry.wrong(error))?;
    Ok(Some(windows))
}

fn window(entry: &Entry<'_>) -> Result<Window, Failure> {
    let mut section = entry.section(&entry.name, "write [[windows]] and below it its keys")?;
    let opens = section.need("opens", "opens = \"0 0 * * *\"")?;
    let such_as = "write a cron expression in quotes, such as \"0 0 * * *\"";
    let text = opens.text().ok_or_else(|| opens.bad(such_as))?;
    let window = Window {
        // In one line: the place in the file is shown already.
        opens: Cron::try_from(text.to_owned()).map_err(|error| opens.bad(error))?,
        minutes: section
            .need("minutes", "minutes = 240")?
            .whole(1, u64::from(MAX_WINDOW_MINUTES))?,
    };
    section.end()?;
    Ok(window)
}
