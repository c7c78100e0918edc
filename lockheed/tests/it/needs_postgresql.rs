//! Runs the code blocks of `docs/fencing.md` on a real PostgreSQL.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{
    eventually,
    postgres::{Postgres, Running},
    process::{Kept, outcome},
};

use crate::{
    fencing::blocks,
    support::{Place, content},
};

/// A database with the page's table.
struct Database {
    /// Stops before its directory is removed.
    _running: Running,
    postgres: Postgres,
}

impl Database {
    fn new() -> Self {
        let postgres = Postgres::new();
        let database = Self {
            _running: postgres.start(),
            postgres,
        };
        database.does(&blocks("sql")[0]);
        database
    }

    /// The output of these statements.
    #[track_caller]
    fn does(&self, statements: &str) -> String {
        let mut psql = self.postgres.psql();
        let (status, said, error) = outcome(psql.args(["-At", "-c", statements]));
        assert_eq!(status, 0, "{statements}: {error}");
        said
    }

    fn row(&self) -> String {
        self.does("SELECT token, body FROM report")
    }
}

/// A client that gets one statement after another.
struct Session {
    psql: Kept,
    said: PathBuf,
    /// How much of the output was read.
    heard: usize,
}

impl Session {
    fn new(database: &Database, name: &str) -> Self {
        let said = database.postgres.directory().join(name);
        let file = fs::File::create(&said).unwrap();
        let mut psql = database.postgres.psql();
        psql.args(["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        psql.stdin(Stdio::piped()).stderr(file.try_clone().unwrap());
        let psql = Kept::spawn(psql.stdout(file));
        let mut session = Self {
            psql,
            said,
            heard: 0,
        };
        let [_, claim, write]: [String; 3] = blocks("sql").try_into().unwrap();
        session.tell(&format!("PREPARE claim AS {claim}"));
        session.tell(&format!("PREPARE write AS {write}"));
        session.hears("PREPARE\nPREPARE\n");
        session
    }

    fn tell(&mut self, statement: &str) {
        let input = self.psql.0.stdin.as_mut().unwrap();
        writeln!(input, "{statement}").unwrap();
    }

    /// Waits for the answer, which must be this.
    #[track_caller]
    fn hears(&mut self, expected: &str) {
        let mut said = String::new();
        eventually("it is answered", || {
            said = read(&self.said).split_off(self.heard);
            said.len() >= expected.len()
        });
        assert_eq!(said, expected);
        self.heard += said.len();
    }

    #[track_caller]
    fn does(&mut self, statement: &str, expected: &str) {
        self.tell(statement);
        self.hears(expected);
    }
}

// Holds lockheed-5.
#[test]
#[ignore = "needs root and postgresql"]
fn a_row_refuses_lower_tokens_and_takes_the_same_again() {
    let database = Database::new();
    let mut session = Session::new(&database, "session");
    session.does("EXECUTE claim(5);", "UPDATE 1\n");
    assert_eq!(database.row(), "5|\n");
    for (token, rows) in [(5, 1), (5, 1), (4, 0), (7, 1), (6, 0), (5, 0), (7, 1)] {
        session.does(
            &format!("EXECUTE write({token}, 'by {token}');"),
            &format!("UPDATE {rows}\n"),
        );
    }
    assert_eq!(database.row(), "7|by 7\n");
    session.does("EXECUTE claim(6);", "UPDATE 0\n");
    // The highest revision that etcd can have.
    session.does("EXECUTE claim(9223372036854775807);", "UPDATE 1\n");
}

#[test]
#[ignore = "needs root and postgresql"]
fn a_write_that_meets_a_later_one_is_refused_at_every_isolation_level() {
    let database = Database::new();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for (level, is_told) in [
        ("read committed", true),
        ("repeatable read", false),
        ("serializable", false),
    ] {
        for end in ["COMMIT", "ROLLBACK"] {
            database.does("UPDATE report SET token = 0, body = ''");
            let (mut later, mut late) = (
                Session::new(&database, "later"),
                Session::new(&database, "late"),
            );
            late.does(
                &format!("SET default_transaction_isolation = '{level}';"),
                "SET\n",
            );
            later.does("BEGIN;", "BEGIN\n");
            later.does("EXECUTE claim(7);", "UPDATE 1\n");
            late.tell("EXECUTE write(5, 'late');");
            eventually("it waits", || database.does(waits) == "1\n");
            later.does(&format!("{end};"), &format!("{end}\n"));
            if end == "ROLLBACK" {
                late.hears("UPDATE 1\n");
                assert_eq!(database.row(), "5|late\n", "{level}");
                continue;
            }
            if is_told {
                late.hears("UPDATE 0\n");
            } else {
                // The status 3 means an error in a script, psql(1).
                assert_eq!(late.psql.status(), 3, "{level}");
                let said = fs::read_to_string(&late.said).unwrap();
                assert!(said.contains("40001"), "{level}: {said}");
                let mut again = Session::new(&database, "again");
                again.does("EXECUTE write(5, 'late');", "UPDATE 0\n");
            }
            assert_eq!(database.row(), "7|\n", "{level}");
        }
    }
}

/// A holder: it writes as the page does in a shell, says who it is, waits until it may continue,
/// and writes again.
fn holder(place: &Place, database: &Database, name: &str, duration: &str) -> Command {
    let script = format!(
        "write() {{ body=$1
        {}
        }}
        (write \"first of $NAME\") || exit
        echo $$ $PPID >$NAME.pids
        while [ ! -e $NAME.goes-on ]; do sleep 0.01; done
        (write \"second of $NAME\")
        echo $? >$NAME.status",
        blocks("sh")[0]
    );
    let mut command = place.lockheed(&["-q", "run", "report", "--duration", duration]);
    command.args(["--", "sh", "-c", &script]);
    command
        .env("NAME", name)
        .envs(database.postgres.environment());
    command.current_dir(place.path(""));
    let log = fs::File::create(place.path(&format!("{name}.log"))).unwrap();
    command.stdout(Stdio::null()).stderr(log);
    command
}

fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.contains(") T ")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// As in a virtual machine that is frozen and later continued. The guard or the command may
/// continue first.
// Holds lockheed-5.
#[test]
#[ignore = "needs root and postgresql"]
fn a_holder_that_was_paused_past_its_lease_is_refused() {
    let database = Database::new();
    let place = Place::new();
    let mut frozen = Kept::spawn(&mut holder(&place, &database, "frozen", "5s"));
    let pids = content(&place.path("frozen.pids"));
    let pids = pids
        .split_whitespace()
        .map(|pid| Pid::from_raw(pid.parse().unwrap()));
    let [command, guard]: [Pid; 2] = pids.collect::<Vec<_>>().try_into().unwrap();
    // Otherwise the client would continue the guard, and the guard the command.
    for pid in [Pid::from_raw(frozen.pid()), guard, command] {
        kill(pid, Signal::SIGSTOP).unwrap();
        eventually("it is stopped", || is_stopped(pid));
    }
    let first = database.row();
    assert!(first.ends_with("|first of frozen\n"), "{first}");

    fs::write(place.path("next.goes-on"), "").unwrap();
    let mut next = Kept::spawn(&mut holder(&place, &database, "next", "1m"));
    assert_eq!(next.status(), 0, "{}", read(&place.path("next.log")));
    // It has written twice with its token.
    assert_eq!(read(&place.path("next.status")), "0\n");
    let second = database.row();
    assert!(second.ends_with("|second of next\n"), "{second}");
    let token = |row: &str| row.split_once('|').unwrap().0.parse::<u64>().unwrap();
    assert!(token(&second) > token(&first), "{first}{second}");

    fs::write(place.path("frozen.goes-on"), "").unwrap();
    kill(command, Signal::SIGCONT).unwrap();
    assert_eq!(content(&place.path("frozen.status")), "1\n");
    let said = read(&place.path("frozen.log"));
    assert!(
        said.contains("refused: a holder with a later token than "),
        "{said}"
    );
    assert_eq!(database.row(), second);
    for pid in [guard, Pid::from_raw(frozen.pid())] {
        kill(pid, Signal::SIGCONT).unwrap();
    }
    frozen.status();
    assert_eq!(database.row(), second);
}
