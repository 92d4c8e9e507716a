//! The TLS handshake of one connection, before its CONNECT.

use super::task::{Line, Wake, Want};
use crate::metrics::Count;
use crate::tls::count_refusal;

/// Completes the handshake, within the time that the line's timer leaves. Every failure is counted here.
pub(super) async fn secure(line: &mut Line) -> bool {
    let want = Want {
        packets: true,
        messages: false,
    };
    while line.socket.is_handshaking() {
        let failure = match line.wake(want, &mut None).await {
            Wake::Read(Ok(count)) if count > 0 => {
                line.count_in(count);
                match step(line).await {
                    Ok(()) => continue,
                    Err(error) => refused(line, &error),
                }
            }
            Wake::Writable(Ok(())) if line.socket.flush().is_ok() => continue,
            Wake::Read(_) | Wake::Writable(_) => Count::ConnectAbandoned,
            Wake::Timer => Count::ConnectTimeout,
            Wake::Mail(_) | Wake::Room(_) => return false,
        };
        line.hub.metrics.one(failure);
        tracing::debug!(peer = %line.peer, reason = failure.name(), "no tls handshake");
        return false;
    }
    line.hub.metrics.one(Count::TlsHandshakes);
    true
}

/// Looks at what has arrived, which may mean some tenths of a millisecond of cryptography.
async fn step(line: &mut Line) -> Result<(), rustls::Error> {
    let hub = std::sync::Arc::clone(&line.hub);
    // Handshakes that wait for their turn are not in the runtime's queue, so that the connections that are open do not
    // stand in line behind a reconnecting fleet. The semaphore is never closed.
    let _turn = hub.handshake_turns.acquire().await;
    line.socket.shake_hands()
}

fn refused(line: &Line, error: &rustls::Error) -> Count {
    let count = count_refusal(error);
    if let Some(unsaid) = line.hub.refused_handshakes.may_log() {
        tracing::info!(peer = %line.peer, %error, unsaid, "tls handshake refused");
    } else {
        tracing::debug!(peer = %line.peer, %error, "tls handshake refused");
    }
    count
}
