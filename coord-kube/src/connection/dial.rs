//! Connects to the API server, by one of its addresses and perhaps through a proxy.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use kube::Config;
use tokio::{net::TcpStream, task::spawn_blocking};

use super::{
    Stream,
    proxy::{Environment, Protocol, Proxy, bare, port},
    tls::Tls,
    tunnel,
};
use crate::{Error, credentials::Identity};

/// How long one address may be silent before the next one is tried in parallel (RFC 8305 section 5;
/// its other rules do not matter for a few servers).
const NEXT_AFTER: Duration = Duration::from_millis(200);

/// How to reach the API server.
pub(super) struct Dialer {
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    /// `None` for a server with plain HTTP.
    tls: Option<Tls>,
    /// The first address to try: the last one that worked, or the one after an address that did
    /// not.
    first: Mutex<Option<SocketAddr>>,
}

/// Why the connection failed. No request has been sent on it.
#[derive(Debug)]
pub(crate) struct NotConnected {
    to: String,
    error: io::Error,
}

impl Dialer {
    pub(super) fn of(config: &Config) -> Result<Self, Error> {
        let server = &config.cluster_url;
        let host = bare(server.host().unwrap_or_default());
        // The configuration has no proxy except the kubeconfig's.
        let own_proxy = config.proxy_url.as_ref().map(ToString::to_string);
        Ok(Self {
            host: host.to_owned(),
            port: port(server),
            proxy: Proxy::to(server, own_proxy.as_deref(), &Environment::read())?,
            tls: match server.scheme_str() {
                Some("http") => None,
                _ => Some(Tls::of(config)?),
            },
            first: Mutex::default(),
        })
    }

    /// Connects, and returns the connection and whether it uses HTTP/2.
    pub(super) async fn dial(
        &self,
        identity: Option<&Identity>,
    ) -> Result<(Box<dyn Stream>, bool), NotConnected> {
        let (to, host, port) = match &self.proxy {
            Some(proxy) => (format!("the proxy {proxy}"), &proxy.host, proxy.port),
            None => (
                format!("{}:{}", self.host, self.port),
                &self.host,
                self.port,
            ),
        };
        let done = async {
            let addresses = self.in_order(look_up(host, port).await?);
            let connect = |address| self.connect(address, identity);
            let (address, connected) = race(addresses, NEXT_AFTER, connect).await?;
            *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
            Ok(connected)
        };
        done.await.map_err(|error| NotConnected { to, error })
    }

    /// Notes the second address as the next one to begin with, in case the caller gives up before
    /// it is connected.
    fn in_order(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let at = first.and_then(|first| addresses.iter().position(|it| *it == first));
        addresses.rotate_left(at.unwrap_or(0));
        *first = addresses.get(1).copied();
        addresses
    }

    async fn connect(
        &self,
        address: SocketAddr,
        identity: Option<&Identity>,
    ) -> io::Result<(Box<dyn Stream>, bool)> {
        let stream = TcpStream::connect(address).await?;
        // Otherwise, after an idle time, a request waits 40 ms for the server's delayed
        // acknowledgement, tcp(7).
        stream.set_nodelay(true)?;
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if let Some(proxy) = &self.proxy {
            stream = self.through(proxy, stream).await?;
        }
        match &self.tls {
            Some(tls) => tls.to_server(stream, identity).await,
            None => Ok((stream, false)),
        }
    }

    async fn through(
        &self,
        proxy: &Proxy,
        mut stream: Box<dyn Stream>,
    ) -> io::Result<Box<dyn Stream>> {
        if let (Protocol::Https, Some(tls)) = (proxy.protocol, &self.tls) {
            stream = tls.to_proxy(stream, &proxy.host).await?;
        }
        match proxy.protocol {
            Protocol::Socks5 => tunnel::socks5(&mut *stream, proxy, &self.host, self.port).await?,
            _ => tunnel::connect(&mut *stream, proxy, &self.host, self.port).await?,
        }
        Ok(stream)
    }
}

/// The addresses of a host, `getaddrinfo(3)`.
///
/// If the runtime shuts down, it cancels the lookup. That says nothing about the host, and the
/// caller is about to end too, so the future stays pending.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    let found = spawn_blocking(move || (&*host, port).to_socket_addrs().map(Iterator::collect));
    match found.await {
        Ok(found) => found,
        Err(error) if error.is_cancelled() => std::future::pending().await,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Tries the addresses until one succeeds, and returns which. A silent address delays the next one;
/// a failing one does not.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    next_after: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<(SocketAddr, T)>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        let next = left.next();
        let more = next.is_some();
        if let Some(address) = next {
            let connected = connect(address);
            running.push(async move { (address, connected.await) });
        }
        let one = async {
            match more {
                true => tokio::time::timeout(next_after, running.next()).await,
                false => Ok(running.next().await),
            }
        };
        match one.await {
            Ok(Some((address, Ok(done)))) => return Ok((address, done)),
            // The first error is the most useful.
            Ok(Some((_, Err(error)))) => drop(failure.get_or_insert(error)),
            Ok(None) if !more => break,
            Ok(None) | Err(_) => {}
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::other("its name has no address")))
}

impl NotConnected {
    pub(super) fn of_handshake(error: hyper::Error) -> Self {
        Self {
            to: "the server".to_owned(),
            error: io::Error::other(error),
        }
    }
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}", self.to)
    }
}

impl std::error::Error for NotConnected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_does_not_stand_in_the_way_of_the_next() {
        let connect = async |address: SocketAddr| match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            port => Ok(port),
        };
        let won = race(addresses(3), NEXT_AFTER, connect).await.unwrap();
        assert_eq!(won.1, 3);
        let won = race(addresses(2), NEXT_AFTER, async |address| {
            tokio::time::sleep(NEXT_AFTER * 3 / u32::from(address.port())).await;
            Ok(address.port())
        });
        assert_eq!(won.await.unwrap().1, 2, "the first one to be there counts");
    }

    #[test]
    fn a_runtime_that_ends_says_nothing_of_the_host() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _entered = handle.enter();
        let looked_up = std::pin::pin!(look_up("localhost", 1));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(looked_up.poll(&mut context).is_pending());
    }

    #[tokio::test]
    async fn a_host_is_a_name_or_an_address() {
        for (host, address) in [("127.0.0.2", "127.0.0.2:7"), ("::1", "[::1]:7")] {
            let found = look_up(host, 7).await.unwrap();
            assert_eq!(found, [address.parse().unwrap()]);
        }
        let local = look_up("localhost", 7).await.unwrap();
        assert!(local.iter().any(|address| address.ip().is_loopback()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failure_is_told_when_all_fail() {
        let connect = async |address: SocketAddr| match address.port() {
            1 => Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)),
            _ => Err(io::Error::from(io::ErrorKind::HostUnreachable)),
        };
        let failed = race(addresses(2), NEXT_AFTER, connect).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionRefused);
        let none = race(addresses(0), NEXT_AFTER, connect).await.unwrap_err();
        assert!(none.to_string().contains("no address"), "{none}");
    }
}
