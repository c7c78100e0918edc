//! One try: asks the URL, and says why it is not healthy.

use std::{
    io::{self, Read},
    net::{IpAddr, TcpStream, ToSocketAddrs},
    ops::RangeInclusive,
    path::Path,
    time::{Duration, Instant},
};

#[cfg(feature = "tls")]
use ureq::unversioned::transport::Connector as _;
use ureq::{Agent, config::Config, http::Uri};

use super::{Error, Probe, unix};

/// What is read of an answer's body, so that the connection can be used again; the rest is never read.
const LONGEST_BODY: u64 = 64 * 1024;

pub(super) enum Asker {
    Tcp(String),
    Http(Agent, Box<Probe>),
}

impl Asker {
    pub(super) fn new(probe: &Probe) -> Result<Self, Error> {
        if probe.url.scheme_str() == Some("tcp") {
            return Ok(Self::Tcp(
                probe
                    .url
                    .authority()
                    .map_or_else(String::new, ToString::to_string),
            ));
        }
        let config = configured(probe)?;
        let agent = match &probe.unix_socket {
            None => Agent::new_with_config(config),
            Some(path) => agent_for_socket(config, path),
        };
        Ok(Self::Http(agent, Box::new(probe.clone())))
    }

    /// Asks once.
    pub(super) fn ask(&self, limit: Duration) -> Result<(), String> {
        match self {
            Self::Tcp(address) => connect(address, limit).map_err(|error| error.to_string()),
            Self::Http(agent, probe) => get(agent, probe, limit),
        }
    }
}

fn configured(probe: &Probe) -> Result<Config, Error> {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(10)
        .max_idle_connections(1);
    let config = config.user_agent(concat!("sipid/", env!("CARGO_PKG_VERSION")));
    #[cfg(not(feature = "tls"))]
    if let Some(path) = &probe.ca_file {
        return Err(Error::ca_file(path, io::ErrorKind::Unsupported.into()));
    }
    #[cfg(feature = "tls")]
    let config = if probe.url.scheme_str() == Some("https") || probe.ca_file.is_some() {
        config.tls_config(super::tls::config(probe)?)
    } else {
        config.tls_config(super::tls::plain(probe))
    };
    let direct = probe.unix_socket.is_some() || is_loopback(&probe.url);
    Ok(if direct {
        config.proxy(None).build()
    } else {
        config.build()
    })
}

fn agent_for_socket(config: Config, path: &Path) -> Agent {
    let connector = unix::UnixConnector(path.to_owned());
    #[cfg(feature = "tls")]
    let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
    Agent::with_parts(config, connector, unix::NoResolver)
}

fn is_loopback(url: &Uri) -> bool {
    let host = url
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host
        .parse::<IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback());
    address || name == "localhost" || name.ends_with(".localhost")
}

fn get(agent: &Agent, probe: &Probe, limit: Duration) -> Result<(), String> {
    let mut request = agent.get(&probe.url);
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let answer = request.config().timeout_global(Some(limit)).build().call();
    let mut answer = answer.map_err(|error| reason(&error))?;
    let status = answer.status().as_u16();
    if is_expected(&probe.expected, status) {
        return Ok(());
    }
    // Whatever goes wrong here only costs the connection.
    let _ = io::copy(
        &mut answer.body_mut().as_reader().take(LONGEST_BODY),
        &mut io::sink(),
    );
    Err(format!("status {status}"))
}

fn is_expected(expected: &RangeInclusive<u16>, status: u16) -> bool {
    expected.contains(&status)
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn connect(address: &str, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
