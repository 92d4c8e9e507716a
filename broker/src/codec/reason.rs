//! MQTT 5 reason codes, with the packets that may carry each, and their MQTT 3.1.1 counterparts.

use super::types::PacketType;
use std::fmt;

#[cfg(test)]
mod tests;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal, [$($packet:ident),*];)*) => {
        /// An MQTT 5 reason code. Where the standard gives 0x00 three names, `Success` stands for all of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $name = $value,)*
        }

        impl ReasonCode {
            /// Every code, in wire order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code with this wire value, if MQTT 5 defines one.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Whether MQTT 5 allows the code in that packet, sent by either side.
            #[must_use]
            pub const fn allowed_in(self, packet: PacketType) -> bool {
                match self {
                    $(Self::$name => matches!(packet, $(PacketType::$packet)|*),)*
                }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reason_codes! {
    /// Success, normal disconnection, or granted QoS 0.
    Success = 0x00, "success", [ConnAck, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, Auth];
    /// Subscription granted with QoS 1.
    GrantedQoS1 = 0x01, "granted qos 1", [SubAck];
    /// Subscription granted with QoS 2.
    GrantedQoS2 = 0x02, "granted qos 2", [SubAck];
    /// The client leaves and wants its will published.
    DisconnectWithWill = 0x04, "disconnect with will message", [Disconnect];
    /// Nobody subscribes to the topic.
    NoMatchingSubscribers = 0x10, "no matching subscribers", [PubAck, PubRec];
    /// UNSUBSCRIBE named a filter that was not subscribed.
    NoSubscriptionExisted = 0x11, "no subscription existed", [UnsubAck];
    /// Enhanced authentication goes on.
    ContinueAuthentication = 0x18, "continue authentication", [Auth];
    /// Enhanced authentication starts again.
    ReAuthenticate = 0x19, "re-authenticate", [Auth];
    /// Refused without a nearer reason.
    UnspecifiedError = 0x80, "unspecified error", [ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
    /// The bytes do not form a packet.
    MalformedPacket = 0x81, "malformed packet", [ConnAck, Disconnect];
    /// The packet is well formed but not allowed here.
    ProtocolError = 0x82, "protocol error", [ConnAck, Disconnect];
    /// Valid, but this receiver does not accept it.
    ImplementationSpecificError = 0x83, "implementation specific error", [ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
    /// The server does not speak this protocol level.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", [ConnAck];
    /// The client id is not allowed.
    ClientIdentifierNotValid = 0x85, "client identifier not valid", [ConnAck];
    /// Unknown user or wrong secret.
    BadUserNameOrPassword = 0x86, "bad user name or password", [ConnAck];
    /// Known, but not allowed to do this.
    NotAuthorized = 0x87, "not authorized", [ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
    /// The server is not available.
    ServerUnavailable = 0x88, "server unavailable", [ConnAck];
    /// The server has too much to do; try later.
    ServerBusy = 0x89, "server busy", [ConnAck, Disconnect];
    /// The client was banned by an operator.
    Banned = 0x8a, "banned", [ConnAck];
    /// The server stops.
    ServerShuttingDown = 0x8b, "server shutting down", [Disconnect];
    /// Unsupported or changed authentication method.
    BadAuthenticationMethod = 0x8c, "bad authentication method", [ConnAck, Disconnect];
    /// Nothing came for 1.5 times the keep-alive.
    KeepAliveTimeout = 0x8d, "keep alive timeout", [Disconnect];
    /// Another connection uses the same client id.
    SessionTakenOver = 0x8e, "session taken over", [Disconnect];
    /// The topic filter is well formed but not accepted.
    TopicFilterInvalid = 0x8f, "topic filter invalid", [SubAck, UnsubAck, Disconnect];
    /// The topic name is well formed but not accepted.
    TopicNameInvalid = 0x90, "topic name invalid", [ConnAck, PubAck, PubRec, Disconnect];
    /// The packet identifier is in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use", [PubAck, PubRec, SubAck, UnsubAck];
    /// The packet identifier is unknown.
    PacketIdentifierNotFound = 0x92, "packet identifier not found", [PubRel, PubComp];
    /// More unacknowledged publishes than the receiver allows.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", [Disconnect];
    /// Topic alias zero or above the maximum.
    TopicAliasInvalid = 0x94, "topic alias invalid", [Disconnect];
    /// The packet exceeds the receiver's maximum.
    PacketTooLarge = 0x95, "packet too large", [ConnAck, Disconnect];
    /// Messages come too fast.
    MessageRateTooHigh = 0x96, "message rate too high", [Disconnect];
    /// A limit of the server is reached.
    QuotaExceeded = 0x97, "quota exceeded", [ConnAck, PubAck, PubRec, SubAck, Disconnect];
    /// An operator ended the connection.
    AdministrativeAction = 0x98, "administrative action", [Disconnect];
    /// The payload is not what was announced.
    PayloadFormatInvalid = 0x99, "payload format invalid", [ConnAck, PubAck, PubRec, Disconnect];
    /// Retained messages are not supported.
    RetainNotSupported = 0x9a, "retain not supported", [ConnAck, Disconnect];
    /// The quality of service is not supported.
    QoSNotSupported = 0x9b, "qos not supported", [ConnAck, Disconnect];
    /// Use another server for now.
    UseAnotherServer = 0x9c, "use another server", [ConnAck, Disconnect];
    /// Use another server from now on.
    ServerMoved = 0x9d, "server moved", [ConnAck, Disconnect];
    /// Shared subscriptions are not supported.
    SharedSubscriptionsNotSupported = 0x9e, "shared subscriptions not supported", [SubAck, Disconnect];
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9f, "connection rate exceeded", [ConnAck, Disconnect];
    /// The connection time that was allowed is over.
    MaximumConnectTime = 0xa0, "maximum connect time", [Disconnect];
    /// Subscription identifiers are not supported.
    SubscriptionIdentifiersNotSupported = 0xa1, "subscription identifiers not supported", [SubAck, Disconnect];
    /// Wildcard subscriptions are not supported.
    WildcardSubscriptionsNotSupported = 0xa2, "wildcard subscriptions not supported", [SubAck, Disconnect];
}

impl ReasonCode {
    /// The wire value.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// True from 0x80 on: the request was refused.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// The CONNACK return code that tells a 3.1.1 client the same, as nearly as its five codes allow.
    #[must_use]
    pub const fn connack_v4(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized
            | Self::Banned
            | Self::BadAuthenticationMethod
            | Self::TopicNameInvalid => 5,
            _ => 3,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x})", self.text(), self.byte())
    }
}
