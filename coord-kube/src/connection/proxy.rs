//! Which proxy leads to the API server: the kubeconfig's, otherwise the environment's. The rules
//! are those of Go's `golang.org/x/net/http/httpproxy`, which kubectl uses.

use std::{env, net::IpAddr};

use coord_core::text::{decimal, without_password};
use http::Uri;

use crate::Error;

/// A proxy, and how to connect through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(super) protocol: Protocol,
    pub(super) host: String,
    pub(super) port: u16,
    /// User and password, in the form in which they are sent.
    pub(super) user: Option<(String, String)>,
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `CONNECT`, RFC 9110 section 9.3.6.
    Http,
    /// `CONNECT` over TLS.
    Https,
    /// RFC 1928. The proxy resolves the server's name.
    Socks5,
}

/// The parts of the environment that decide. For each variable, the upper case name takes
/// precedence.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    https: Option<(&'static str, String)>,
    http: Option<(&'static str, String)>,
    none: String,
}

impl Environment {
    pub(crate) fn read() -> Self {
        Self {
            https: variable(["HTTPS_PROXY", "https_proxy"]),
            http: variable(["HTTP_PROXY", "http_proxy"]),
            none: variable(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, value)| value),
        }
    }
}

fn variable(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    let value = |name| env::var(name).ok().filter(|value| !value.is_empty());
    names
        .into_iter()
        .find_map(|name| Some((name, value(name)?)))
}

impl Proxy {
    /// The proxy for this server, if there is one. `configured` is the kubeconfig's `proxy-url`, to
    /// which `NO_PROXY` does not apply.
    pub(crate) fn to(
        server: &Uri,
        configured: Option<&str>,
        environment: &Environment,
    ) -> Result<Option<Self>, Error> {
        if let Some(url) = configured.filter(|url| !url.is_empty()) {
            return Self::named("proxy-url", url).map(Some);
        }
        let https = server.scheme_str() == Some("https");
        let variable = if https {
            &environment.https
        } else {
            &environment.http
        };
        let Some((name, url)) = variable else {
            return Ok(None);
        };
        if is_direct(server, &environment.none) {
            return Ok(None);
        }
        let url = url.trim();
        // The scheme is optional only in the environment.
        if url.contains("://") {
            Self::named(name, url).map(Some)
        } else {
            Self::named(name, &format!("http://{url}")).map(Some)
        }
    }

    fn named(name: &str, url: &str) -> Result<Self, Error> {
        Self::parse(url).map_err(|why| {
            let what = format!("{name} {:?}", without_password(url));
            Error::config(what, why)
        })
    }

    fn parse(url: &str) -> Result<Self, &'static str> {
        const SCHEMES: &str = "it must start with http://, https:// or socks5://";
        let (scheme, rest) = url.split_once("://").ok_or(SCHEMES)?;
        let (protocol, port) = match &*scheme.to_ascii_lowercase() {
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            _ => return Err(SCHEMES),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let address: http::uri::Authority = address
            .parse()
            .map_err(|_| "there is no host in it, or no port number")?;
        let given = address.as_str().len() > address.host().len();
        Ok(Self {
            protocol,
            host: bare(address.host()).to_owned(),
            port: match address.port().and_then(|it| decimal(it.as_str())) {
                Some(port) => port,
                None if given => return Err("its port is no port number"),
                None => port,
            },
            user: user.map(|user| {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (decoded(name), decoded(password))
            }),
        })
    }
}

/// For error texts, without the password.
impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks5 => "socks5",
        };
        let host = &self.host;
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{}", self.port),
            false => write!(f, "{scheme}://{host}:{}", self.port),
        }
    }
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The port in a URI, or its scheme's default.
pub(super) fn port(server: &Uri) -> u16 {
    let by_scheme = if server.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    server.port_u16().unwrap_or(by_scheme)
}

/// Decodes percent-encoded text and keeps everything else, RFC 3986 section 2.1.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let byte = digits
            .filter(|it| first == b'%' && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the environment's proxies do not apply to this server: because of `NO_PROXY`, or because
/// it is this machine.
fn is_direct(server: &Uri, none: &str) -> bool {
    let host = bare(server.host().unwrap_or_default()).to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|it| it.is_loopback()) {
        return true;
    }
    let port = port(server);
    let entries = none.split(',').map(str::trim);
    entries
        .map(str::to_ascii_lowercase)
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || covers(&entry, host, address, port))
}

/// Whether an entry of `NO_PROXY` covers the server. An entry is a network, or an address or domain
/// with an optional port.
fn covers(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        let network = network.parse().ok().zip(decimal(bits));
        return network
            .zip(address)
            .is_some_and(|((network, bits), address)| is_within(address, network, bits));
    }
    let (name, only) = split_port(entry);
    if only.is_some_and(|only| only != port) {
        return false;
    }
    if let Ok(named) = name.parse::<IpAddr>() {
        return address == Some(named);
    }
    let domain = name.strip_prefix('*').unwrap_or(name);
    match domain.strip_prefix('.') {
        Some(_) => host.ends_with(domain),
        None => host == domain || host.ends_with(&format!(".{domain}")),
    }
}

/// Splits off a port. In an address with several colons, the last one precedes a port only after
/// brackets.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let whole = (bare(entry), None);
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            decimal(port).map_or(whole, |port| (bare(name), Some(port)))
        }
        _ => whole,
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, size) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits().into(), network.to_bits().into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let differ: u128 = address ^ network;
    bits <= size && differ.checked_shr(size - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(server: &str, none: &str) -> bool {
        is_direct(&server.parse().unwrap(), none)
    }

    #[test]
    fn no_proxy_is_matched_against_the_server() {
        let cases = [
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://11.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.0.0.0/+8", false),
            ("https://10.1.2.3:6443", "0.0.0.0/0", true),
            ("https://10.1.2.3:6443", "10.1.2.3/33", false),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://10.1.2.3", "10.1.2.3:443", true),
            ("https://[fd00::1]:6443", "fd00::/8", true),
            ("https://[fd00::1]:6443", "fd00::1", true),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", true),
            ("https://[fd00::1]:6443", "[fd00::1]:1", false),
            ("https://api.example.org", ",, example.org ,", true),
            ("https://api.example.org", ".example.org", true),
            ("https://example.org", ".example.org", false),
            ("https://api.example.org", "*.example.org", true),
            ("https://API.Example.org.", "api.example.ORG", true),
            ("https://api.example.org", "ample.org", false),
            ("https://api.example.org", "example.org:443", true),
            ("https://api.example.org", "example.org:6443", false),
            ("https://api.example.org", "a.b, *", true),
            ("https://api.example.org", "10.0.0.0/8,no/thing,%%", false),
            ("https://localhost:6443", "", true),
            ("https://127.0.0.2:6443", "", true),
            ("https://[::1]:6443", "", true),
            ("https://10.1.2.3", "", false),
        ];
        for (server, none, expected) in cases {
            assert_eq!(direct(server, none), expected, "{server} {none:?}");
        }
    }

    #[test]
    fn a_proxy_is_read_and_shown_without_its_password() {
        let proxy = Proxy::parse("http://me:pa%40ss%3Aword@proxy:3128/").unwrap();
        let user = Some(("me".to_owned(), "pa@ss:word".to_owned()));
        assert_eq!((&proxy.user, proxy.port), (&user, 3128));
        assert_eq!(proxy.to_string(), "http://proxy:3128");
        let socks = Proxy::parse("socks5://[::1]").unwrap();
        assert_eq!(socks.to_string(), "socks5://[::1]:1080");
        for bad in [
            "proxy:3128",
            "ftp://x",
            "http://",
            "http://x:port",
            "http://x:99999",
            "http://x:+80",
        ] {
            assert!(Proxy::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_kubeconfig_wins_over_the_environment() {
        let environment = Environment {
            https: Some(("HTTPS_PROXY", "outer:8080".to_owned())),
            http: None,
            none: "10.1.2.3".to_owned(),
        };
        let to = |server: &str, configured| {
            let proxy = Proxy::to(&server.parse().unwrap(), configured, &environment);
            proxy.unwrap().map(|proxy| proxy.to_string())
        };
        let outer = Some("http://outer:8080".to_owned());
        assert_eq!(to("https://10.1.2.4", None), outer);
        assert_eq!(to("https://10.1.2.4", Some("")), outer);
        assert_eq!(to("https://10.1.2.3", None), None);
        assert_eq!(to("http://10.1.2.4", None), None);
        let own = Some("socks5://own:1".to_owned());
        assert_eq!(to("https://10.1.2.3", Some("socks5://own:1")), own);
    }

    #[test]
    fn a_bad_proxy_is_named_without_its_password() {
        let server = "https://10.1.2.3".parse().unwrap();
        let bad = Proxy::to(
            &server,
            Some("htp://me:hunter2@proxy"),
            &Environment::default(),
        );
        let bad = format!("{:?} {0}", bad.unwrap_err());
        assert!(!bad.contains("hunter2"), "{bad}");
        assert!(bad.contains("proxy-url"), "{bad}");
    }
}
