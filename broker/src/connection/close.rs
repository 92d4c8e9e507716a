//! Why a connection ends, and what the client is told.

use crate::access::Why;
use crate::codec::{
    DecodeError, Disconnect, Packet, Properties, PropertyId, ProtocolVersion, ReasonCode,
};
use crate::event::DisconnectReason;

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) reason: DisconnectReason,
    /// Sent in DISCONNECT on MQTT 5, if the server is the one that ends it.
    pub(crate) code: ReasonCode,
    pub(crate) why: Why,
}

impl Close {
    pub(crate) fn violation(code: ReasonCode, why: impl Into<Why>) -> Self {
        Self {
            reason: DisconnectReason::ProtocolViolation(code),
            code,
            why: why.into(),
        }
    }

    pub(crate) fn denied(why: impl Into<Why>) -> Self {
        Self {
            reason: DisconnectReason::NotAuthorized,
            code: ReasonCode::NotAuthorized,
            why: why.into(),
        }
    }

    pub(crate) fn by_server(code: ReasonCode, why: impl Into<Why>) -> Self {
        Self {
            reason: DisconnectReason::ByServer(code),
            code,
            why: why.into(),
        }
    }

    /// Ends for which reason and code say everything.
    pub(crate) fn because(reason: DisconnectReason) -> Self {
        let code = match reason {
            DisconnectReason::ByClient
            | DisconnectReason::ByClientWithWill
            | DisconnectReason::ConnectionLost => ReasonCode::Success,
            DisconnectReason::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
            DisconnectReason::TakenOver => ReasonCode::SessionTakenOver,
            DisconnectReason::ProtocolViolation(code) | DisconnectReason::ByServer(code) => code,
            DisconnectReason::NotAuthorized => ReasonCode::NotAuthorized,
            DisconnectReason::QueueFull => ReasonCode::QuotaExceeded,
            DisconnectReason::ServerShutdown => ReasonCode::ServerShuttingDown,
        };
        Self {
            reason,
            code,
            why: Why::Borrowed(""),
        }
    }

    /// Whether the client should be told; it is not there, or ended the connection itself, otherwise.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(
            self.reason,
            DisconnectReason::ByClient
                | DisconnectReason::ByClientWithWill
                | DisconnectReason::ConnectionLost
        )
    }

    /// Writes DISCONNECT where the version has one from the server.
    pub(crate) fn farewell(&self, version: ProtocolVersion, max_packet: usize, out: &mut Vec<u8>) {
        if !version.is_v5() || !self.is_told() {
            return;
        }
        let mut code = self.code;
        if !code.allowed_in(crate::codec::PacketType::Disconnect) {
            code = ReasonCode::UnspecifiedError;
        }
        let start = out.len();
        let packet = |properties| Packet::Disconnect(Disconnect { code, properties });
        let with_reason = reason_string(&self.why).and_then(|properties| {
            packet(properties).encode(version, out).ok()?;
            (out.len() - start <= max_packet).then_some(())
        });
        if with_reason.is_none() {
            out.truncate(start);
            if packet(Properties::none()).encode(version, out).is_err() {
                out.truncate(start);
            }
        }
    }
}

impl From<DecodeError> for Close {
    fn from(error: DecodeError) -> Self {
        Self::violation(error.reason_code(), error.to_string())
    }
}

/// The longest reason string sent, bytes: enough for any of ours, small enough for any client.
const REASON_STRING_MAX: usize = 256;

/// Properties with a reason string, if there is one to send.
pub(crate) fn reason_string(why: &str) -> Option<Properties> {
    if why.is_empty() || why.contains('\0') {
        return None;
    }
    let mut end = why.len().min(REASON_STRING_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    Properties::builder()
        .text(PropertyId::ReasonString, &why[..end])
        .build()
        .ok()
}
