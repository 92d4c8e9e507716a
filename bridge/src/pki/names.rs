//! The names that the server's certificate must carry: every one under which robots may reach it.

use rustls::pki_types::ServerName;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Whether a certificate can carry the name: a DNS name, perhaps with `*.` in front, or an IP address.
pub(crate) fn is_name(name: &str) -> bool {
    ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
}

/// The machine's own name, if it is one that a certificate can carry.
pub(crate) fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?.to_ascii_lowercase();
    is_name(&name).then_some(name)
}

/// The host of a URL or of an authority: without scheme, port, path and the brackets of an IPv6 address.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    is_name(host).then_some(host)
}

/// Every name of the server's certificate: the loopback names, the machine's own, the addresses that listeners are
/// bound to, the hosts of public URLs, and what configuration adds.
pub fn server_names<'a>(
    bound: impl IntoIterator<Item = SocketAddr>,
    urls: impl IntoIterator<Item = &'a str>,
    configured: &[String],
) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = ["localhost", "127.0.0.1", "::1"]
        .map(ToOwned::to_owned)
        .into();
    names.extend(host_name());
    let specific = bound.into_iter().map(|address| address.ip());
    names.extend(
        specific
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_string()),
    );
    names.extend(urls.into_iter().filter_map(host_of).map(canonical));
    names.extend(configured.iter().map(|name| canonical(name)));
    names
}

/// The one way to write a name, so that two ways of writing it are not two names.
fn canonical(name: &str) -> String {
    let address = name.parse::<IpAddr>().map(|address| address.to_string());
    address.unwrap_or_else(|_| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_under_which_the_server_is_reached_is_in() {
        let bound = ["0.0.0.0:8883", "10.1.2.3:8081", "[fd00::1]:8883"];
        let urls = [
            "https://Updates.example.org:8443/x",
            "mqtts://[2001:db8::7]:8883",
            "http:///",
        ];
        let names = server_names(
            bound.map(|address| address.parse().unwrap()),
            urls,
            &["*.robots.example.org".to_owned(), "fd00:0::1".to_owned()],
        );
        for name in [
            "localhost",
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "fd00::1",
            "updates.example.org",
            "2001:db8::7",
            "*.robots.example.org",
        ] {
            assert!(names.contains(name), "{name} is not in {names:?}");
        }
        assert!(
            !names.contains("0.0.0.0") && !names.contains(""),
            "{names:?}"
        );
    }

    #[test]
    fn a_host_is_found_in_whatever_names_it() {
        for (text, host) in [
            ("https://a.example.org/x", Some("a.example.org")),
            ("a.example.org:8081", Some("a.example.org")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:8081", Some("::1")),
            ("[::1", None),
            ("", None),
            ("a b", None),
            ("a\"b", None),
        ] {
            assert_eq!(host_of(text), host, "{text:?}");
        }
    }
}
