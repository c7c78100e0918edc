//! One try: asks the URL, and says why it is not healthy.

use std::{
    io::{self, Read as _},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

#[cfg(feature = "tls")]
use ureq::unversioned::transport::Connector as _;
use ureq::{
    Agent, Body, Proxy, ProxyProtocol,
    config::{Config, ConfigBuilder},
    http::{Response, Uri},
    typestate::AgentScope,
};

#[cfg(feature = "tls")]
use super::tls::Trust;
use super::{Error, Kind, NO_ANSWER, Probe, redirect, unix};

/// What is read of an answer's body, so that the connection can be used again; the rest is never read.
const LONGEST_BODY: u64 = 64 * 1024;

/// How many redirects are followed in one try.
const MOST_REDIRECTS: usize = 10;

pub(super) enum Asker {
    Tcp(String),
    Http(Box<Http>),
}

pub(super) struct Http {
    probe: Probe,
    plain: Agent,
    /// Made when TLS is first needed, since it may have to read the platform's roots.
    secure: OnceLock<Agent>,
    #[cfg(feature = "tls")]
    trust: Trust,
}

impl Asker {
    pub(super) fn new(probe: &Probe) -> Result<Self, Error> {
        let address = probe.url.authority().map(ToString::to_string);
        match address {
            Some(address) if probe.url.scheme_str() == Some("tcp") => Ok(Self::Tcp(address)),
            _ => Ok(Self::Http(Box::new(Http::new(probe)?))),
        }
    }

    /// Asks once.
    pub(super) fn ask(&self, limit: Duration) -> Result<(), String> {
        match self {
            Self::Tcp(address) => connect(address, limit).map_err(|error| error.to_string()),
            Self::Http(http) => http.ask(Instant::now() + limit),
        }
    }
}

impl Http {
    fn new(probe: &Probe) -> Result<Self, Error> {
        #[cfg(not(feature = "tls"))]
        if let Some(path) = &probe.ca_file {
            return Err(Error::ca_file(path, io::ErrorKind::Unsupported.into()));
        }
        let http = Self {
            probe: probe.clone(),
            plain: agent(probe, config().build()),
            secure: OnceLock::new(),
            #[cfg(feature = "tls")]
            trust: Trust::of(probe)?,
        };
        http.proxy(&probe.url).map_err(Kind::BadProxy)?;
        Ok(http)
    }

    /// Asks, and follows redirects.
    fn ask(&self, deadline: Instant) -> Result<(), String> {
        let mut url = self.probe.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut answer = self.get(&url, deadline)?;
            let status = answer.status();
            if self.probe.expected.contains(&status.as_u16()) {
                return Ok(());
            }
            read_body(&mut answer);
            let next = redirect::target(&url, status, answer.headers());
            url = next.ok_or_else(|| format!("status {}", status.as_u16()))?;
        }
        Err(format!("more than {MOST_REDIRECTS} redirects"))
    }

    fn get(&self, url: &Uri, deadline: Instant) -> Result<Response<Body>, String> {
        let proxy = self.proxy(url)?;
        let mut request = self.agent(url, proxy.as_ref()).get(url);
        if redirect::keeps_headers(&self.probe.url, url) {
            for (name, value) in &self.probe.headers {
                request = request.header(name, value);
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let config = request.config().proxy(proxy).timeout_global(Some(left));
        config.build().call().map_err(|error| reason(&error))
    }

    fn proxy(&self, url: &Uri) -> Result<Option<Proxy>, String> {
        if self.probe.unix_socket.is_some() {
            return Ok(None);
        }
        self.probe.proxies.of(url)
    }

    fn agent(&self, url: &Uri, proxy: Option<&Proxy>) -> &Agent {
        let proxy = proxy.map(Proxy::protocol);
        if url.scheme_str() == Some("https") || proxy == Some(ProxyProtocol::Https) {
            self.secure.get_or_init(|| self.secure_agent())
        } else {
            &self.plain
        }
    }

    /// In a build without TLS the request itself fails, and says so.
    fn secure_agent(&self) -> Agent {
        let config = config();
        #[cfg(feature = "tls")]
        let config = config.tls_config(self.trust.config());
        agent(&self.probe, config.build())
    }
}

/// Redirects are followed here, since each may lead to where another proxy is to be used, or none.
fn config() -> ConfigBuilder<AgentScope> {
    Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(1)
        .proxy(None)
        .user_agent(concat!("sipid/", env!("CARGO_PKG_VERSION")))
}

fn agent(probe: &Probe, config: Config) -> Agent {
    match &probe.unix_socket {
        None => Agent::new_with_config(config),
        Some(path) => agent_for_socket(config, path),
    }
}

fn agent_for_socket(config: Config, path: &Path) -> Agent {
    let connector = unix::UnixConnector(path.to_owned());
    #[cfg(feature = "tls")]
    let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
    Agent::with_parts(config, connector, unix::NoResolver)
}

/// Whatever goes wrong here only costs the connection.
fn read_body(answer: &mut Response<Body>) {
    let mut body = answer.body_mut().as_reader().take(LONGEST_BODY);
    let _ = io::copy(&mut body, &mut io::sink());
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => NO_ANSWER.to_owned(),
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
