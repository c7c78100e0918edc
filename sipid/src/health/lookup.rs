//! The addresses of a host. A lookup that takes longer than one try continues during the next ones.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use super::{
    dial,
    reason::{Reason, phase},
    url::Url,
    watch::{GLANCE, Watch},
};

/// Name lookups in progress. Nothing can cancel one: `getaddrinfo(3)` takes as long as the name
/// servers let it, so each has its own thread.
#[derive(Default)]
pub(super) struct Lookups(HashMap<String, Receiver<io::Result<Vec<IpAddr>>>>);

impl Lookups {
    /// The addresses of the URL's host, with its port. An IP address or `localhost` needs no
    /// lookup.
    pub(super) fn addresses(
        &mut self,
        url: &Url,
        watch: &Watch,
        until: Instant,
    ) -> Result<Vec<SocketAddr>, Reason> {
        let (host, port) = (url.host(), url.port());
        let found = match host.parse() {
            Ok(IpAddr::V6(address)) => return Ok(vec![scoped(address, url)?]),
            Ok(address) => vec![address],
            Err(_) if is_localhost(host) => {
                vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
            }
            Err(_) => self.look_up(host, watch, until)?,
        };
        Ok(found
            .into_iter()
            .map(|address| (address, port).into())
            .collect())
    }

    fn look_up(
        &mut self,
        host: &str,
        watch: &Watch,
        until: Instant,
    ) -> Result<Vec<IpAddr>, Reason> {
        let lookup = match self.0.remove(host) {
            Some(lookup) => lookup,
            None => start(host)
                .map_err(|error| Reason::lacking("start a thread for the name lookup", error))?,
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match lookup.recv_timeout(left.min(GLANCE)) {
                Ok(found) => return found.map_err(|error| Reason::failed(&error)),
                Err(RecvTimeoutError::Timeout) if left.is_zero() || watch.is_gone() => {
                    self.0.insert(host.to_owned(), lookup);
                    return Err(Reason::Slow(phase::LOOKUP));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Reason::failed(&"the name lookup ended without a result"));
                }
            }
        }
    }
}

fn start(host: &str) -> io::Result<Receiver<io::Result<Vec<IpAddr>>>> {
    let (sender, lookup) = mpsc::channel();
    let host = host.to_owned();
    let find = move || {
        let found = (host.as_str(), 0).to_socket_addrs();
        // If the wait is over, nobody needs the result.
        let _ = sender.send(found.map(|all| all.map(|address| address.ip()).collect()));
    };
    thread::Builder::new()
        .name("lookup".to_owned())
        .spawn(find)?;
    Ok(lookup)
}

/// Whether it is a `localhost` name, for which no name server is asked, RFC 6761 section 6.3.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Adds the index of the interface that the URL names, which may come and go.
fn scoped(address: Ipv6Addr, url: &Url) -> Result<SocketAddr, Reason> {
    let scope = match url.zone() {
        None => 0,
        Some(zone) => match zone.parse() {
            Ok(index) => index,
            Err(_) => dial::interface(zone)?,
        },
    };
    Ok(SocketAddrV6::new(address, url.port(), 0, scope).into())
}
