//! `acquire`, `release` and `break`: locks that scripts hold across steps.

use std::time::Duration;

use clap::Args;
use cmlock::{Client, ErrorKind, Held, Lock, Record};
use coord_core::{
    Errno, Status,
    cli::{Failure, Tool as _, help::heading, print, program},
    duration, parse_label,
    text::{escaped, shell_quoted},
};
use coord_lease::{
    Signals, Times, WaitLimit, WaitReport,
    output::{self, ShowFormat},
    runtime,
};
use serde_json::json;

use super::{CmlockCli, client::PodArgs, report};

// The arguments that `run` and `acquire` share. (clap would take a doc comment for their help.)
#[derive(Args)]
pub(crate) struct Wanted {
    /// Let the lock expire this long after it was acquired, or last extended by run. This is also
    /// the default of --wait. At least 1s [default: the lock does not expire]
    #[arg(long, value_name = "DURATION", value_parser = expiry, help_heading = heading::WAITING)]
    pub(crate) timeout: Option<Duration>,
    /// Wait at most this long, or `forever` [default: the value of --timeout, else forever]
    #[arg(long, value_name = "DURATION", value_parser = WaitLimit::parse, conflicts_with = "no_wait", help_heading = heading::WAITING)]
    wait: Option<WaitLimit>,
    /// Do not wait: fail if somebody else holds the lock
    #[arg(long, help_heading = heading::WAITING)]
    no_wait: bool,
    /// Put a label on the lock's ConfigMap; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label, help_heading = heading::LOCK)]
    labels: Vec<(String, String)>,
}

#[derive(Args)]
pub(crate) struct Acquire {
    /// Name of the lock
    name: String,
    #[command(flatten)]
    wanted: Wanted,
    /// Output format: text is the holder's ID, json and yaml are an object with holder and name
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = ShowFormat::Text)]
    output: ShowFormat,
}

#[derive(Args)]
pub(crate) struct Release {
    /// Name of the lock
    name: String,
    /// Only if the holder has this ID, which acquire printed [default: any holder in this Pod]
    #[arg(long, value_name = "ID", help_heading = heading::LOCK)]
    holder: Option<String>,
}

#[derive(Args)]
pub(crate) struct Break {
    /// Name of the lock
    name: String,
    /// ID of the holder, as status shows it; for a holder without an ID, the ConfigMap's UID. Until
    /// that holder notices, two holders may both believe they have the lock
    #[arg(long, value_name = "ID", help_heading = heading::LOCK)]
    holder: String,
}

/// A shorter one would be over before anybody could use the lock.
fn expiry(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(expiry) if expiry < Times::SHORTEST => Err("use at least 1s".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

impl Wanted {
    /// Begins to wait.
    pub(crate) fn report(&self, name: &str) -> WaitReport {
        WaitReport::start(CmlockCli::NAME, [name], self.limit(), !self.no_wait)
    }

    pub(crate) fn lock(&self, client: &Client, name: &str, report: &WaitReport) -> Lock {
        let lock = Lock::new(client, name)
            .hold(self.timeout.unwrap_or_default())
            .with_labels(self.labels.clone())
            .on_event(report::handler(report));
        match self.limit() {
            _ if self.no_wait => lock.wait(Duration::ZERO),
            Some(limit) => lock.wait(limit),
            None => lock,
        }
    }

    /// How long to wait; none for ever.
    fn limit(&self) -> Option<Duration> {
        self.wait.map_or(self.timeout, WaitLimit::duration)
    }
}

impl Acquire {
    pub(crate) fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let runtime = runtime()?;
        let report = self.wanted.report(&self.name);
        let done = runtime.block_on(self.acquire(pod, &report));
        report.end();
        runtime.shutdown_background();
        done
    }

    async fn acquire(&self, pod: &PodArgs, report: &WaitReport) -> Result<Status, Failure> {
        let signals = Signals::catch()?;
        let lock = self.wanted.lock(&pod.waiting().await?, &self.name, report);
        let held = match lock.acquire_unless(signals.clone().came()).await {
            Ok(held) => held,
            Err(error) => {
                let Some(status) = signals
                    .status()
                    .filter(|_| error.errno() == Errno::ECANCELED)
                else {
                    return Err(error.into());
                };
                report.cancelled();
                return Ok(status);
            }
        };
        self.leave(held, &signals).await
    }

    /// Leaves the lock held when its ID has been told, which is all that can release it.
    async fn leave(&self, held: Held, signals: &Signals) -> Result<Status, Failure> {
        if let Some(status) = signals.status() {
            held.release().await?;
            return Ok(status);
        }
        let object = json!({"name": self.name, "holder": held.id()});
        let words = match self.output {
            ShowFormat::Text => format!("{}\n", held.id()),
            ShowFormat::Json => format!("{}\n", output::json(&object)),
            ShowFormat::Yaml => output::yaml(&object),
        };
        let printed = print(&words);
        if printed.is_ok() {
            held.detach();
        } else {
            held.release().await?;
        }
        printed.map(|()| Status::DONE)
    }
}

impl Release {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        cmlock::release(&client, &self.name, self.holder.as_deref()).await?;
        Ok(Status::DONE)
    }
}

impl Break {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        let broken = cmlock::break_lock(&client, &self.name, &self.holder).await;
        let record = broken.map_err(|error| match error.kind() {
            ErrorKind::Lost => Failure::new(Status::NO, error),
            _ => error.into(),
        })?;
        let (pod, id) = (&record.owner.name, escaped(record.holder_id()));
        print(&format!("ended the hold of Pod {pod:?} (holder {id})\n"))?;
        Ok(Status::DONE)
    }
}

/// What is typed to end the hold of this holder and no other.
pub(super) fn break_command(pod: &PodArgs, record: &Record) -> String {
    let holder = format!("--holder={}", shell_quoted(record.holder_id()));
    let program = program::<CmlockCli>();
    let words = [&*program, "break", &record.name, &holder].map(str::to_owned);
    let words: Vec<_> = words
        .into_iter()
        .chain(pod.arguments().as_typed())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_long_enough_to_use_the_lock() {
        assert_eq!(expiry("1s"), Ok(Times::SHORTEST));
        for text in ["0", "1ms", "999ms"] {
            assert_eq!(expiry(text).unwrap_err(), "use at least 1s");
        }
        assert!(expiry("soon").unwrap_err().contains("not a duration"));
    }
}
