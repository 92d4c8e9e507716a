//! CONNECT and CONNACK: what both sides agree on.

use super::aliases::ASSIGNED_MAX;
use super::close::reason_string;
use crate::access::{ConnectRefusal, Why};
use crate::codec::{
    ConnAck, Connect, DecodeError, Packet, Properties, PropertyId, ProtocolVersion, ReasonCode,
};
use crate::config::Limits;
use std::time::Duration;

/// What holds for one connection, from its CONNECT and the limits.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) version: ProtocolVersion,
    /// Seconds; 0 for none. Not what the client asked for if that is too long.
    pub(crate) keep_alive: u16,
    /// How long the session outlives the connection.
    pub(crate) session_expiry: Duration,
    /// Whether the client wanted its session to outlive the connection, granted or not.
    pub(crate) asked_to_keep: bool,
    /// Unfinished QoS 1 and 2 messages that the client takes.
    pub(crate) send_window: u16,
    /// Bytes of the largest packet that the client takes.
    pub(crate) max_packet: usize,
    /// Whether reason strings are welcome outside CONNACK and DISCONNECT.
    pub(crate) problem_information: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) intake_window: usize,
    pub(crate) max_topic_levels: usize,
    /// Topic aliases that the client may set.
    pub(crate) known_aliases: u16,
    /// Topic aliases that the client may be given.
    pub(crate) assigned_aliases: u16,
    /// Bytes of the topics behind them, for each direction.
    pub(crate) alias_bytes: usize,
}

impl Terms {
    /// How long the client may be silent.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let keep_alive = Duration::from_secs(u64::from(self.keep_alive));
        (self.keep_alive > 0).then_some(keep_alive * 3 / 2)
    }

    /// The terms for a CONNECT, or why none can be agreed on. Says nothing about identity.
    pub(crate) fn agree(
        connect: &Connect,
        limits: &Limits,
        keeps_sessions: bool,
    ) -> Result<Self, ConnectRefusal> {
        let number = |id| connect.properties.number(id);
        if connect
            .properties
            .get(PropertyId::AuthenticationMethod)
            .is_some()
        {
            return Err(refusal(
                ReasonCode::BadAuthenticationMethod,
                "enhanced authentication is not supported",
            ));
        }
        if connect.client_id.len() > limits.max_client_id {
            return Err(refusal(
                ReasonCode::ClientIdentifierNotValid,
                "client id is too long",
            ));
        }
        if connect.client_id.is_empty() && !connect.clean_start && !connect.version.is_v5() {
            return Err(refusal(
                ReasonCode::ClientIdentifierNotValid,
                "an empty client id needs a clean session",
            ));
        }
        Ok(Self {
            version: connect.version,
            keep_alive: keep_alive(connect, limits),
            session_expiry: session_expiry(connect, limits, keeps_sessions),
            asked_to_keep: number(PropertyId::SessionExpiryInterval).unwrap_or(0) > 0,
            send_window: number(PropertyId::ReceiveMaximum)
                .and_then(|maximum| u16::try_from(maximum).ok())
                .unwrap_or(u16::MAX)
                .min(limits.send_window),
            max_packet: max_packet(connect),
            problem_information: number(PropertyId::RequestProblemInformation) != Some(0),
            receive_maximum: limits.receive_maximum,
            intake_window: limits.intake_window,
            max_topic_levels: limits.max_topic_levels,
            known_aliases: limits.topic_alias_maximum,
            assigned_aliases: number(PropertyId::TopicAliasMaximum)
                .and_then(|maximum| u16::try_from(maximum).ok())
                .unwrap_or(0)
                .min(limits.topic_alias_maximum)
                .min(ASSIGNED_MAX),
            alias_bytes: limits.topic_alias_bytes,
        })
    }
}

/// Bytes of the largest packet that a client takes.
fn max_packet(connect: &Connect) -> usize {
    connect
        .properties
        .number(PropertyId::MaximumPacketSize)
        .and_then(|maximum| usize::try_from(maximum).ok())
        .unwrap_or(usize::MAX)
}

fn keep_alive(connect: &Connect, limits: &Limits) -> u16 {
    let asked = connect.keep_alive;
    let Some(longest) = limits.max_keep_alive.filter(|_| connect.version.is_v5()) else {
        return asked;
    };
    let longest = u16::try_from(longest.as_secs()).unwrap_or(u16::MAX).max(1);
    if asked == 0 {
        longest
    } else {
        asked.min(longest)
    }
}

fn session_expiry(connect: &Connect, limits: &Limits, keeps_sessions: bool) -> Duration {
    if !keeps_sessions {
        return Duration::ZERO;
    }
    match connect.version {
        ProtocolVersion::V4 if connect.clean_start => Duration::ZERO,
        ProtocolVersion::V4 => limits.max_session_expiry,
        ProtocolVersion::V5 => {
            let seconds = connect
                .properties
                .number(PropertyId::SessionExpiryInterval)
                .unwrap_or(0);
            Duration::from_secs(u64::from(seconds)).min(limits.max_session_expiry)
        }
    }
}

pub(crate) fn refusal(code: ReasonCode, why: impl Into<Why>) -> ConnectRefusal {
    ConnectRefusal {
        code,
        why: why.into(),
    }
}

/// What CONNACK tells besides success.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) session_present: bool,
    /// Set if the server chose the client id.
    pub(crate) assigned_id: Option<&'a str>,
    /// What the client asked for.
    pub(crate) connect: &'a Connect,
}

/// Writes the CONNACK of an accepted CONNECT.
///
/// # Errors
/// It cannot be written, or the client takes no packet that long. Neither depends on the session being present, so that
/// it can be tried before there is one.
pub(crate) fn connack(
    offer: &Offer<'_>,
    terms: &Terms,
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<(), ConnectRefusal> {
    let failed =
        |error: crate::codec::EncodeError| refusal(ReasonCode::UnspecifiedError, error.to_string());
    let properties = if terms.version.is_v5() {
        announced(offer, terms, limits).map_err(failed)?
    } else {
        Properties::none()
    };
    let packet = Packet::ConnAck(ConnAck {
        session_present: offer.session_present,
        code: ReasonCode::Success,
        properties,
    });
    let start = out.len();
    packet.encode(terms.version, out).map_err(failed)?;
    if out.len() - start > terms.max_packet {
        out.truncate(start);
        return Err(refusal(
            ReasonCode::PacketTooLarge,
            "the client's maximum packet size has no room for connack",
        ));
    }
    Ok(())
}

fn announced(
    offer: &Offer<'_>,
    terms: &Terms,
    limits: &Limits,
) -> Result<Properties, crate::codec::EncodeError> {
    let wide = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mut properties = Properties::builder()
        .number(PropertyId::ReceiveMaximum, u32::from(terms.receive_maximum))
        // The standard counts the fixed header; five bytes are its longest.
        .number(
            PropertyId::MaximumPacketSize,
            wide(limits.max_packet_size.saturating_add(5)),
        )
        .number(
            PropertyId::TopicAliasMaximum,
            u32::from(terms.known_aliases),
        );
    if offer.connect.keep_alive != terms.keep_alive {
        properties = properties.number(PropertyId::ServerKeepAlive, u32::from(terms.keep_alive));
    }
    let asked = offer
        .connect
        .properties
        .number(PropertyId::SessionExpiryInterval)
        .unwrap_or(0);
    let given = terms.session_expiry.as_secs();
    if u64::from(asked) != given {
        properties = properties.number(
            PropertyId::SessionExpiryInterval,
            u32::try_from(given).unwrap_or(u32::MAX),
        );
    }
    if let Some(id) = offer.assigned_id {
        properties = properties.text(PropertyId::AssignedClientIdentifier, id);
    }
    properties.build()
}

/// Writes the CONNACK of a refused CONNECT, as far as the client takes it.
pub(crate) fn refuse(connect: &Connect, refusal: &ConnectRefusal, out: &mut Vec<u8>) {
    write_refusal(connect.version, refusal, max_packet(connect), out);
}

fn write_refusal(
    version: ProtocolVersion,
    refusal: &ConnectRefusal,
    max_packet: usize,
    out: &mut Vec<u8>,
) {
    let mut code = refusal.code;
    if !code.is_error() || !code.allowed_in(crate::codec::PacketType::ConnAck) {
        code = ReasonCode::UnspecifiedError;
    }
    let why = reason_string(&refusal.why).filter(|_| version.is_v5());
    let start = out.len();
    for properties in why.into_iter().chain([Properties::none()]) {
        let packet = Packet::ConnAck(ConnAck {
            session_present: false,
            code,
            properties,
        });
        if packet.encode(version, out).is_ok() && out.len() - start <= max_packet {
            return;
        }
        out.truncate(start);
    }
}

/// Answers a CONNECT that could not be decoded, if its first bytes show which version would understand an answer.
pub(crate) fn refuse_undecodable(error: DecodeError, body: &[u8], out: &mut Vec<u8>) {
    let version = match (error, body) {
        (DecodeError::ProtocolLevel(level), _) if level < 4 => ProtocolVersion::V4,
        (DecodeError::ProtocolLevel(_), _) | (_, [0, 4, b'M', b'Q', b'T', b'T', 5, ..]) => {
            ProtocolVersion::V5
        }
        _ => return,
    };
    let refusal = refusal(error.reason_code(), error.to_string());
    write_refusal(version, &refusal, usize::MAX, out);
}
