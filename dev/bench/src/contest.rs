//! Contests for a lock: how long a hand-off takes among several contenders, for any kind of lock.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::process::Kept;

use crate::{
    Result,
    part::{AWAY, Place},
};

/// Longer than any contest takes.
const LIMIT: Duration = Duration::from_secs(600);

/// The contenders, and their directory.
pub(crate) struct Contest {
    directory: TempDir,
    contenders: Vec<Kept>,
}

impl Contest {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            directory: tempfile::tempdir()?,
            contenders: Vec::new(),
        })
    }

    pub(crate) fn place(&self) -> Place {
        Place(self.directory.path().to_owned())
    }

    /// Adds a contender: a command that holds a lock while it runs a section, again and again.
    pub(crate) fn enter(&mut self, command: &Command) -> Result {
        const AGAIN: &str = r#"place=$1 away=$2; shift 2
            while [ ! -e "$place/stop" ]; do "$@" || echo "status $?" >>"$place/failed"; sleep "$away"; done"#;
        let mut again = Command::new("sh");
        again.args(["-c", AGAIN, "sh"]).arg(self.directory.path());
        again.arg(AWAY.as_secs_f64().to_string());
        again.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            again.env(name, value.map_or_else(OsString::new, OsString::from));
        }
        self.start(again)
    }

    /// Adds a contender: a program that does all of that itself.
    pub(crate) fn start(&mut self, mut program: Command) -> Result {
        let errors = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.path().join("errors"))?;
        program
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        self.contenders.push(Kept::spawn(program.process_group(0)));
        Ok(())
    }

    /// Waits until one contender holds the lock and all others only wait.
    pub(crate) fn wait_until_all_wait(&self) -> Result {
        const LOOK: Duration = Duration::from_millis(500);
        let begun = Instant::now();
        let place = self.place();
        let mut before = self.ticks();
        loop {
            std::thread::sleep(LOOK);
            let now = self.ticks();
            // A tick is a hundredth of a second, proc_pid_stat(5): this allows one twentieth of the
            // time, and three hundred a half, since each renewal wakes them all.
            let few = u64::try_from(self.contenders.len())? / 12;
            if place.has("log") && now - before <= few.clamp(2, 25) {
                return Ok(());
            }
            before = now;
            if begun.elapsed() > LIMIT {
                return Err(format!("they do not come to rest: {}", self.errors()).into());
            }
        }
    }

    /// Lets the holder continue, waits for at least this many hand-offs, and returns their times.
    pub(crate) fn hand_offs(&self, least: usize) -> Result<Vec<u64>> {
        let begun = Instant::now();
        self.place().make("go")?;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let times = self.place().hand_offs()?;
            if times.len() >= least {
                return Ok(times);
            }
            if self.place().has("failed") || begun.elapsed() > LIMIT {
                let failed = fs::read_to_string(self.directory.path().join("failed"));
                let failed = failed.unwrap_or_default();
                let had = times.len();
                return Err(format!("{had} hand-offs: {failed}{}", self.errors()).into());
            }
        }
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        self.contenders.iter().map(Kept::pid).collect()
    }

    /// Ends all contenders.
    pub(crate) fn stop(mut self) -> Result {
        self.place().make("stop")?;
        self.place().make("go")?;
        let begun = Instant::now();
        for contender in &mut self.contenders {
            while contender.0.try_wait()?.is_none() {
                if begun.elapsed() > LIMIT {
                    return Err("a contender does not end".into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn errors(&self) -> String {
        let errors = fs::read_to_string(self.directory.path().join("errors"));
        let errors = errors.unwrap_or_default();
        errors.lines().rev().take(5).collect::<Vec<_>>().join("; ")
    }

    /// The processor time of all contenders so far, in ticks.
    fn ticks(&self) -> u64 {
        let groups = self.pids();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = processes.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
        let ticks = stats.filter_map(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            let group: i32 = fields.get(2)?.parse().ok()?;
            let times = [fields.get(11)?, fields.get(12)?];
            let spent: u64 = times.iter().filter_map(|it| it.parse::<u64>().ok()).sum();
            groups.contains(&group).then_some(spent)
        });
        ticks.sum()
    }
}
