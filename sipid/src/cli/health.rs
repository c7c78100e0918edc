//! `sipid wait-until-healthy`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use coord_core::{
    Errno, Status,
    cli::{Failure, help::heading},
    duration,
    live::LiveLine,
    signal,
};
use nix::sys::signal::{SigHandler, Signal};
use sipid::{
    PidFile,
    health::{Error, Probe, Proxies, Statuses, Target},
};

#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct Wait {
    /// URL to poll; may be repeated. http:// and https:// must answer as expected, tcp:// and unix:
    /// must accept a connection, the path of file: must exist. http:// and https:// use the proxies
    /// of the environment, except for loopback
    #[arg(long, group = "what")]
    url: Vec<String>,
    /// Give up after this long (exit status 110)
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::parse_positive, help_heading = heading::WAITING)]
    timeout: Duration,
    /// Time from one try to the next. It also limits each try, but not to less than 1s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse_positive, help_heading = heading::WAITING)]
    polling_frequency: Duration,
    /// Double the time between tries after each try, up to this [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, help_heading = heading::WAITING)]
    max_polling_frequency: Option<Duration>,
    /// HTTP statuses that mean healthy, such as 200,204,300-399
    #[arg(long, value_name = "LIST", default_value = "200", help_heading = heading::REQUEST)]
    expect_status: Statuses,
    /// Text that the answer's body must contain
    #[arg(long, value_name = "TEXT", conflicts_with = "expect_body_regex", help_heading = heading::REQUEST)]
    expect_body: Option<String>,
    /// Regular expression that the answer's body must match somewhere
    #[arg(long, value_name = "REGEX", help_heading = heading::REQUEST)]
    expect_body_regex: Option<String>,
    /// Header to send; may be repeated. Redirects to another scheme, host or port do not get it
    #[arg(long, value_name = "NAME:VALUE", help_heading = heading::REQUEST)]
    header: Vec<String>,
    /// Trust only the CAs in this PEM file, and servers whose own certificate is in it
    #[arg(long, value_name = "FILE", help_heading = heading::REQUEST)]
    ca_file: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca_file", help_heading = heading::REQUEST)]
    insecure: bool,
    /// PEM file with the client certificate and those that issued it
    #[arg(long, value_name = "FILE", help_heading = heading::REQUEST)]
    cert: Option<PathBuf>,
    /// PEM file with the private key of --cert [default: the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = heading::REQUEST)]
    key: Option<PathBuf>,
    /// For http:// and https://, connect to this Unix socket, whatever the URL's host is
    #[arg(long, value_name = "PATH", help_heading = heading::REQUEST)]
    unix_socket: Option<PathBuf>,
    /// Stop waiting as soon as the process in this pidfile is gone (exit status 3); it may start
    /// during the wait
    #[arg(long, visible_alias = "pidfile", value_name = "FILE", help_heading = heading::WAITING)]
    pid_file: Option<PathBuf>,
    /// Command to poll, which is healthy when it exits with status 0
    #[arg(last = true, value_name = "CMD", group = "what")]
    command: Vec<OsString>,
}

impl Wait {
    pub(super) fn run(self) -> Result<Status, Failure> {
        if self.command.is_empty() {
            signal::reap_inherited();
        } else {
            hear_of_children();
        }
        let targets = self.targets()?;
        let shown: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let timeout = self.timeout;
        let probe = self.probe(targets)?;
        let what = format!("waiting for {} to be healthy", shown.join(", "));
        let _line = LiveLine::start(what, Some(timeout));
        probe.wait().map_err(failure)?;
        Ok(Status::DONE)
    }

    fn targets(&self) -> Result<Vec<Target>, Error> {
        let mut targets: Vec<Target> = self
            .url
            .iter()
            .map(|url| url.parse())
            .collect::<Result<_, _>>()?;
        if !self.command.is_empty() {
            targets.push(Target::command(&self.command)?);
        }
        Ok(targets)
    }

    fn probe(self, targets: Vec<Target>) -> Result<Probe, Failure> {
        let mut targets = targets.into_iter();
        // clap has checked that there is one.
        let first = targets
            .next()
            .ok_or_else(|| Failure::usage("no URL is given"))?;
        let mut probe = targets
            .fold(Probe::of(first), Probe::and)
            .timeout(self.timeout)
            .polling_frequency(self.polling_frequency)
            .expect_status(self.expect_status)
            .proxies(Proxies::from_variables(|name| std::env::var(name).ok()));
        for header in &self.header {
            let (name, value) = split_header(header)?;
            probe = probe.header(name, value)?;
        }
        if self.insecure {
            log::warn!("any certificate is trusted");
            probe = probe.insecure();
        }
        if let Some(slowest) = self.max_polling_frequency {
            probe = probe.max_polling_frequency(slowest);
        }
        if let Some(text) = self.expect_body {
            probe = probe.expect_body(text);
        }
        if let Some(regex) = self.expect_body_regex {
            probe = probe.expect_body_regex(&regex)?;
        }
        if let Some(path) = self.ca_file {
            probe = probe.ca_file(path);
        }
        if let Some(cert) = self.cert {
            let key = self.key.unwrap_or_else(|| cert.clone());
            probe = probe.client_certificate(cert, key);
        }
        if let Some(path) = self.unix_socket {
            probe = probe.unix_socket(path);
        }
        if let Some(path) = self.pid_file {
            probe = probe.watch(PidFile::new(path));
        }
        Ok(probe)
    }
}

/// While SIGCHLD is ignored, as a parent may have left it, the kernel throws the statuses of
/// children away, `wait(2)`.
fn hear_of_children() {
    // SAFETY: no handler is installed.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// The text may be a secret without a name, and is not repeated.
fn split_header(header: &str) -> Result<(&str, &str), Failure> {
    let split = header.split_once(':');
    let (name, value) =
        split.ok_or_else(|| Failure::usage("a --header has no colon: write NAME:VALUE"))?;
    Ok((name.trim(), value.trim()))
}

/// A command's own statuses are those that shells and timeout(1) use.
fn failure(error: Error) -> Failure {
    let status = match error.errno() {
        _ if !error.is_about_a_command() => return error.into(),
        Errno::ENOENT => Status::NOT_FOUND,
        _ => Status::CANNOT_EXECUTE,
    };
    Failure::new(status, error)
}
