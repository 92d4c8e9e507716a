//! Open files: a robot's connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the robots' connections to brokers and pairing: downloads, old connections that are still closing, standard
/// streams, the runtime's own.
const OTHERS: u64 = 256;

/// The system does not allow as many open files as the fleet needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{robots} robots need {needed} open files, but the hard limit is {hard}: \
     raise it (ulimit -Hn), or run fewer robots, or spread them over several processes"
)]
pub struct LimitError {
    /// Size of the fleet.
    pub robots: usize,
    /// What it needs.
    pub needed: u64,
    /// What is allowed.
    pub hard: u64,
}

/// Raises the soft limit as far as the fleet needs, of which so many robots pair at once.
pub(crate) fn raise_open_files(robots: usize, pairing: u16) -> Result<(), LimitError> {
    let needed = robots as u64 + u64::from(pairing) + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    // `None` means unlimited.
    let (soft, hard) = (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    );
    if soft >= needed {
        return Ok(());
    }
    let refused = LimitError {
        robots,
        needed,
        hard,
    };
    if hard < needed {
        return Err(refused);
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_fleet_is_refused_in_so_many_words() {
        let Some(hard) = getrlimit(Resource::Nofile).maximum else {
            return;
        };
        let robots = usize::try_from(hard).unwrap();
        let error = raise_open_files(robots, 7).unwrap_err();
        assert_eq!((error.needed, error.hard), (hard + 7 + OTHERS, hard));
        assert!(error.to_string().contains("the hard limit is"));
    }
}
