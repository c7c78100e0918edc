//! Connects to a URL: through a socket, a proxy, TLS, or none of them.

use std::{net::SocketAddr, sync::Arc, time::Instant};

#[cfg(feature = "tls")]
use super::tls::Trust;
use super::{
    Probe, dial,
    http::Connection,
    lookup::Lookups,
    reason::{Reason, phase},
    stream::{Socket, Stream},
    url::Url,
    watch::Watch,
};

/// Opens the connections of one target.
pub(super) struct Connector<'a> {
    pub(super) probe: &'a Probe,
    pub(super) watch: Arc<Watch>,
    #[cfg(feature = "tls")]
    pub(super) trust: &'a Trust,
    pub(super) lookups: Lookups,
}

impl Connector<'_> {
    /// Opens a connection for requesting the URL.
    pub(super) fn open(&mut self, url: &Url, until: Instant) -> Result<Connection, Reason> {
        let stream = match &self.probe.unix_socket {
            Some(path) => self.socket(dial::unix(path, &self.watch, until)?, until),
            None => match self.probe.proxies.of(url).map_err(Reason::Failed)? {
                Some(proxy) => self.through(&proxy, url, until)?,
                None => self.direct(url, until)?,
            },
        };
        Ok(Connection::new(self.secured(stream, url)?))
    }

    /// Connects to the URL's host, without TLS.
    pub(super) fn direct(&mut self, url: &Url, until: Instant) -> Result<Box<dyn Stream>, Reason> {
        let addresses: Vec<SocketAddr> = self.lookups.addresses(url, &self.watch, until)?;
        Ok(self.socket(dial::tcp(addresses, &self.watch, until)?, until))
    }

    fn through(
        &mut self,
        proxy: &Url,
        url: &Url,
        until: Instant,
    ) -> Result<Box<dyn Stream>, Reason> {
        let stream = self.direct(proxy, until)?;
        let connection = Connection::new(self.secured(stream, proxy)?);
        connection
            .tunnel(url, proxy.authorization())
            .map_err(|error| Reason::of(phase::PROXY, &error))
    }

    fn socket(&self, socket: std::os::fd::OwnedFd, until: Instant) -> Box<dyn Stream> {
        Box::new(Socket::new(socket, self.watch.clone(), until))
    }

    #[cfg(feature = "tls")]
    fn secured(&self, stream: Box<dyn Stream>, url: &Url) -> Result<Box<dyn Stream>, Reason> {
        if url.is_secure() {
            self.trust.secure(stream, url.host())
        } else {
            Ok(stream)
        }
    }

    #[cfg(not(feature = "tls"))]
    fn secured(&self, stream: Box<dyn Stream>, url: &Url) -> Result<Box<dyn Stream>, Reason> {
        if url.is_secure() {
            Err(Reason::failed(&"this build has no TLS"))
        } else {
            Ok(stream)
        }
    }
}
