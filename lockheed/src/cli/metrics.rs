//! `run --metrics`: a file in Prometheus' text format, for the textfile collector of the node
//! exporter.

mod format;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use coord_core::{BootInstant, Status, cli::Failure};
use coord_lease::WaitReport;
use lockheed::{Event, LockName};
use log::Level;
use serde::{Deserialize, Serialize};

use super::{StoreArg, quiet_thread, store::AnyStore};

/// How often the file is written while nothing happens: times go on.
const EVERY: Duration = Duration::from_secs(10);

/// How long the last write may take before the process ends without it.
const LAST: Duration = Duration::from_secs(1);

/// What is counted; one life leaves it to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    wait_seconds: f64,
    hold_seconds: f64,
    acquisitions: u64,
    renewals: u64,
    failed_renewals: u64,
    losses: u64,
}

/// The file, and the thread that writes it; nothing where none is wanted.
#[derive(Clone)]
pub(crate) struct Metrics(Option<Arc<Shared>>);

struct Shared {
    file: PathBuf,
    labels: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    counts: Counts,
    doing: Doing,
    since: BootInstant,
    is_changed: bool,
    /// Who waits for the last write.
    last: Option<mpsc::Sender<()>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Waiting,
    Holding,
    /// The lock was lost, or given back.
    Nothing,
}

impl Metrics {
    /// Writes the file for the first time, after what the life before has counted.
    pub(crate) fn start(
        file: Option<&Path>,
        place: &StoreArg,
        store: &AnyStore,
        name: &LockName,
        report: &WaitReport,
        before: Option<Counts>,
    ) -> Result<Self, Failure> {
        let Some(file) = file else {
            return Ok(Self(None));
        };
        let place = place.place().to_string();
        let mut labels = vec![("lock", name.as_str()), ("store", &place)];
        labels.extend(store.namespace().map(|namespace| ("namespace", namespace)));
        let shared = Arc::new(Shared {
            file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            labels: format::labels(&labels),
            state: Mutex::new(State {
                counts: before.unwrap_or_default(),
                doing: Doing::Waiting,
                since: BootInstant::now(),
                is_changed: false,
                last: None,
            }),
            changed: Condvar::new(),
        });
        let written = refuse_devices(&shared.file).and_then(|()| shared.write());
        written.map_err(|error| Failure::new(Status::FAILED, shared.failed(&error)))?;
        let (writer, report) = (shared.clone(), report.clone());
        quiet_thread("lockheed-metric", move || writer.run(&report))?;
        Ok(Self(Some(shared)))
    }

    /// Something has happened. It returns at once.
    pub(crate) fn tell(&self, event: &Event) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        match event {
            Event::Acquired(_) => {
                state.counts.acquisitions += 1;
                state.begin(Doing::Holding);
            }
            Event::Renewed(_) => state.counts.renewals += 1,
            Event::NotRenewed(_) => state.counts.failed_renewals += 1,
            Event::Lost(_) => {
                state.counts.losses += 1;
                state.begin(Doing::Nothing);
            }
            Event::Released | Event::NotReleased(_) | Event::NotAcquired(_) => {
                state.begin(Doing::Nothing);
            }
            _ => return,
        }
        state.is_changed = true;
        shared.changed.notify_all();
    }

    /// The lock is held no more, or the wait for it is over: the last write.
    pub(crate) fn finish(&self) {
        let Some(shared) = &self.0 else { return };
        let (done, written): (_, Receiver<()>) = mpsc::channel();
        let mut state = shared.state();
        state.begin(Doing::Nothing);
        state.is_changed = true;
        state.last = Some(done);
        drop(state);
        shared.changed.notify_all();
        let _ = written.recv_timeout(LAST);
    }

    pub(crate) fn counts(&self) -> Option<Counts> {
        self.0.as_ref().map(|shared| shared.state().counts.clone())
    }
}

impl Shared {
    fn run(&self, report: &WaitReport) {
        let mut has_failed = false;
        loop {
            let written = self.write();
            if let Err(error) = &written
                && !has_failed
            {
                report.log(Level::Warn, self.failed(error));
            }
            has_failed = written.is_err();
            let mut state = self.state();
            if !state.is_changed {
                if let Some(done) = state.last.take() {
                    let _ = done.send(());
                    return;
                }
                let waited = self.changed.wait_timeout(state, EVERY);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// As a whole: whoever reads the file sees one state.
    fn write(&self) -> io::Result<()> {
        let text = {
            let mut state = self.state();
            let doing = state.doing;
            state.begin(doing);
            state.is_changed = false;
            format::text(&state.counts, state.doing == Doing::Holding, &self.labels)
        };
        replace(&self.file, text.as_bytes())
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("cannot write metrics to {:?}: {error}", self.file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts the time until now for what was done.
    fn begin(&mut self, doing: Doing) {
        let now = BootInstant::now();
        let time = now.since(self.since).as_secs_f64();
        match self.doing {
            Doing::Waiting => self.counts.wait_seconds += time,
            Doing::Holding => self.counts.hold_seconds += time,
            Doing::Nothing => {}
        }
        (self.doing, self.since) = (doing, now);
    }
}

/// What is there and is no file, such as a FIFO or `/dev/stdout`, is not to be replaced by one.
fn refuse_devices(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(found) if !found.is_file() => {
            let text = "it is there, and not a regular file";
            Err(io::Error::new(ErrorKind::InvalidInput, text))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// By a file beside it that nobody takes for metrics: collectors read what ends with `.prom`.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let name = file.file_name().ok_or(ErrorKind::IsADirectory)?;
    let mut new = OsString::from(".");
    new.push(name);
    new.push(format!(".{}", process::id()));
    let new = file.with_file_name(new);
    // A file that an earlier process with this ID has left.
    let _ = fs::remove_file(&new);
    let mut written = File::options().write(true).create_new(true).open(&new)?;
    let done = written
        .write_all(text)
        .and_then(|()| fs::rename(&new, file));
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}
