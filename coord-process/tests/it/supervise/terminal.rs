//! On a terminal: who has it, Ctrl-C, Ctrl-Z and `fg`.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::openpty,
    unistd::setsid,
};

use super::{WATCHDOG, example, finish};

/// A shell on a terminal, of which the test holds the other end.
struct Session {
    shell: Child,
    screen: File,
    seen: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

impl Session {
    /// Runs a script whose `$0` is the supervisor. The shell stays until [`end`](Self::end): what
    /// the screen has yet to show would be lost with it. `flags` are `-c`, and `m` for job control.
    fn start(flags: &str, script: &str) -> Self {
        let script = format!("{script}; read -r _");
        let pty = openpty(None, None).unwrap();
        let (screen, terminal): (OwnedFd, OwnedFd) = (pty.master, pty.slave);
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        let mut shell = Command::new("bash");
        shell.args([flags, &script]).arg(example("supervise"));
        shell.stdin(stream()).stdout(stream()).stderr(stream());
        let lead = || {
            setsid()?;
            // SAFETY: the standard input is a terminal, and the request takes a number.
            match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: setsid and ioctl are system calls and nothing more.
        unsafe { shell.pre_exec(lead) };
        let shell = shell.spawn().unwrap();
        Self {
            shell,
            screen: File::from(screen),
            seen: String::new(),
        }
    }

    fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the screen shows this line. The terminal may have echoed a key just before it.
    fn shows(&mut self, line: &str) {
        while !self.seen.lines().any(|seen| seen.ends_with(line)) {
            let mut readable = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(WATCHDOG).unwrap();
            let ready = poll(&mut readable, timeout).unwrap();
            assert!(ready > 0, "not in time: {line:?}: {}", self.seen);
            let mut buffer = [0; 1024];
            let length = self.screen.read(&mut buffer).unwrap_or(0);
            assert!(
                length > 0,
                "the session is over without {line:?}: {}",
                self.seen
            );
            self.seen += &String::from_utf8_lossy(&buffer[..length]).replace('\r', "");
        }
    }

    fn end(mut self) {
        self.types("\n");
        assert!(finish(&mut self.shell).success());
    }
}

#[test]
fn ctrl_c_reaches_the_command_once_and_the_terminal_comes_back() {
    // The eighth field is the terminal's foreground group, proc_pid_stat(5).
    let command = r#"trap "n=\$((n+1))" INT; n=0
        read -r _ _ _ _ _ _ _ foreground _ < /proc/$$/stat; [ $foreground = $$ ] && echo ready
        while [ $n = 0 ]; do sleep 0.02; done; read -r line; echo "read $line after $n"; exit 5"#;
    let script = format!(
        r#""$0" sh -c '{command}'; echo "status $?"; read -r line; echo "shell read $line""#
    );
    let mut session = Session::start("-c", &script);
    session.shows("ready");
    session.types("\x03");
    session.types("this\n");
    session.shows("read this after 1");
    session.shows("status 5");
    session.types("that\n");
    session.shows("shell read that");
    session.end();
}

#[test]
fn ctrl_c_ends_a_command_that_does_not_catch_it() {
    let mut session = Session::start(
        "-mc",
        r#""$0" sh -c 'echo ready; exec sleep 1000'; echo "status $?""#,
    );
    session.shows("ready");
    session.types("\x03");
    session.shows("status 130");
    session.end();
}

#[test]
fn ctrl_z_stops_both_and_fg_continues_both() {
    let command = r#"echo ready; read -r line; echo "read $line"; exit 5"#;
    let script =
        format!(r#""$0" sh -c '{command}'; echo "stopped $?"; fg >/dev/null; echo "status $?""#);
    let mut session = Session::start("-mc", &script);
    session.shows("ready");
    session.types("\x1a");
    session.shows("stopped 148");
    session.types("this\n");
    session.shows("read this");
    session.shows("status 5");
    session.end();
}

/// Somebody else has stopped the supervisor alone, and the shell continues its job.
#[test]
fn fg_gives_the_terminal_to_a_command_that_was_not_stopped() {
    let command = r#"trap "c=1" CONT; c=0
        read -r _ _ _ client _ < /proc/$PPID/stat; kill -STOP $client
        while [ $c = 0 ]; do sleep 0.02; done
        read -r _ _ _ _ _ _ _ foreground _ < /proc/$$/stat
        [ $foreground = $$ ] && echo front; exit 5"#;
    let script =
        format!(r#""$0" sh -c '{command}'; echo "stopped $?"; fg >/dev/null; echo "status $?""#);
    let mut session = Session::start("-mc", &script);
    session.shows("stopped 147");
    session.shows("status 5");
    session.shows("front");
    session.end();
}

#[test]
fn in_the_background_the_terminal_is_not_taken() {
    let command = "echo ready; while [ ! -e \"$GATE\" ]; do sleep 0.02; done; exit 5";
    let place = tempfile::tempdir().unwrap();
    let gate = place.path().join("gate");
    let script = format!(
        r#"export GATE={}; "$0" sh -c '{command}' & read -r line; echo "shell read $line"; : > $GATE; wait $!; echo "status $?""#,
        gate.display()
    );
    let mut session = Session::start("-mc", &script);
    session.shows("ready");
    session.types("this\n");
    session.shows("shell read this");
    session.shows("status 5");
    session.end();
}

/// The command is a shell that gives the terminal to a job of its own. The job then kills it.
#[test]
fn a_terminal_left_to_a_group_that_is_gone_comes_back() {
    let job = r#"sh -c "kill -KILL \$PPID; exec sleep 1000""#;
    let script = format!(
        r#""$0" bash -mc '{job}; :'; echo "status $?"; read -r line; echo "shell read $line""#
    );
    let mut session = Session::start("-c", &script);
    session.shows("status 137");
    session.types("that\n");
    session.shows("shell read that");
    session.end();
}
