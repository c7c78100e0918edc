//! One connection to an HTTP server, and requests over it.

use std::{
    io::{self, BufReader, Write},
    time::Instant,
};

use http::HeaderValue;

pub(super) use super::answer::Head;
use super::{stream::Stream, url::Url};

const USER_AGENT: &str = concat!("sipid/", env!("CARGO_PKG_VERSION"));

/// A header's name as it was given, and its value.
pub(super) type Header = (String, HeaderValue);

pub(super) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Whether it can be reused: a server may have closed it, or sent unrequested data.
    pub(super) fn is_quiet(&self) -> bool {
        self.stream.buffer().is_empty() && self.stream.get_ref().is_quiet()
    }

    /// Sets the time limit for everything that follows.
    pub(super) fn limit(&mut self, until: Instant) {
        self.stream.get_mut().limit(until);
    }

    /// Requests the URL, and reads the head of the answer.
    pub(super) fn get(
        &mut self,
        url: &Url,
        authorization: Option<&str>,
        headers: &[Header],
    ) -> io::Result<Head> {
        self.exchange(&request(url, authorization, headers))
    }

    /// Asks a proxy for a connection to the URL's host, RFC 9110 section 9.3.6.
    pub(super) fn tunnel(
        mut self,
        url: &Url,
        authorization: Option<String>,
    ) -> io::Result<Box<dyn Stream>> {
        let to = url.host_and_port();
        let authorization = authorization
            .map(|value| format!("Proxy-Authorization: {value}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: {USER_AGENT}\r\n{authorization}\r\n"
        );
        let head = self.exchange(request.as_bytes())?;
        match head.status {
            200..=299 => Ok(self.stream.into_inner()),
            status => Err(io::Error::other(format!(
                "the proxy answers with status {status}"
            ))),
        }
    }

    pub(super) fn read_body(&mut self, head: &Head, most: u64) -> io::Result<(Vec<u8>, bool)> {
        head.read_body(&mut self.stream, most)
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        self.stream.get_mut().write_all(request)?;
        self.stream.get_mut().flush()?;
        Head::read(&mut self.stream)
    }
}

/// The caller's headers replace our own.
fn request(url: &Url, authorization: Option<&str>, headers: &[Header]) -> Vec<u8> {
    let host = url.host_header();
    let own = [
        ("Host", Some(host.as_str())),
        ("User-Agent", Some(USER_AGENT)),
        ("Accept", Some("*/*")),
        ("Authorization", authorization),
    ];
    let mut request = format!("GET {} HTTP/1.1\r\n", url.request_target()).into_bytes();
    let mut add = |name: &str, value: &[u8]| {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    };
    for (name, value) in own {
        let is_given = headers
            .iter()
            .any(|(given, _)| given.eq_ignore_ascii_case(name));
        if let Some(value) = value.filter(|_| !is_given) {
            add(name, value.as_bytes());
        }
    }
    for (name, value) in headers {
        add(name, value.as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request
}
