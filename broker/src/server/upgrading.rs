//! The request for WebSocket of one connection, before its CONNECT.

use super::opening::more;
use super::task::{Line, Want};
use crate::metrics::Count;

/// Answers the request, within the time that the line's timer leaves. Every failure is counted here.
pub(super) async fn upgrade(line: &mut Line) -> bool {
    let want = Want {
        packets: true,
        messages: false,
    };
    loop {
        let failure = match line.socket.upgrade() {
            Ok(true) => break,
            Err(failure) => failure,
            Ok(false) => match more(line, want).await {
                Ok(()) => continue,
                Err(Some(failure)) => failure,
                Err(None) => return false,
            },
        };
        line.hub.metrics.one(failure);
        let reason = failure.name();
        if let Some(unsaid) = line.hub.refused_handshakes.may_log() {
            tracing::info!(peer = %line.peer, reason, unsaid, "websocket refused");
        } else {
            tracing::debug!(peer = %line.peer, reason, "websocket refused");
        }
        return false;
    }
    line.hub.metrics.one(Count::WebSocketsOpened);
    true
}

#[cfg(test)]
mod tests {
    use super::super::hub::Hub;
    use super::super::opening::receive_connect;
    use super::super::pipe::Pipe;
    use super::super::socket::Socket;
    use super::super::wire::Stream;
    use super::*;
    use crate::access::{
        Access, ConnectRefusal, ConnectRequest, Principal, PublishAccess, SubscribeAccess,
    };
    use crate::codec::QoS;
    use crate::config::{Config, Limits};
    use crate::websocket::Frames;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    /// Nobody gets as far as being asked about.
    #[derive(Debug)]
    struct Unasked;

    impl Access for Unasked {
        fn authenticate(&self, _: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
            unreachable!()
        }
        fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
            unreachable!()
        }
        fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
            unreachable!()
        }
    }

    const REQUEST: &[u8] =
        b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    /// Pings are answered before CONNECT already, when nobody has shown who he is.
    #[tokio::test]
    async fn pongs_that_nobody_reads_do_not_pile_up() {
        let limits = Limits {
            connect_timeout: Duration::from_secs(3_600),
            send_buffer: 4_096,
            ..Limits::default()
        };
        let (events, _heard) = tokio::sync::mpsc::channel(1);
        let hub = Arc::new(Hub::new(Config { limits }, Arc::new(Unasked), events, None));
        let (ours, mut theirs) = Pipe::pair();
        let socket = Socket::new(Stream::Pipe(ours), None, Some(Box::<Frames>::default()));
        let mut line = Line::new(&hub, socket, ([127, 0, 0, 1], 0).into());
        let served = tokio::spawn(async move {
            let connect = receive_connect(&mut line).await;
            (connect.is_some(), line.socket.backlog())
        });
        theirs.try_write(REQUEST).unwrap();
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[7; 125]].concat();
        let mut sent = 0;
        // As long as they are read, one at a time.
        while theirs
            .try_write(&ping)
            .is_ok_and(|count| count == ping.len())
        {
            sent += ping.len();
            assert!(
                sent < 1 << 20,
                "pings are read whatever becomes of their answers"
            );
            tokio::task::yield_now().await;
        }
        assert!(sent > 128 * 1024, "they are answered at first");
        // Once the answers are read the client is heard again, until its end.
        let mut answers = vec![0; 1 << 20];
        let mut read = 0;
        while read < 65 * 1024 {
            read += theirs.read(&mut answers).await.unwrap();
        }
        drop(theirs);
        assert!(!served.await.unwrap().0);
        assert_eq!(hub.metrics.get(Count::ConnectAbandoned), 1);
    }
}
