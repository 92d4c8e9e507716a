//! The end of a connection, in the order that others rely on: goodbye, event, session given back.

use super::serving::{Served, write};
use super::task::{Line, with_output};
use crate::codec::ReasonCode;
use crate::connection::Close;
use crate::event::{DisconnectReason, Event};
use crate::metrics::Count;
use std::sync::Arc;

/// Ends a connection; whether its socket should linger.
pub(super) async fn finish(line: &mut Line, mut served: Served, close: Close) -> bool {
    let hub = Arc::clone(&line.hub);
    line.set_timer(None);
    with_output(|out| {
        let _connection = served.span(line);
        served.connection.farewell(&close, out);
        // Best effort: the connection ends either way.
        let _ = write(line, out);
    });
    served.count(line);
    count_end(line, &close);
    tracing::debug!(
        client_id = %served.principal.client_id,
        peer = %line.peer,
        reason = %close.reason,
        why = %close.why,
        "connection ended"
    );
    for event in &served.unreported {
        if let Event::Publish { ticket, .. } = event {
            served.connection.publish_lost(ticket.sequence);
        }
    }
    served.room = None;
    if served.principal.tag != 0 {
        let event = Event::Disconnected {
            connection: line.mailbox.id(),
            tag: served.principal.tag,
            reason: close.reason,
        };
        // A dropped receiver has chosen not to hear.
        let _ = hub.events.send(event).await;
    }
    let will = served
        .will
        .filter(|_| close.reason != DisconnectReason::ByClient);
    hub.close(
        served.key,
        &line.mailbox,
        served.connection,
        served.keep,
        will,
        served.retained,
    );
    drop(served.place);
    hub.metrics.one(Count::ConnectionsClosed);
    close.is_told()
}

fn count_end(line: &Line, close: &Close) {
    let count = match close.reason {
        DisconnectReason::ByClient | DisconnectReason::ByClientWithWill => return,
        DisconnectReason::ConnectionLost => Count::ConnectionLost,
        DisconnectReason::KeepAliveTimeout => Count::KeepAliveTimeout,
        DisconnectReason::TakenOver => Count::TakenOver,
        DisconnectReason::ProtocolViolation(code) => match code {
            ReasonCode::PacketTooLarge => Count::PacketTooLarge,
            ReasonCode::MalformedPacket => Count::MalformedPacket,
            ReasonCode::ReceiveMaximumExceeded => Count::ReceiveMaximumExceeded,
            _ => Count::ProtocolError,
        },
        // Counted where the publish was denied.
        DisconnectReason::NotAuthorized => return,
        DisconnectReason::QueueFull => Count::QueueFull,
        DisconnectReason::ByServer(_) | DisconnectReason::ServerShutdown => Count::ClosedByServer,
    };
    line.hub.metrics.one(count);
}
