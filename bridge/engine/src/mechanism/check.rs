//! Whether a mechanism makes sense: every number in its range, and everything fits together.

use super::{Defaults, Mechanism, OfflinePolicy, PhaseSize, Rate};
use crate::refusal::Refusal;
use crate::time::Millis;

impl Mechanism {
    /// Checks every number against its range, and what must fit together.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        let second = Defaults::MIN_REQUEST_TIMEOUT;
        in_range("max in progress", self.max_in_progress, 1, u32::MAX)?;
        span(
            "request timeout in milliseconds",
            self.request_timeout,
            second,
        )?;
        in_range("request resends", u32::from(self.request_resends), 0, 100)?;
        let in_progress = self.in_progress_timeout;
        span("in-progress timeout in milliseconds", in_progress, second)?;
        span(
            "confirm timeout in milliseconds",
            self.confirm_timeout,
            second,
        )?;
        span("rollback grace in milliseconds", self.rollback_grace, 0)?;
        span("deadline in milliseconds", self.deadline, second)?;
        self.rate.as_ref().map_or(Ok(()), Rate::check)?;
        self.check_retries()?;
        self.check_abort()?;
        if let OfflinePolicy::Fail { grace } = self.offline {
            span("offline grace in milliseconds", grace, 0)?;
        }
        if let Some(windows) = &self.windows {
            windows.check()?;
        }
        self.check_phases()
    }

    fn check_retries(&self) -> Result<(), Refusal> {
        for (index, retry) in self.retries.iter().enumerate() {
            if self.retries[..index].iter().any(|r| r.class == retry.class) {
                return Err(Refusal::RetriedTwice { class: retry.class });
            }
            in_range("retries", u32::from(retry.times), 1, 10)?;
            span("retry backoff in milliseconds", retry.backoff, 0)?;
            let longest = retry.max_backoff;
            span(
                "longest retry backoff in milliseconds",
                longest,
                retry.backoff,
            )?;
        }
        Ok(())
    }

    fn check_abort(&self) -> Result<(), Refusal> {
        if self.abort.len() > Defaults::MAX_ABORT_RULES {
            return Err(Refusal::TooMany {
                what: "abort rules",
                max: Defaults::MAX_ABORT_RULES,
            });
        }
        for rule in &self.abort {
            let percentage = u32::from(rule.percentage.in_hundredths());
            in_range("abort percentage in hundredths", percentage, 1, 10_000)?;
            in_range("robots that must have tried", rule.min_tried, 1, u32::MAX)?;
        }
        Ok(())
    }

    /// Percentages that do not add up are refused, and phases that leave somebody out.
    fn check_phases(&self) -> Result<(), Refusal> {
        if self.phases.len() > Defaults::MAX_PHASES {
            return Err(Refusal::TooMany {
                what: "phases",
                max: Defaults::MAX_PHASES,
            });
        }
        let Some(last) = self.phases.len().checked_sub(1) else {
            return Ok(());
        };
        let mut share = 0_u32;
        for (index, phase) in self.phases.iter().enumerate() {
            span("soak time in milliseconds", phase.soak, 0)?;
            match &phase.size {
                PhaseSize::Percentage(percent) => {
                    let hundredths = u32::from(percent.in_hundredths());
                    in_range("a phase's percentage in hundredths", hundredths, 1, 10_000)?;
                    share += hundredths;
                }
                PhaseSize::Robots(robots) => in_range("a phase's robots", *robots, 1, u32::MAX)?,
                PhaseSize::Group(_) => {}
                PhaseSize::Rest if index != last => {
                    return Err(Refusal::RestBeforeTheEnd { phase: index + 1 });
                }
                PhaseSize::Rest => {}
            }
        }
        let all_percentages =
            (self.phases.iter()).all(|phase| matches!(phase.size, PhaseSize::Percentage(_)));
        let covers =
            self.phases[last].size == PhaseSize::Rest || (all_percentages && share == 10_000);
        if share > 10_000 || !covers {
            return Err(Refusal::PhasesDoNotAddUp { hundredths: share });
        }
        let nothing_after = |what| Err(Refusal::NothingAfterTheLastPhase { what });
        match &self.phases[last] {
            phase if phase.approval => nothing_after("an approval"),
            phase if phase.soak > 0 => nothing_after("a soak time"),
            _ => Ok(()),
        }?;
        Ok(())
    }
}

impl Rate {
    fn check(&self) -> Result<(), Refusal> {
        in_range("rate per minute", self.per_minute, 1, Defaults::MAX_RATE)?;
        let Some(growth) = &self.growth else {
            return Ok(());
        };
        in_range(
            "growth factor in tenths",
            u32::from(growth.factor.0),
            11,
            50,
        )?;
        in_range("robots until the rate grows", growth.every, 1, u32::MAX)?;
        let most = growth.max_per_minute;
        in_range(
            "greatest rate per minute",
            most,
            self.per_minute,
            Defaults::MAX_RATE,
        )
    }
}

fn span(what: &'static str, found: Millis, min: Millis) -> Result<(), Refusal> {
    in_range(what, found, min, Defaults::MAX_SPAN)
}

fn in_range<N: Into<u64>>(what: &'static str, found: N, min: N, max: N) -> Result<(), Refusal> {
    let (found, min, max) = (found.into(), min.into(), max.into());
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(Refusal::OutOfRange {
            what,
            min,
            max,
            found,
        })
    }
}
