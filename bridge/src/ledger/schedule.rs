//! When a ledger is read again.

use std::time::Duration;

/// After the first failure; twice as long after each further one, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(30);

/// From one reading to the next, after so many failures in a row.
pub(super) fn pause(every: Duration, failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return every;
    };
    let factor = 1_u32.checked_shl(doublings).filter(|_| doublings < 31);
    let pause = factor.and_then(|factor| FIRST_RETRY.checked_mul(factor));
    pause.unwrap_or(every).min(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_fails_is_asked_again_soon_and_then_ever_later_but_not_later_than_otherwise() {
        let every = Duration::from_secs(3_600);
        let seconds = |failures| pause(every, failures).as_secs();
        let found: Vec<_> = (0..10).map(seconds).collect();
        assert_eq!(
            found,
            [3_600, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
        );
        assert_eq!(seconds(u32::MAX), 3_600);
        assert_eq!(pause(Duration::from_secs(60), 3).as_secs(), 60);
    }
}
