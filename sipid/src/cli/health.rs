//! `sipid wait-until-healthy`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use coord_core::{Status, cli::Failure, duration, live::LiveLine};
use sipid::{
    PidFile,
    health::{Probe, Proxies},
};

#[derive(Args)]
pub(super) struct Wait {
    /// What to ask: http://, https:// or tcp://host:port; through a proxy that the environment names, unless it is on loopback
    #[arg(long)]
    url: String,
    /// How long to ask at most
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::parse_positive)]
    timeout: Duration,
    /// How long from one try to the next
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse_positive)]
    polling_frequency: Duration,
    /// Trust the CAs in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Connect to this socket, whatever the URL's host is
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,
    /// The statuses that mean healthy
    #[arg(long, value_name = "N or N-M", default_value = "200")]
    expect_status: String,
    /// A header to send; may be repeated
    #[arg(long, value_name = "NAME:VALUE")]
    header: Vec<String>,
    /// Stop waiting as soon as the process in this pidfile is gone
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

impl Wait {
    pub(super) fn run(self) -> Result<Status, Failure> {
        let mut probe = Probe::new(&self.url)?
            .timeout(self.timeout)
            .polling_frequency(self.polling_frequency)
            .expect_status(range(&self.expect_status)?);
        for header in &self.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Failure::usage(format!("{header:?} is not a header: write NAME:VALUE"))
            })?;
            probe = probe.header(name.trim(), value.trim())?;
        }
        if self.insecure {
            log::warn!("any certificate is trusted");
            probe = probe.insecure();
        }
        if let Some(path) = self.ca_file {
            probe = probe.ca_file(path);
        }
        if let Some(path) = self.unix_socket {
            probe = probe.unix_socket(path);
        }
        probe = probe.proxies(Proxies::from_variables(|name| std::env::var(name).ok()));
        if let Some(path) = self.pid_file {
            probe = probe.watch(PidFile::new(path));
        }
        let _line = LiveLine::start(
            format!("waiting for {} to be healthy", self.url),
            Some(self.timeout),
        );
        probe.wait()?;
        Ok(Status::DONE)
    }
}

fn range(text: &str) -> Result<std::ops::RangeInclusive<u16>, Failure> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 100 <= first && first <= last && last <= 599 => Ok(first..=last),
        _ => Err(Failure::usage(format!(
            "{text:?} is not a range of statuses: write 200 or 200-299"
        ))),
    }
}
