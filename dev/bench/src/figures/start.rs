//! Times whole processes with hyperfine.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
};

use serde_json::Value;

use crate::{
    Result, Setting,
    programs::peer,
    results::{Results, Subject, Table, Unit},
};

const WHAT: &str = "A whole process: it is started, does what it says, and ends. Timed by hyperfine, without a shell. `true` does nothing.";

/// A command to start, the preparation before each start, and the targets: static and dynamic.
struct Case {
    name: &'static str,
    binary: &'static str,
    arguments: Vec<String>,
    before: Option<String>,
    targets: [Option<f64>; 2],
}

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let directory = tempfile::tempdir()?;
    let place = directory.path();
    let fifo = place.join("pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let running = place.join("running.pid");
    fs::write(&running, format!("{}\n", std::process::id()))?;
    let claimed = place.join("claimed.pid");
    let exit = place.join("exit");
    fs::create_dir(&exit)?;
    let shown = |path: &Path| path.display().to_string();
    let us = std::process::id().to_string();
    let runs = if setting.quick { 20 } else { 100 };
    let mut subjects = vec![Subject::new("`true`", None, move || {
        hyperfine(runs, None, &["/bin/true".to_owned()])
    })];
    let url = serve()?;
    if let Some(curl) = peer("curl") {
        let curl = [shown(&curl), "--silent".to_owned(), url.clone()];
        subjects.push(Subject::new(
            "`curl` asks a server on this machine",
            None,
            move || hyperfine(runs, None, &curl),
        ));
    }
    let case = |name, binary, arguments: &[&str], targets| Case {
        name,
        binary,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        before: None,
        targets,
    };
    let cases = [
        case(
            "lockpipe exists",
            "lockpipe",
            &["--path", &shown(&fifo), "exists"],
            [Some(0.7), Some(1.2)],
        ),
        case(
            "exitdir status",
            "exitdir",
            &["--dir", &shown(&exit), "status"],
            [None, None],
        ),
        case(
            "sipid wait-until-healthy",
            "sipid",
            &["wait-until-healthy", "--url", &url],
            [None, None],
        ),
        case(
            "sipid status",
            "sipid",
            &["status", "--pid-file", &shown(&running)],
            [Some(0.8), Some(1.3)],
        ),
        Case {
            before: Some(format!("rm -f {}", claimed.display())),
            ..case(
                "sipid claim",
                "sipid",
                &["claim", "--pid-file", &shown(&claimed), "--pid", &us],
                [None, Some(1.5)],
            )
        },
    ];
    for case in cases {
        for (build, target) in setting.builds().into_iter().zip(case.targets) {
            let mut whole = vec![shown(&build.path(case.binary))];
            whole.extend(case.arguments.iter().cloned());
            let before = case.before.clone();
            let who = build.who(&format!("`{}`", case.name));
            subjects.push(Subject::new(who, target, move || {
                hyperfine(runs, before.as_deref(), &whole)
            }));
        }
    }
    let table = Table::new("start", "Start to end", WHAT, Unit::Nanoseconds);
    results.take(table.measured(setting.rounds(9), subjects)?);
    Ok(())
}

/// A server that is healthy for as long as this process lives. Returns its URL.
fn serve() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || {
        // A client that goes early is no reason to end.
        for stream in listener.incoming().flatten() {
            let _ = answer(&stream);
        }
    });
    Ok(url)
}

fn answer(mut stream: &TcpStream) -> Result {
    let head = BufReader::new(stream).lines();
    let end = |line: &std::io::Result<String>| line.as_ref().is_ok_and(String::is_empty);
    head.take_while(|line| !end(line)).for_each(drop);
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    Ok(stream.write_all(text.as_bytes())?)
}

/// The times of this many runs.
fn hyperfine(runs: u32, before: Option<&str>, command: &[String]) -> Result<Vec<u64>> {
    let out = tempfile::NamedTempFile::new()?;
    let mut hyperfine = Command::new("hyperfine");
    hyperfine.args(["-N", "--style=none", "--warmup=3", "--ignore-failure"]);
    hyperfine.arg(format!("--runs={runs}"));
    hyperfine.arg("--export-json").arg(out.path());
    if let Some(before) = before {
        hyperfine.args(["--prepare", before]);
    }
    let output = hyperfine.arg(command.join(" ")).output();
    let output = output.map_err(|error| format!("hyperfine is needed: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(out.path())?)?;
    // `exitdir status` exits with 1 for "no".
    let statuses = report["results"][0]["exit_codes"].as_array();
    let statuses = statuses.ok_or("hyperfine reports no statuses")?;
    if let Some(other) = statuses
        .iter()
        .find(|it| it.as_u64().is_none_or(|it| it > 1))
    {
        return Err(format!("{} ended with {other}", command.join(" ")).into());
    }
    let times = report["results"][0]["times"].as_array();
    let times = times.ok_or("hyperfine reports no times")?;
    let times = times.iter().filter_map(Value::as_f64);
    Ok(times.map(nanoseconds).collect())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some seconds at most"
)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
