//! The checkers find faults, so a soak without findings means something.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use testkit::{eventually, process::Kept};

fn section(directory: &Path, hold: &str) -> Command {
    let mut section = Command::new(env!("CARGO_BIN_EXE_soak"));
    section
        .arg("section")
        .arg("--log")
        .arg(directory.join("log"));
    section.arg("--guard").arg(directory.join("guard"));
    section.args(["--slots", "1", "--hold", hold]);
    section
}

#[test]
fn sections_that_overlap_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("log"), "").unwrap();
    fs::write(path("guard.0"), "").unwrap();
    let log = || fs::read_to_string(path("log")).unwrap();
    let mut long = section(directory.path(), "1");
    let long = Kept::spawn(long.args(["--milliseconds", "1000000"]));
    eventually("the first has begun", || log().starts_with("begin 1 "));
    let second = section(directory.path(), "2")
        .args(["--milliseconds", "0"])
        .status();
    assert!(second.unwrap().success());
    assert!(log().contains("\noverlap 2 "), "{}", log());
    drop(long);
    let third = section(directory.path(), "3")
        .args(["--milliseconds", "0"])
        .status();
    assert!(third.unwrap().success());
    assert!(log().contains("\nbegin 3 "), "{}", log());
}

mod needs_go {
    use super::*;

    /// The checker's verdict on a history. Each step has a kind, hold, token, call and return.
    fn judged(slots: u32, steps: &[(&str, u32, u32, u32, Option<u32>)]) -> bool {
        let directory = tempfile::tempdir().expect("a directory");
        let lines = steps.iter().map(|(what, hold, token, call, done)| {
            let done = done.map_or("null".to_owned(), |it| it.to_string());
            let (acquire, shared) = (*what != "release", *what == "share");
            format!(
                r#"{{"lock":"x","slots":{slots},"shared":{shared},"acquire":{acquire},"hold":{hold},"token":{token},"call":{call},"return":{done}}}"#
            )
        });
        let history = directory.path().join("history");
        fs::write(&history, lines.collect::<Vec<_>>().join("\n")).expect("a file in it");
        let mut go = Command::new("go");
        go.args(["run", "."]).env("GOWORK", "off");
        go.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/checker"));
        let output = go
            .stdin(fs::File::open(history).expect("it was written"))
            .stderr(Stdio::inherit())
            .output();
        let said = String::from_utf8(output.expect("Go").stdout).expect("text");
        assert!(
            said.ends_with("Ok\n") || said.ends_with("Illegal\n"),
            "{said}"
        );
        said.ends_with("Ok\n")
    }

    #[test]
    #[ignore = "needs Go 1.21 or newer"]
    fn histories_that_no_lock_has_are_refused() {
        let first = [
            ("acquire", 1, 5, 0, Some(10)),
            ("release", 1, 5, 20, Some(30)),
        ];
        let and = |second: (&'static str, u32, u32, u32, Option<u32>)| [first[0], first[1], second];
        // One after the other; both at once; at once, but the release may come first; both at once
        // in two slots.
        assert!(judged(1, &and(("acquire", 2, 6, 12, Some(40)))));
        assert!(!judged(1, &and(("acquire", 2, 6, 12, Some(15)))));
        assert!(judged(1, &and(("acquire", 2, 6, 12, Some(25)))));
        assert!(judged(2, &and(("acquire", 2, 6, 12, Some(15)))));
        // The token does not rise.
        assert!(!judged(1, &and(("acquire", 2, 5, 12, Some(40)))));
        assert!(!judged(2, &and(("acquire", 2, 4, 12, Some(15)))));
        // Shared holds may be together, but not with an exclusive one.
        assert!(!judged(1, &and(("share", 2, 6, 12, Some(15)))));
        let shared = ("share", 1, 5, 0, Some(10));
        assert!(judged(
            1,
            &[shared, first[1], ("share", 2, 6, 12, Some(15))]
        ));
        assert!(!judged(
            1,
            &[shared, first[1], ("acquire", 2, 6, 12, Some(15))]
        ));
        // A killed holder's lease may be over at any time after it was last seen.
        let killed = ("release", 1, 5, 11, None);
        assert!(judged(
            1,
            &[first[0], killed, ("acquire", 2, 6, 12, Some(15))]
        ));
        assert!(!judged(
            1,
            &[first[0], killed, ("acquire", 2, 4, 12, Some(15))]
        ));
    }
}
