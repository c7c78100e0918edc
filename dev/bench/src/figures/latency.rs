//! The time from an event to the notification about it.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use testkit::process::Kept;

use crate::{
    Result, Setting,
    part::now,
    processes::settled,
    programs::{part as command_of, peer},
    results::{Results, Subject, Table, Unit},
};

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    results.take(pipe(setting)?);
    results.take(exit(setting)?);
    results.take(kill(setting)?);
    Ok(())
}

const PIPE: &str =
    "From before the pipe is opened for writing to when the reader has ended and its parent knows.";

fn pipe(setting: &Setting) -> Result<Table> {
    let directory = tempfile::tempdir()?;
    let fifo = directory.path().join("pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let times = if setting.quick { 5 } else { 30 };
    let read = |command: &mut Command| -> Result<Vec<u64>> {
        (0..times).map(|_| until_read(command, &fifo)).collect()
    };
    let mut subjects = vec![Subject::new("`cat`", None, || {
        read(Command::new("cat").arg(&fifo))
    })];
    for (build, target) in setting.builds().into_iter().zip([1.0, 1.05]) {
        let (read, fifo) = (&read, &fifo);
        subjects.push(Subject::new(
            build.who("`lockpipe read`"),
            Some(target),
            move || {
                let mut lockpipe = Command::new(build.path("lockpipe"));
                read(lockpipe.arg("--path").arg(fifo).arg("read"))
            },
        ));
    }
    let table = Table::new(
        "pipe",
        "A write ends a wait at a pipe",
        PIPE,
        Unit::Nanoseconds,
    );
    table.measured(setting.rounds(9), subjects)
}

fn until_read(command: &mut Command, fifo: &Path) -> Result<u64> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut reader = Kept::spawn(command);
    settled(reader.pid())?;
    let begun = now()?;
    let mut pipe = OpenOptions::new().write(true).open(fifo)?;
    pipe.write_all(b"x")?;
    drop(pipe);
    reader.0.wait()?;
    Ok(now()? - begun)
}

const EXIT: &str = "From before an entry is made in the directory to when CMD has its TERM. The base is a loop that has nothing but inotify, and says when it was told. The second row does nothing but wake one process, which sends TERM to a third.";

fn exit(setting: &Setting) -> Result<Table> {
    let directory = tempfile::tempdir()?;
    let place = directory.path();
    let times = if setting.quick { 5 } else { 30 };
    let again = |command: &dyn Fn(&Path) -> Result<Command>| -> Result<Vec<u64>> {
        let once = |number| until_told(command, &place.join(format!("exit-{number}")));
        (0..times).map(once).collect()
    };
    let bare = [
        ("inotify alone", "inotify"),
        ("inotify, and two more processes", "inotify-chain"),
    ];
    let mut subjects: Vec<Subject<'_>> = bare
        .map(|(who, part)| {
            let again = &again;
            Subject::new(who, None, move || {
                again(&|dir| {
                    let mut inotify = command_of(&[part])?;
                    inotify.arg(dir);
                    Ok(inotify)
                })
            })
        })
        .into();
    if let Some(program) = peer("inotifywait") {
        let again = &again;
        subjects.push(Subject::new(
            "`inotifywait` and `kill` in a shell",
            None,
            move || {
                again(&|dir| {
                    let script = r#""$1" told & "$0" -qq -e create "$2"; kill $!; wait"#;
                    let mut shell = Command::new("sh");
                    shell.args(["-c", script]).arg(&program);
                    shell.arg(std::env::current_exe()?).arg(dir);
                    Ok(shell)
                })
            },
        ));
    }
    for build in setting.builds() {
        let again = &again;
        subjects.push(Subject::new(
            build.who("`exitdir follow`"),
            Some(1.3),
            move || {
                again(&|dir| {
                    let mut follow = Command::new(build.path("exitdir"));
                    follow.arg("--dir").arg(dir).args(["follow", "--"]);
                    follow.arg(std::env::current_exe()?).arg("told");
                    Ok(follow)
                })
            },
        ));
    }
    let what = Table::new(
        "exit",
        "An exit signal reaches CMD",
        EXIT,
        Unit::Nanoseconds,
    );
    what.measured(setting.rounds(9), subjects)
}

/// Runs in a temporary directory of its own.
fn until_told(command: &dyn Fn(&Path) -> Result<Command>, directory: &Path) -> Result<u64> {
    fs::create_dir(directory)?;
    let mut command = command(directory)?;
    let mut follower = Kept::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut lines = BufReader::new(follower.0.stdout.take().ok_or("no output")?).lines();
    said(&mut lines)?;
    settled(follower.pid())?;
    let begun = now()?;
    fs::write(directory.join("exitFile"), "")?;
    let told: u64 = said(&mut lines)?.parse()?;
    follower.0.wait()?;
    fs::remove_dir_all(directory)?;
    Ok(told - begun)
}

fn said(lines: &mut std::io::Lines<BufReader<ChildStdout>>) -> Result<String> {
    Ok(lines.next().ok_or("it said nothing")??)
}

const KILL: &str = "A process that ends at TERM: from its end to the end of the command that waits for it. Its parent waits for it at once.";

fn kill(setting: &Setting) -> Result<Table> {
    let directory = tempfile::tempdir()?;
    let pidfile = directory.path().join("a.pid");
    let times = if setting.quick { 5 } else { 20 };
    let again = |command: &dyn Fn() -> Command| -> Result<Vec<u64>> {
        (0..times)
            .map(|_| until_returned(&mut command(), &pidfile))
            .collect()
    };
    let mut subjects = Vec::new();
    let retry = |program: PathBuf| {
        let mut stop = Command::new(program);
        stop.args(["--stop", "--quiet", "--retry", "TERM/10", "--pidfile"]);
        stop.arg(&pidfile);
        stop
    };
    if let Some(program) = peer("start-stop-daemon") {
        let (again, retry) = (&again, &retry);
        subjects.push(Subject::new(
            "`start-stop-daemon --stop`",
            None,
            move || again(&|| retry(program.clone())),
        ));
    }
    for build in setting.builds() {
        let (again, pidfile) = (&again, &pidfile);
        subjects.push(Subject::new(
            build.who("`sipid kill`"),
            Some(0.05),
            move || {
                again(&|| {
                    let mut kill = Command::new(build.path("sipid"));
                    kill.args(["kill", "--pid-file"]).arg(pidfile);
                    kill
                })
            },
        ));
    }
    let table = Table::new(
        "kill",
        "A process has ended, and its end is known",
        KILL,
        Unit::Nanoseconds,
    );
    table.measured(setting.rounds(5), subjects)
}

/// The time from the end of the process to the end of the command.
fn until_returned(command: &mut Command, pidfile: &Path) -> Result<u64> {
    let mut late = command_of(&["ends-late"])?;
    let mut process = Kept::spawn(late.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut lines = BufReader::new(process.0.stdout.take().ok_or("no output")?).lines();
    said(&mut lines)?;
    fs::write(pidfile, format!("{}\n", process.pid()))?;
    let mut command = Kept::spawn(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    // TERM has arrived, and the command waits.
    said(&mut lines)?;
    // Long enough for a command that polls to be anywhere between two checks.
    thread::sleep(Duration::from_millis(50));
    let end = pidfd_open(
        Pid::from_raw(process.pid()).ok_or("no PID")?,
        PidfdFlags::empty(),
    )?;
    process.signal(Signal::SIGUSR1);
    let mut ends = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    poll(&mut ends, PollTimeout::NONE)?;
    let begun = now()?;
    process.0.wait()?;
    command.0.wait()?;
    Ok(now()? - begun)
}
