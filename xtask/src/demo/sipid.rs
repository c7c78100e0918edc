//! A server that is claimed for, watched until it is healthy, and ended.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use super::{Ended, expect, title};
use crate::{Result, process::shown};

/// `EEXIST`: the process in the pidfile runs.
const RUNS_ALREADY: i32 = 17;

pub(super) fn show(tool: &Path, place: &Path) -> Result {
    title(
        "sipid: a server that is started once, healthy before the script goes on, and gone after its stop",
    );
    let sipid = |words: &[&str]| {
        let mut command = Command::new(tool);
        // So that what is run can be typed: the pidfile is in the current directory.
        command.current_dir(place).args(words);
        command
    };
    let mut claim = sipid(&["claim", "--pid-file", "web.pid", "--"]);
    claim.arg(env::current_exe()?).arg("serve-http");
    eprintln!("$ {} &", shown(&claim));
    let mut server = Ended(claim.stdout(Stdio::piped()).spawn()?);
    let url = url_of(&mut server)?;
    let (pid, file) = (server.0.id(), fs::read_to_string(place.join("web.pid"))?);
    eprintln!("  process {pid} serves {url}; web.pid says {file}");
    if file != pid.to_string() {
        return Err("web.pid does not name the server".into());
    }

    let wait = ["-v", "wait-until-healthy", "--url", &url];
    let mut wait = sipid(&wait);
    expect(
        wait.args(["--polling-frequency", "200ms", "--pid-file", "web.pid"]),
        0,
    )?;
    expect(&mut sipid(&["status", "--pid-file", "web.pid"]), 0)?;
    let mut second = sipid(&["claim", "--pid-file", "web.pid", "--"]);
    expect(second.args(["echo", "two of us"]), RUNS_ALREADY)?;

    expect(&mut sipid(&["-v", "kill", "--pid-file", "web.pid"]), 0)?;
    eprintln!("  the server ended: {}", server.0.wait()?);
    expect(&mut sipid(&["status", "--pid-file", "web.pid"]), 1)?;
    if fs::exists(place.join("web.pid"))? {
        return Err("web.pid is still there".into());
    }
    Ok(())
}

/// What the server says first.
fn url_of(server: &mut Ended) -> Result<String> {
    let stdout = server.0.stdout.take().ok_or("the server has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    match line.trim() {
        "" => Err("the server did not start".into()),
        url => Ok(url.to_owned()),
    }
}
