//! One try: polls a target, and returns why it is not healthy.

use std::{fs, io, path::Path, time::Instant};

use super::{
    Probe, command,
    connect::Connector,
    dial,
    http::{Connection, Head},
    reason::{Reason, phase},
    redirect,
    target::What,
    url::{Origin, Url},
};

/// How much of an unhealthy answer's body is read, so that the connection can be reused. The rest
/// is never read.
const MOST_SKIPPED: u64 = 64 * 1024;

/// How much of a body is searched for expected content.
const MOST_SEARCHED: u64 = 1024 * 1024;

/// How many redirects are followed in one try.
const MOST_REDIRECTS: usize = 10;

/// Polls one target.
pub(super) struct Asker<'a> {
    connector: Connector<'a>,
    /// The last connection, if it can be reused.
    idle: Option<(Origin, Connection)>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(connector: Connector<'a>) -> Self {
        Self {
            connector,
            idle: None,
        }
    }

    /// Makes one try.
    pub(super) fn ask(&mut self, target: &What, until: Instant) -> Result<(), Reason> {
        let watch = &self.connector.watch;
        match target {
            What::Http(url) => self.ask_http(url, until),
            What::Tcp(url) => self.connector.direct(url, until).map(drop),
            What::Unix(path) => dial::unix(path, watch, until).map(drop),
            What::File(path) => exists(path),
            What::Command(command) => command::run(command, watch, until),
        }
    }

    /// Sends requests, and follows redirects.
    fn ask_http(&mut self, first: &Url, until: Instant) -> Result<(), Reason> {
        let probe = self.connector.probe;
        let mut url = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let (mut connection, head) = self.get(first, &url, until)?;
            if probe.statuses.contains(head.status) {
                return judge_body(probe, &mut connection, &head);
            }
            let next = redirect::target(&url, head.status, head.get("location"));
            self.keep(&url, connection, &head);
            url = match next {
                Some(next) => next,
                None if url == *first => {
                    return Err(Reason::failed(&format!("status {}", head.status)));
                }
                None => {
                    let why = format!("status {} after a redirect to {url}", head.status);
                    return Err(Reason::failed(&why));
                }
            };
        }
        let why = format!("more than {MOST_REDIRECTS} redirects");
        Err(Reason::failed(&why))
    }

    /// The first URL's headers and password are sent only to its own scheme, host and port.
    fn get(
        &mut self,
        first: &Url,
        url: &Url,
        until: Instant,
    ) -> Result<(Connection, Head), Reason> {
        let is_own = first.origin() == url.origin();
        let headers = if is_own {
            &self.connector.probe.headers[..]
        } else {
            &[]
        };
        let authorization = url.authorization();
        let authorization = authorization.or_else(|| first.authorization().filter(|_| is_own));
        let ask = |mut connection: Connection| {
            connection.limit(until);
            let head = connection.get(url, authorization.as_deref(), headers);
            head.map(|head| (connection, head))
        };
        if let Some(idle) = self.take_idle(url) {
            match ask(idle) {
                // The server may have closed it at that very moment, RFC 9112 section 9.3.1.
                Err(error) if is_end(&error) => {}
                asked => return asked.map_err(|error| Reason::of(phase::ANSWER, &error)),
            }
        }
        ask(self.connector.open(url, until)?).map_err(|error| Reason::of(phase::ANSWER, &error))
    }

    fn take_idle(&mut self, url: &Url) -> Option<Connection> {
        let (origin, connection) = self.idle.take()?;
        (origin == url.origin() && connection.is_quiet()).then_some(connection)
    }

    /// Keeps the connection for the next try if the answer ends soon enough. Nobody needs the body,
    /// so an error in it only costs the connection.
    fn keep(&mut self, url: &Url, mut connection: Connection, head: &Head) {
        let is_read =
            head.keeps_open() && matches!(connection.read_body(head, MOST_SKIPPED), Ok((_, true)));
        self.idle = is_read.then(|| (url.origin(), connection));
    }
}

fn judge_body(probe: &Probe, connection: &mut Connection, head: &Head) -> Result<(), Reason> {
    let Some(expected) = &probe.body else {
        return Ok(());
    };
    let read = connection.read_body(head, MOST_SEARCHED);
    let (body, _) = read.map_err(|error| Reason::of(phase::ANSWER, &error))?;
    if expected.accepts(&body) {
        Ok(())
    } else {
        Err(Reason::failed(expected))
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
    )
}

fn exists(path: &Path) -> Result<(), Reason> {
    fs::metadata(path)
        .map(drop)
        .map_err(|error| Reason::failed(&error))
}
