//! Asks a helper that cannot run under `follow` to end: one HTTP request to a URL of the helper,
//! such as a proxy's `quitquitquit`.
//!
//! Such a helper listens on the Pod's loopback. So this needs no TLS, proxies or redirects, and the
//! standard library is enough.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    str::FromStr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use coord_core::text::{decimal, without_password};

/// More than any status line.
const LONGEST: u64 = 4096;

/// A URL to which a request can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port, as in the `Host` header.
    authority: String,
    path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            let shown = without_password(text);
            format!("{shown:?} {why}: give a URL like http://127.0.0.1:15020/quitquitquit")
        };
        let rest = text.strip_prefix("http://");
        let rest = rest.ok_or_else(|| refused("does not start with http://"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_graphic();
        if authority.is_empty() || authority.contains('@') || !rest.chars().all(is_plain) {
            return Err(refused("is not a URL of a host, a port and a path"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = Self {
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        };
        match url.port() {
            Some(_) => Ok(url),
            None => Err(refused("has a port that is not a number from 1 to 65535")),
        }
    }
}

impl Url {
    /// The port, 80 if none is given; none for one that makes no sense.
    fn port(&self) -> Option<u16> {
        let after_host = self
            .authority
            .rsplit_once(']')
            .map_or(&*self.authority, |(_, rest)| rest);
        match after_host.split_once(':') {
            None => Some(80),
            Some((_, port)) => decimal(port).filter(|port| *port != 0),
        }
    }

    fn host(&self) -> &str {
        match self
            .authority
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((address, _)) => address,
            None => self.authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Sends the request and waits for the answer's status, for this long at most.
    ///
    /// # Errors
    /// Those of the connection; `TimedOut`; and an answer that is not a success.
    pub(crate) fn post(&self, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        let mut connection = self.connect(deadline)?;
        connection.set_write_timeout(Some(left(deadline)?))?;
        let Self { authority, path } = self;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        connection.write_all(request.as_bytes())?;
        match status(&mut connection, deadline)? {
            200..=299 => Ok(()),
            status => Err(io::Error::other(format!("answered with status {status}"))),
        }
    }

    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let addresses = addresses(self.host(), self.port().unwrap_or(80), deadline)?;
        let mut failure = io::Error::other("the host has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// The addresses of a host. Looking a name up cannot be ended, so it is left behind in its thread
/// when the time is over.
fn addresses(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (found, addresses) = mpsc::channel();
    let name = host.to_owned();
    let look_up = move || {
        let all = (&*name, port).to_socket_addrs();
        let _ = found.send(all.map(Iterator::collect));
    };
    thread::Builder::new().spawn(look_up)?;
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no address of {host} in time"),
        )
    };
    addresses.recv_timeout(left(deadline)?).map_err(late)?
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// The time of one read is over, or a signal came: what counts is the deadline.
fn is_passing(error: &io::Error) -> bool {
    let passing = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
    passing.contains(&error.kind())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
    } else {
        Ok(left)
    }
}

/// The status of the answer's first line, `HTTP/1.1 200 OK`.
fn status(connection: &mut TcpStream, deadline: Instant) -> io::Result<u16> {
    let mut line = Vec::new();
    while !line.contains(&b'\n') && (line.len() as u64) < LONGEST {
        connection.set_read_timeout(Some(left(deadline)?))?;
        let mut buffer = [0; 256];
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => line.extend_from_slice(&buffer[..length]),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let line = String::from_utf8_lossy(&line);
    let status = line
        .strip_prefix("HTTP/")
        .and_then(|rest| rest.split(' ').nth(1));
    let status = status.map(str::trim).and_then(decimal);
    status.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = parse("http://localhost:15020/quitquitquit");
        assert_eq!((url.host(), url.port()), ("localhost", Some(15020)));
        assert_eq!(url.path, "/quitquitquit");
        let url = parse("http://[::1]?now#here");
        assert_eq!((url.host(), url.port()), ("::1", Some(80)));
        assert_eq!(url.path, "/?now");
        assert_eq!(parse("http://[::1]:99/").port(), Some(99));
        assert_eq!(parse("http://h").to_string(), "http://h/");
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        for text in [
            "https://localhost/",
            "localhost:80",
            "http://",
            "http:///x",
            "http://u:p@h/",
            "http://h/a b",
            "http://h/\r\nX:",
            "http://h:0/",
            "http://h:+80/",
            "http://h:x/",
            "http://h:70000/",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text:?}");
        }
    }
}
