//! Which URLs are requested through a proxy.

use std::{fmt, net::IpAddr};

use coord_core::text::decimal;

use super::url::Url;

/// Proxies from environment variables, and the hosts that are contacted directly.
///
/// - `http_proxy` is for `http://` and `https_proxy` for `https://`. `all_proxy` is for a scheme
///   without its own. The form of each is `http://[user:password@]host:port`, or `https://`. The
///   proxy must support `CONNECT`.
/// - `no_proxy` lists the hosts that are contacted directly, separated by commas or blanks. An
///   entry is a domain, which includes everything below it, an address, a network such as
///   `10.0.0.0/8`, each with an optional `:port`, or `*`.
/// - Names in upper case also work; those in lower case take precedence. An empty variable counts
///   as unset.
/// - Loopback addresses, `localhost` and names below it are always contacted directly.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Variable>,
    https: Option<Variable>,
    direct: String,
}

#[derive(Clone)]
struct Variable {
    name: String,
    value: String,
}

impl Proxies {
    /// The proxies from variables such as those of the environment:
    /// `Proxies::from_variables(|name| std::env::var(name).ok())`.
    pub fn from_variables(value: impl Fn(&str) -> Option<String>) -> Self {
        let find = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_uppercase()];
            names.into_iter().find_map(|name| {
                let value = value(&name).filter(|value| !value.is_empty())?;
                Some(Variable { name, value })
            })
        };
        let all = find("all_proxy");
        Self {
            http: find("http_proxy").or_else(|| all.clone()),
            https: find("https_proxy").or(all),
            direct: find("no_proxy").map_or_else(String::new, |list| list.value),
        }
    }

    /// The proxy for a URL, if there is one. The error says why its variable does not name one.
    pub(super) fn of(&self, url: &Url) -> Result<Option<Url>, String> {
        let variable = match url.uri().scheme_str() {
            Some("http") => &self.http,
            Some("https") => &self.https,
            _ => &None,
        };
        match variable {
            Some(variable) if !self.is_direct(url) => variable.proxy().map(Some),
            _ => Ok(None),
        }
    }

    fn is_direct(&self, url: &Url) -> bool {
        let host = Host::of(url);
        let mut listed = self.direct.split([',', ' ', '\t']);
        host.is_loopback() || listed.any(|entry| host.is_listed_as(entry))
    }
}

impl Variable {
    /// Errors do not repeat the value, since it may contain a password.
    fn proxy(&self) -> Result<Url, String> {
        let text = if self.value.contains("://") {
            self.value.clone()
        } else {
            format!("http://{}", self.value)
        };
        let is_ours = |proxy: &Url| {
            let is_http = proxy.uri().scheme_str() == Some("http");
            is_http || proxy.is_secure() && cfg!(feature = "tls")
        };
        let proxy = Url::parse(&text).ok().filter(is_ours);
        proxy.ok_or_else(|| format!("{} names no proxy: write http://host:port", self.name))
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = coord_core::text::without_password(&self.value);
        write!(f, "{}={value:?}", self.name)
    }
}

/// A URL's host and port.
struct Host {
    name: String,
    address: Option<IpAddr>,
    port: u16,
}

impl Host {
    fn of(url: &Url) -> Self {
        let name = bare(url.host());
        Self {
            address: address(&name),
            name,
            port: url.port(),
        }
    }

    fn is_loopback(&self) -> bool {
        self.address.map_or_else(
            || self.is_below("localhost"),
            |address| address.is_loopback(),
        )
    }

    fn is_below(&self, domain: &str) -> bool {
        let rest = self.name.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    fn is_listed_as(&self, entry: &str) -> bool {
        let (host, port) = split_port(entry);
        let pattern = bare(host.strip_prefix('*').unwrap_or(host));
        let domain = pattern.trim_start_matches('.');
        let is_host = match self.address {
            _ if host == "*" => true,
            _ if domain.is_empty() => false,
            Some(own) => self::address(domain) == Some(own) || is_in_network(own, domain),
            None => self.is_below(domain),
        };
        is_host && port.is_none_or(|port| port == self.port)
    }
}

/// Removes an IPv6 address's brackets and a name's last dot, and turns it into lower case.
fn bare(host: &str) -> String {
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical())
}

/// A port follows a colon, unless that is one of many in an IPv6 address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match decimal(port) {
            Some(port) => (host, Some(port)),
            None => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Whether an address is in a network such as `10.0.0.0/8`.
fn is_in_network(own: IpAddr, network: &str) -> bool {
    let parse = |(address, bits): (&str, &str)| Some((self::address(address)?, decimal(bits)?));
    let Some((network, bits)) = network.split_once('/').and_then(parse) else {
        return false;
    };
    let differ: u128 = match (own, network) {
        // Shifted to the top of 128 bits, so that the prefix is counted from the top in both cases.
        (IpAddr::V4(own), IpAddr::V4(network)) => {
            u128::from(own.to_bits() ^ network.to_bits()) << 96
        }
        (IpAddr::V6(own), IpAddr::V6(network)) => own.to_bits() ^ network.to_bits(),
        _ => return false,
    };
    let longest = if own.is_ipv4() { 32 } else { 128 };
    bits <= longest && differ.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, String> {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = Proxies::from_variables(value).of(&Url::parse(url).unwrap())?;
        Ok(proxy.map(|proxy| proxy.host().to_owned()))
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let variables = [
            ("http_proxy", "http://one:1"),
            ("HTTP_PROXY", "http://two:2"),
            ("https_proxy", ""),
            ("HTTPS_PROXY", "three:3"),
            ("all_proxy", "http://four:4"),
        ];
        let one = Ok(Some("one".to_owned()));
        assert_eq!(proxy(&variables, "http://a/"), one);
        assert_eq!(
            proxy(&variables, "https://a/"),
            Ok(Some("three".to_owned()))
        );
        assert_eq!(
            proxy(&variables[4..], "https://a/"),
            Ok(Some("four".to_owned()))
        );
        assert_eq!(proxy(&variables[..2], "https://a/"), Ok(None));
        assert_eq!(proxy(&variables, "tcp://a:1/"), Ok(None));
    }

    #[test]
    fn loopback_is_direct_whatever_is_set() {
        let variables = [("all_proxy", "http://p:1")];
        for url in [
            "http://127.0.0.1/",
            "http://127.9.9.9:80/",
            "http://[::1]:80/",
            "http://[::ffff:127.0.0.1]/",
            "https://LocalHost/",
            "http://a.localhost./",
        ] {
            assert_eq!(proxy(&variables, url), Ok(None), "{url}");
        }
        for url in [
            "http://127.example/",
            "http://notlocalhost/",
            "http://[::2]/",
        ] {
            assert_eq!(proxy(&variables, url), Ok(Some("p".to_owned())), "{url}");
        }
    }

    #[test]
    fn what_no_proxy_lists_is_direct() {
        let asked = |list: &str, url: &str| {
            let variables = [("http_proxy", "http://p:1"), ("no_proxy", list)];
            proxy(&variables, url).unwrap().is_none()
        };
        let direct = [
            ("*", "http://a/"),
            ("b, example.com", "http://example.com/"),
            ("example.com", "http://a.example.com/"),
            (".Example.com", "http://a.example.com/"),
            ("*.example.com", "http://a.EXAMPLE.com./"),
            ("example.com:8080", "http://example.com:8080/"),
            ("10.1.2.3", "http://10.1.2.3/"),
            ("10.0.0.0/8", "http://10.1.2.3:99/"),
            ("0.0.0.0/0", "http://10.1.2.3/"),
            ("[fd00::1]:80", "http://[fd00::1]/"),
            ("fd00::/16", "http://[fd00::2]/"),
        ];
        for (list, url) in direct {
            assert!(asked(list, url), "{list:?} {url}");
        }
        let proxied = [
            ("", "http://a/"),
            (",.,", "http://a/"),
            ("example.com", "http://notexample.com/"),
            ("example.com:8080", "http://example.com/"),
            ("10.0.0.0/8", "http://11.1.2.3/"),
            ("10.0.0.0/+8", "http://10.1.2.3/"),
            ("10.0.0.0/33", "http://10.0.0.0/"),
            ("fd00::/16", "http://10.1.2.3/"),
        ];
        for (list, url) in proxied {
            assert!(!asked(list, url), "{list:?} {url}");
        }
    }

    #[test]
    fn a_bad_proxy_is_named_by_its_variable_and_only_where_it_is_needed() {
        let variables = [("ALL_PROXY", "socks5://user:secret@p:1")];
        let reason = proxy(&variables, "http://a/").unwrap_err();
        assert!(
            reason.contains("ALL_PROXY") && !reason.contains("secret"),
            "{reason}"
        );
        assert_eq!(proxy(&variables, "http://localhost/"), Ok(None));
    }
}
