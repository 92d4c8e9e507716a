//! The time, as timers have it: where tests hold tokio's clock and let it go on, they hold and move this one.

use std::time::Instant;

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
