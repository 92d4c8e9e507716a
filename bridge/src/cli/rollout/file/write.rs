//! Writing the form: what `show --toml` prints, `create --from` makes again. Defaults are left out.

use super::super::words::span_text;
use crate::api::{RolloutView, rfc3339};
use rollcall_engine::{
    AbortRule, Counting, ForceDowngrade, Mechanism, OfflinePolicy, OnFailure, OnVersionMismatch,
    Percent, Phase, PhaseSize, Rate, Retry, Schedule, TargetSelection, ThresholdAction,
};
use serde::Serialize;
use std::fmt::Display;
use toml::Value;

/// The file that would create the rollout again.
pub(in crate::cli::rollout) fn write(rollout: &RolloutView) -> String {
    let mut page = Page::default();
    page.line(format_args!(
        "# Rollout {}, revision {}.",
        rollout.id, rollout.revision
    ));
    page.set("name", text(&rollout.name));
    page.set("target", target(&rollout.target));
    let images = rollout.images.iter();
    let images = images.map(|(hardware, image)| format!("{} = {}", text(hardware), text(image)));
    page.set("images", braces(images));
    page.line("");
    mechanism(&mut page, &rollout.mechanism);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl Display) {
        self.text.push_str(&format!("{line}\n"));
    }

    fn set(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    /// A key whose value is not the default.
    fn unless<T: PartialEq>(&mut self, key: &str, value: &T, default: &T, shown: impl Display) {
        if value != default {
            self.set(key, shown);
        }
    }
}

fn text(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    text(value.as_str().unwrap_or_default())
}

fn quoted_span(span: u64) -> String {
    text(&span_text(span))
}

fn braces(pairs: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// A percentage as a plain number.
fn number(percent: Percent) -> String {
    percent.to_string().trim_end_matches([' ', '%']).to_owned()
}

fn target(target: &TargetSelection) -> String {
    let pair = match target {
        TargetSelection::Group(name) => format!("group = {}", text(name.as_str())),
        TargetSelection::Selector(selector) => format!("selector = {}", text(selector.as_str())),
        TargetSelection::Hardware(id) => format!("hardware = {}", text(id.as_str())),
        TargetSelection::Release(id) => format!("release = {}", id.0),
        TargetSelection::Robots(ids) => {
            let ids: Vec<_> = ids.iter().map(|id| text(id.as_str())).collect();
            format!("robots = [{}]", ids.join(", "))
        }
    };
    braces(std::iter::once(pair))
}

fn mechanism(page: &mut Page, m: &Mechanism) {
    let default = Mechanism::default();
    page.set("max_in_progress", m.max_in_progress);
    if let Some(rate) = &m.rate {
        page.set("rate", rate_text(rate));
    }
    for (key, span, usual) in [
        (
            "request_timeout",
            m.request_timeout,
            default.request_timeout,
        ),
        (
            "in_progress_timeout",
            m.in_progress_timeout,
            default.in_progress_timeout,
        ),
        (
            "confirm_timeout",
            m.confirm_timeout,
            default.confirm_timeout,
        ),
        ("rollback_grace", m.rollback_grace, default.rollback_grace),
    ] {
        page.unless(key, &span, &usual, quoted_span(span));
    }
    let resends = m.request_resends;
    page.unless(
        "request_resends",
        &resends,
        &default.request_resends,
        resends,
    );
    page.set("deadline", quoted_span(m.deadline));
    page.unless(
        "on_failure",
        &m.on_failure,
        &OnFailure::Continue,
        word(&m.on_failure),
    );
    page.unless(
        "force_downgrade",
        &m.force_downgrade,
        &ForceDowngrade::No,
        word(&m.force_downgrade),
    );
    let mismatch = &m.on_version_mismatch;
    page.unless(
        "on_version_mismatch",
        mismatch,
        &OnVersionMismatch::Fail,
        word(mismatch),
    );
    if let OfflinePolicy::Fail { grace } = m.offline {
        page.set(
            "offline",
            format_args!("{{ fail_after = {} }}", quoted_span(grace)),
        );
    }
    page.unless("dynamic", &m.dynamic, &false, true);
    page.unless("immutable_on_create", &m.immutable_on_create, &false, true);
    if let Some(share) = m.max_failure_percentage {
        page.set("max_failure_percentage", number(share));
    }
    schedule(page, &m.schedule);
    if let Some(windows) = &m.windows {
        page.set("zone", text(windows.zone.as_str()));
        page.set("zone_label", text(&windows.zone_label));
    }
    for retry in &m.retries {
        page.set(
            &format!("retries.{}", retry.class.word()),
            retry_text(retry),
        );
    }
    for window in m.windows.iter().flat_map(|windows| &windows.windows) {
        page.line("\n[[windows]]");
        page.set("opens", text(window.opens.as_str()));
        page.set("minutes", window.minutes);
    }
    m.abort.iter().for_each(|rule| abort(page, rule));
    m.phases.iter().for_each(|it| phase(page, it));
}

fn rate_text(rate: &Rate) -> String {
    let Some(growth) = &rate.growth else {
        return rate.per_minute.to_string();
    };
    let counting = match growth.counting {
        Counting::Told => "told",
        Counting::Succeeded => "succeeded",
    };
    format!(
        "{{ per_minute = {}, growth = {{ factor = {:?}, every = {}, counting = \"{counting}\", max_per_minute = {} }} }}",
        rate.per_minute,
        f64::from(growth.factor),
        growth.every,
        growth.max_per_minute
    )
}

fn retry_text(retry: &Retry) -> String {
    if *retry == Retry::new(retry.class, retry.times) {
        return retry.times.to_string();
    }
    let spans = [
        ("backoff", retry.backoff),
        ("max_backoff", retry.max_backoff),
    ];
    let spans = spans.map(|(key, span)| format!("{key} = {}", quoted_span(span)));
    braces(std::iter::once(format!("times = {}", retry.times)).chain(spans))
}

fn schedule(page: &mut Page, schedule: &Schedule) {
    for (key, at) in [("start", schedule.start), ("end", schedule.end)] {
        if let Some(at) = at {
            page.set(&format!("schedule.{key}"), rfc3339(at));
        }
    }
}

fn abort(page: &mut Page, rule: &AbortRule) {
    page.line("\n[[abort]]");
    page.set("kind", word(&rule.kind));
    page.set("percentage", number(rule.percentage));
    page.set("min_tried", rule.min_tried);
    page.unless(
        "action",
        &rule.action,
        &ThresholdAction::Abort,
        word(&rule.action),
    );
}

fn phase(page: &mut Page, phase: &Phase) {
    page.line("\n[[phases]]");
    match &phase.size {
        PhaseSize::Percentage(share) => page.set("percentage", number(*share)),
        PhaseSize::Robots(robots) => page.set("robots", robots),
        PhaseSize::Group(name) => page.set("group", text(name.as_str())),
        PhaseSize::Rest => page.set("rest", true),
    }
    let success = phase.success_threshold;
    page.unless(
        "success_threshold",
        &success,
        &Percent::ALL,
        number(success),
    );
    page.unless("soak", &phase.soak, &0, quoted_span(phase.soak));
    page.unless("approval", &phase.approval, &false, true);
    if let Some(share) = phase.error_threshold {
        page.set("error_threshold", number(share));
    }
    page.unless(
        "on_error",
        &phase.on_error,
        &ThresholdAction::Pause,
        word(&phase.on_error),
    );
}
