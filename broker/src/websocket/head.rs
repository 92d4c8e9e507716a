//! The request to speak WebSocket, and its answer.

use crate::metrics::Count;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use httparse::{EMPTY_HEADER, Error, Header, Request, Status};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Where MQTT is served; a query is not looked at.
const PATH: &str = "/mqtt";
/// Longest request, bytes. Browsers send one to two thousand, mostly cookies.
const HEAD_MAX: usize = 8 * 1024;
/// Most header fields of a request.
const FIELDS_MAX: usize = 64;
/// What the accept key is made with (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The name of MQTT among subprotocols (MQTT-6.0.0-3).
const SUBPROTOCOL: &str = "mqtt";

/// A request that is granted.
#[derive(Debug)]
pub struct Granted {
    /// How many bytes it has.
    pub length: usize,
    /// What to send.
    pub answer: Vec<u8>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request of HTTP.
    NotHttp,
    /// It is too long, or has too many fields.
    TooLarge,
    /// It is not of HTTP/1.1.
    OldHttp,
    /// It is no GET.
    Method,
    /// MQTT is not there.
    Path,
    /// It asks for something else.
    NoUpgrade,
    /// It asks for another version of WebSocket.
    Version,
    /// Its key or host is missing, or there twice, or no key.
    Key,
    /// It does not offer MQTT.
    Subprotocol,
}

impl Refusal {
    /// What counts it.
    #[must_use]
    pub const fn count(self) -> Count {
        match self {
            Self::NotHttp | Self::OldHttp | Self::Key => Count::WebSocketRequestMalformed,
            Self::TooLarge => Count::WebSocketRequestTooLarge,
            Self::Method | Self::Path | Self::NoUpgrade => Count::WebSocketNotAsked,
            Self::Version => Count::WebSocketVersionRefused,
            Self::Subprotocol => Count::WebSocketSubprotocolRefused,
        }
    }

    /// The answer: status, what it needs besides, and what to do.
    #[must_use]
    pub fn answer(self) -> String {
        let (status, field, says) = match self {
            Self::NotHttp => ("400 Bad Request", "", "this is no HTTP request"),
            Self::TooLarge => (
                "431 Request Header Fields Too Large",
                "",
                "the request is longer than 8 KiB or has more than 64 header fields",
            ),
            Self::OldHttp => (
                "505 HTTP Version Not Supported",
                "",
                "WebSocket needs HTTP/1.1",
            ),
            Self::Method => (
                "405 Method Not Allowed",
                "Allow: GET\r\n",
                "WebSocket begins with GET",
            ),
            Self::Path => ("404 Not Found", "", "MQTT over WebSocket is at /mqtt"),
            Self::NoUpgrade => (
                "426 Upgrade Required",
                "Upgrade: websocket\r\n",
                "only MQTT over WebSocket is served here",
            ),
            Self::Version => (
                "426 Upgrade Required",
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                "the version of WebSocket must be 13",
            ),
            Self::Key => (
                "400 Bad Request",
                "",
                "the request needs one Host and one Sec-WebSocket-Key of 16 bytes",
            ),
            Self::Subprotocol => (
                "400 Bad Request",
                "",
                "the client must offer the subprotocol mqtt in Sec-WebSocket-Protocol",
            ),
        };
        let length = says.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{field}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: \
             {length}\r\n\r\n{says}\n"
        )
    }
}

/// Looks for a whole request at the beginning of what has arrived.
///
/// # Errors
/// When it is no request for MQTT over WebSocket, whatever may follow.
pub fn examine(arrived: &[u8]) -> Result<Option<Granted>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = Request::new(&mut fields);
    match request.parse(&arrived[..arrived.len().min(HEAD_MAX)]) {
        Ok(Status::Complete(length)) => {
            let key = check(&request)?;
            Ok(Some(Granted {
                length,
                answer: grant(key),
            }))
        }
        Ok(Status::Partial) if arrived.len() < HEAD_MAX => Ok(None),
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => Err(Refusal::TooLarge),
        Err(Error::Version) => Err(Refusal::OldHttp),
        Err(_) => Err(Refusal::NotHttp),
    }
}

/// The key of a request that asks for everything it should ask for.
fn check<'a>(request: &Request<'_, 'a>) -> Result<&'a [u8], Refusal> {
    if request.version != Some(1) {
        return Err(Refusal::OldHttp);
    }
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    let target = request.path.unwrap_or_default();
    if target.split('?').next() != Some(PATH) {
        return Err(Refusal::Path);
    }
    let fields = &*request.headers;
    if !lists(fields, "Upgrade", |token| {
        token.eq_ignore_ascii_case("websocket")
    }) || !lists(fields, "Connection", |token| {
        token.eq_ignore_ascii_case("upgrade")
    }) {
        return Err(Refusal::NoUpgrade);
    }
    if only(fields, "Sec-WebSocket-Version") != Some(b"13") {
        return Err(Refusal::Version);
    }
    let is_key = |key: &&[u8]| {
        BASE64_STANDARD
            .decode(key)
            .is_ok_and(|bytes| bytes.len() == 16)
    };
    let key = only(fields, "Sec-WebSocket-Key").filter(is_key);
    let (Some(key), Some(_)) = (key, only(fields, "Host")) else {
        return Err(Refusal::Key);
    };
    if !lists(fields, "Sec-WebSocket-Protocol", |token| {
        token == SUBPROTOCOL
    }) {
        return Err(Refusal::Subprotocol);
    }
    Ok(key)
}

fn named<'a>(fields: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// The value of a field that must be there once.
fn only<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    let mut values = named(fields, name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Whether one of the elements, over all fields of that name, is such a one.
fn lists(fields: &[Header<'_>], name: &str, is_wanted: impl Fn(&str) -> bool) -> bool {
    named(fields, name)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .any(|token| is_wanted(token.trim()))
}

fn grant(key: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
         {}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
        BASE64_STANDARD.encode(hash)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3, which asks for MQTT.
    const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn refusal(request: &str) -> Refusal {
        examine(request.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_example_of_the_standard_is_granted_and_what_follows_it_is_left() {
        let granted = examine(format!("{REQUEST}\x02\x03").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(granted.length, REQUEST.len());
        let answer = String::from_utf8(granted.answer).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"));
    }

    #[test]
    fn every_beginning_of_a_request_waits_for_the_rest() {
        for end in 0..REQUEST.len() {
            assert!(examine(&REQUEST.as_bytes()[..end]).unwrap().is_none());
        }
    }

    #[test]
    fn names_and_tokens_are_read_as_http_has_them() {
        for (from, to) in [
            ("Upgrade: websocket", "UPGRADE: h2c, WebSocket"),
            (
                "Connection: Upgrade",
                "connection: keep-alive\r\nConnection: upgrade",
            ),
            (
                "Protocol: mqtt",
                "Protocol: mqttv3.1\r\nSec-WebSocket-Protocol: a,mqtt",
            ),
            ("/mqtt", "/mqtt?token=1"),
        ] {
            let request = REQUEST.replace(from, to);
            assert!(examine(request.as_bytes()).unwrap().is_some(), "{to}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        for (from, to, expected) in [
            ("GET", "POST", Refusal::Method),
            ("/mqtt", "/", Refusal::Path),
            ("/mqtt", "/mqtt/x", Refusal::Path),
            ("HTTP/1.1", "HTTP/1.0", Refusal::OldHttp),
            ("HTTP/1.1", "HTTP/2.0", Refusal::OldHttp),
            ("Upgrade: websocket", "Upgrade: h2c", Refusal::NoUpgrade),
            (
                "Connection: Upgrade",
                "Connection: close",
                Refusal::NoUpgrade,
            ),
            ("Version: 13", "Version: 8", Refusal::Version),
            (
                "Version: 13",
                "Version: 13\r\nSec-WebSocket-Version: 13",
                Refusal::Version,
            ),
            ("Host: server.example.com\r\n", "", Refusal::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", Refusal::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "?", Refusal::Key),
            ("Protocol: mqtt", "Protocol: MQTT", Refusal::Subprotocol),
            ("Sec-WebSocket-Protocol: mqtt\r\n", "", Refusal::Subprotocol),
            ("GET ", "\x10\x0c\0\x04MQTT", Refusal::NotHttp),
            ("Host: ", "Host", Refusal::NotHttp),
        ] {
            assert_eq!(refusal(&REQUEST.replace(from, to)), expected, "{to:?}");
        }
    }

    #[test]
    fn a_request_without_end_is_refused_at_its_limits() {
        let long = format!("GET /{} ", "x".repeat(HEAD_MAX));
        assert_eq!(refusal(&long), Refusal::TooLarge);
        assert!(examine(&long.as_bytes()[..HEAD_MAX - 1]).is_ok());
        let many = REQUEST.replace("Host", &format!("{}Host", "a: b\r\n".repeat(FIELDS_MAX)));
        assert_eq!(refusal(&many), Refusal::TooLarge);
    }

    #[test]
    fn refusals_are_http() {
        let answer = Refusal::Version.answer();
        let mut fields = [EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut fields);
        let Ok(Status::Complete(length)) = response.parse(answer.as_bytes()) else {
            panic!("{answer}");
        };
        assert_eq!(response.code, Some(426));
        assert_eq!(
            only(response.headers, "Sec-WebSocket-Version"),
            Some(&b"13"[..])
        );
        let body = (answer.len() - length).to_string();
        assert_eq!(
            only(response.headers, "Content-Length"),
            Some(body.as_bytes())
        );
    }
}
