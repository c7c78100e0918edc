//! URLs: the part that is requested, the part that is shown, and the user and password, which are
//! in neither.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use coord_core::text::{decimal, escaped, without_password};
use http::{Uri, uri::InvalidUri};

/// Whether it uses TLS, the host in lower case, and the port.
pub(super) type Origin = (bool, String, u16);

/// An absolute URL. Its displayed form has no password and nothing that a terminal obeys.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// Without user and zone.
    uri: Uri,
    user: Option<String>,
    /// The interface of a link-local IPv6 address, RFC 6874.
    zone: Option<String>,
    /// Host, zone and port as written.
    server: String,
    shown: String,
}

impl Url {
    /// Parses a URL. The error says what is wrong without repeating the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user.to_owned()), server),
            None => (None, authority),
        };
        let (without_zone, zone) = split_zone(server);
        let scheme = scheme.to_ascii_lowercase();
        let uri = format!("{scheme}://{without_zone}{path}").parse();
        let uri: Uri = uri.map_err(|error: InvalidUri| error.to_string())?;
        if uri.host().is_none_or(str::is_empty) {
            return Err("it has no host".to_owned());
        }
        if !has_usable_port(&uri) {
            return Err("it has no valid port".to_owned());
        }
        let shown = escaped(&without_password(text)).to_string();
        Ok(Self {
            uri,
            user,
            zone,
            server: server.to_owned(),
            shown,
        })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Host, zone and port as written, to build another URL from.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn port(&self) -> u16 {
        let default = if self.is_secure() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(default)
    }

    /// Scheme, host and port. Headers are sent, and connections reused, only for the same ones.
    pub(super) fn origin(&self) -> Origin {
        (
            self.is_secure(),
            self.host().to_ascii_lowercase(),
            self.port(),
        )
    }

    /// Host and port in the form for a proxy's `CONNECT`.
    pub(super) fn host_and_port(&self) -> String {
        format!("{}:{}", self.uri.host().unwrap_or_default(), self.port())
    }

    /// The value of the header `Host`. It leaves out the scheme's default port.
    pub(super) fn host_header(&self) -> String {
        let is_default = self.port() == if self.is_secure() { 443 } else { 80 };
        if is_default {
            self.uri.host().unwrap_or_default().to_owned()
        } else {
            self.host_and_port()
        }
    }

    /// Path and query.
    pub(super) fn request_target(&self) -> String {
        let query = self.uri.query().map(|query| format!("?{query}"));
        format!("{}{}", self.uri.path(), query.unwrap_or_default())
    }

    /// `Basic` with the URL's user and password, RFC 7617.
    pub(super) fn authorization(&self) -> Option<String> {
        let (name, password) = match self.user.as_deref()?.split_once(':') {
            Some((name, password)) => (name, password),
            None => (self.user.as_deref()?, ""),
        };
        let mut credentials = percent_decoded(name);
        credentials.push(b':');
        credentials.extend(percent_decoded(password));
        Some(format!("Basic {}", BASE64_STANDARD.encode(credentials)))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown)
    }
}

/// Splits off the zone, as in `[fe80::1%25eth0]`. The `%` may stand alone, as people write it and
/// curl accepts it.
fn split_zone(server: &str) -> (String, Option<String>) {
    let split = server.split_once(']').and_then(|(address, port)| {
        let (address, zone) = address.split_once('%')?;
        let zone = zone
            .strip_prefix("25")
            .filter(|zone| !zone.is_empty())
            .unwrap_or(zone);
        Some((format!("{address}]{port}"), Some(zone.to_owned())))
    });
    split.unwrap_or_else(|| (server.to_owned(), None))
}

/// Whether a port follows the host, or nothing if the scheme has a default port.
fn has_usable_port(uri: &Uri) -> bool {
    let server = uri.authority().map_or("", |authority| authority.as_str());
    match server.strip_prefix(uri.host().unwrap_or_default()) {
        Some("") => uri.scheme_str() != Some("tcp"),
        Some(rest) => rest
            .strip_prefix(':')
            .and_then(decimal::<u16>)
            .is_some_and(|port| port > 0),
        None => false,
    }
}

/// Decodes as in RFC 3986 section 2.1; any other `%` stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_as_user_and_password_is_not_shown(
            user in r"[a-z0-9:/\\\[\]@?#.-]{0,8}", rest in r"[a-z0-9:/\\\[\]@?#.-]{0,8}"
        ) {
            let text = format!("http://{user}@{rest}");
            if let Ok(url) = Url::parse(&text)
                && let Some(user) = &url.user
            {
                let from_server = &text["http://".len() + user.len()..];
                let shown = url.to_string();
                let before = shown.strip_suffix(&format!("***{from_server}"));
                let slashes = before.and_then(|it| it.strip_prefix("http://"));
                prop_assert!(
                    slashes.is_some_and(|it| it.trim_matches('\\').is_empty()),
                    "{text} is shown as {shown}"
                );
            }
        }
    }

    #[test]
    fn user_and_password_are_sent_and_not_shown() {
        let url = Url::parse("http://me:p%40ss@Host:81/a?b#c").unwrap();
        assert_eq!(url.to_string(), "http://***@Host:81/a?b#c");
        assert_eq!(format!("{url:?}"), "\"http://***@Host:81/a?b#c\"");
        assert_eq!(url.host_header(), "Host:81");
        assert_eq!(url.request_target(), "/a?b");
        // "me:p@ss"
        assert_eq!(url.authorization().unwrap(), "Basic bWU6cEBzcw==");
        assert_eq!(Url::parse("http://h/").unwrap().authorization(), None);
        let token = Url::parse("http://t%zz@h/").unwrap();
        assert_eq!(token.authorization().unwrap(), "Basic dCV6ejo=");
    }

    #[test]
    fn hosts_ports_and_zones() {
        let parts = |text: &str| {
            let url = Url::parse(text).unwrap();
            let zone = url.zone().unwrap_or_default().to_owned();
            (
                url.host().to_owned(),
                zone,
                url.port(),
                url.host_header(),
                url.request_target(),
            )
        };
        let cases = [
            ("http://h", ("h", "", 80, "h", "/")),
            ("HTTPS://h:443?x", ("h", "", 443, "h", "/?x")),
            (
                "http://[fe80::1%25lo]:8/",
                ("fe80::1", "lo", 8, "[fe80::1]:8", "/"),
            ),
            (
                "http://[fe80::1%lo]/",
                ("fe80::1", "lo", 80, "[fe80::1]", "/"),
            ),
            (
                "http://[fe80::1%25]/",
                ("fe80::1", "25", 80, "[fe80::1]", "/"),
            ),
        ];
        for (text, (host, zone, port, header, target)) in cases {
            let expected = (
                host.to_owned(),
                zone.to_owned(),
                port,
                header.to_owned(),
                target.to_owned(),
            );
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_never_work_is_refused_without_repeating_it() {
        for bad in [
            "",
            "host",
            "http://",
            "http://:80",
            "http://h:0",
            "http://h:99999",
            "http://h:+80",
            "tcp://h",
            "http://u:se/cret@h/",
            "http://a b",
            "http://h/\x1b",
        ] {
            let reason = Url::parse(bad).unwrap_err();
            assert!(!reason.contains("cret"), "{bad:?} {reason}");
        }
    }
}
