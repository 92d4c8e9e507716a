//! Whoever has not said a whole CONNECT may not stay.

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Fault, ensure};
use crate::abuse::peer::{Peer, is_gone_by};

/// A connection that ought to be ended.
pub(super) trait Ends {
    /// Whether the server ends it by then.
    fn is_gone_by(&mut self, deadline: Instant) -> impl Future<Output = bool> + Send;
}

impl Ends for TcpStream {
    fn is_gone_by(&mut self, deadline: Instant) -> impl Future<Output = bool> + Send {
        is_gone_by(self, deadline)
    }
}

impl Ends for Peer {
    fn is_gone_by(&mut self, deadline: Instant) -> impl Future<Output = bool> + Send {
        Self::is_gone_by(self, deadline)
    }
}

/// Waits until the server has ended all of these, at most as long as patience lasts.
pub(super) async fn wait_until_gone(
    arena: &Arena,
    held: Vec<impl Ends>,
    who: &str,
) -> Result<(), Fault> {
    let patience = arena.target.patience;
    let deadline = Instant::now() + patience;
    let mut left = 0;
    for mut connection in held {
        left += usize::from(!connection.is_gone_by(deadline).await);
    }
    ensure(left == 0, || {
        format!("{left} connections are still open after {patience:.0?} of which each {who}")
    })
}

/// The same where attacks wait; how many are gone, and words for when it was not waited for.
pub(super) async fn all_gone(
    arena: &Arena,
    held: Vec<impl Ends>,
    who: &str,
) -> Result<(usize, &'static str), Fault> {
    if held.is_empty() {
        return Ok((0, ""));
    }
    if !arena.effort.waits {
        return Ok((0, " (not judged in short)"));
    }
    let count = held.len();
    wait_until_gone(arena, held, who).await?;
    Ok((count, ""))
}
