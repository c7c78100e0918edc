//! A user who may write to a directory of locks, and tries to do more than use them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use testkit::process::outcome;

use crate::support::{Place, User};

const SECRET: &str = r#"{"name":"x","lockType":"mutex","leases":{},"tags":["secret"]}"#;

/// A directory of locks that this user may write to, and a file that the user may not read.
fn place() -> Option<(Place, User, std::path::PathBuf)> {
    let place = Place::new();
    place.expect(&["run", "y", "--", "true"], 0);
    let user = User::new(&place, 50_003, &[])?;
    fs::set_permissions(place.locks(), fs::Permissions::from_mode(0o777)).unwrap();
    let secret = place.path("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    Some((place, user, secret))
}

fn by(user: &User, script: &str, place: &Place, secret: &Path) {
    let mut shell = user.command("sh");
    shell.args(["-ec", script, "sh"]).arg(secret);
    let (code, _, stderr) = outcome(shell.current_dir(place.locks()));
    assert_eq!(code, 0, "{script}: {stderr}");
}

#[test]
fn a_link_to_a_file_that_its_maker_may_not_read_tells_nobody_what_is_in_it() {
    let Some((place, user, secret)) = place() else {
        return;
    };
    by(&user, "ln -s \"$1\" x.json", &place, &secret);
    for command in [
        &["inspect", "x"][..],
        &["list"],
        &["inspect", "x", "-o", "json"],
        &["run", "x", "--no-wait", "--", "true"],
        &["break", "x", "--yes"],
        &["delete", "x"],
    ] {
        let (_, stdout, stderr) = place.run(command);
        assert!(!(stdout + &stderr).contains("secret\""), "{command:?}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
}

#[test]
fn nothing_is_written_through_what_another_user_has_put_there() {
    let Some((place, user, secret)) = place() else {
        return;
    };
    for file in [
        ".counter",
        ".clock",
        ".guard",
        "x.json",
        ".x.json.new",
        "..clock.new",
        ".holders",
    ] {
        by(
            &user,
            &format!("rm -f {file}; ln -s \"$1\" {file}"),
            &place,
            &secret,
        );
        place.run(&["run", "x", "--no-wait", "--", "true"]);
        assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET, "{file}");
        by(&user, &format!("rm -f {file}"), &place, &secret);
    }
    let mode = fs::metadata(&secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
