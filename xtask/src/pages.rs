//! Checks that the READMEs and the pages of `docs` show what the tools really do. It runs their
//! `console` blocks and compares the output of the commands. `…` stands for any text; output in the
//! background is ignored. The blocks of a page run in one shell, as a reader may do; those that
//! need a cluster run each in its own.

mod block;
#[cfg(test)]
mod links;

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid, waitpid},
    },
    unistd::Pid,
};

use self::block::{Block, Step, blocks};
use crate::{Result, kube::AtHand, process, tools::TOOLS};

/// A page whose blocks run longer is stuck.
const SECONDS: &str = "300";

/// How long a block's background processes may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the blocks with the tools that are built. Blocks that need a cluster run if there is one.
pub(crate) fn check(cluster: Option<&AtHand>) -> Result {
    // Processes that a block leaves in the background become our children when its shell ends.
    prctl::set_child_subreaper(true)?;
    let mut left_out = 0;
    for page in pages()? {
        let blocks = blocks(&fs::read_to_string(&page)?);
        let (in_cluster, here): (Vec<_>, Vec<_>) =
            blocks.into_iter().partition(|block| block.needs_cluster);
        let of_page = |error| format!("{}: {error}", page.display());
        play(&here, None).map_err(of_page)?;
        match cluster {
            None => left_out += in_cluster.len(),
            Some(_) => {
                for block in in_cluster {
                    play(&[block], cluster).map_err(of_page)?;
                }
            }
        }
    }
    if left_out > 0 {
        println!("left out, as they need a cluster (--kube): {left_out} blocks of the READMEs");
    }
    Ok(())
}

fn pages() -> Result<Vec<PathBuf>> {
    let root = process::root();
    let mut pages = vec![root.join("README.md")];
    pages.extend(TOOLS.map(|tool| root.join(tool.package).join("README.md")));
    for entry in fs::read_dir(root.join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

/// Runs blocks one after the other in one shell, until one fails.
fn play(blocks: &[Block], cluster: Option<&AtHand>) -> Result {
    let place = tempfile::tempdir()?;
    let output = |number: usize| place.path().join(format!("output-{number}"));
    let before = place.path().join("before");
    let mut script = String::new();
    let mut steps = Vec::new();
    for block in blocks {
        for command in &block.before {
            writeln!(script, "{{ {command}\n}} >>{before:?} 2>&1 || exit")?;
        }
        for step in &block.steps {
            let output = match step.is_in_background() {
                true => Path::new("/dev/null").to_owned(),
                false => output(steps.len()),
            };
            write!(script, "\n{{ {}\n}} >{output:?} 2>&1", step.command)?;
            steps.push(step);
        }
        script += " || exit\n";
    }
    let status = run(&script, place.path(), cluster)?;
    for (number, step) in steps.into_iter().enumerate() {
        let printed = fs::read_to_string(output(number)).unwrap_or_default();
        if !step.is_in_background() && !step.has_printed(&printed) {
            let Step { command, expected } = step;
            let before = fs::read_to_string(&before).unwrap_or_default();
            return Err(format!(
                "`{command}` should print\n{expected}It prints\n{printed}({status})\n{before}"
            )
            .into());
        }
    }
    match status.success() {
        true => Ok(()),
        false => Err(format!("the last command of a block: {status}").into()),
    }
}

/// Runs a script, and ends the processes that it leaves in the background.
fn run(script: &str, place: &Path, cluster: Option<&AtHand>) -> Result<ExitStatus> {
    let directory = place.join("directory");
    fs::create_dir(&directory)?;
    let mut shell = Command::new("timeout");
    // Removes settings from the reader's own environment.
    for name in ["EXIT_DIR", "LOCKHEED_STORE", "LOCKPIPE_PATH", "KUBECONFIG"] {
        shell.env_remove(name);
    }
    for tool in ["CMLOCK", "EXITDIR", "LOCKHEED", "LOCKPIPE", "SIPID"] {
        shell.env_remove(format!("{tool}_LOG_FILTER"));
    }
    if let Some(cluster) = cluster {
        shell.envs(cluster.environment.iter().map(|(name, path)| (name, path)));
    }
    let mut child = shell
        .args([SECONDS, "sh", "-c", script])
        .env("TMPDIR", place)
        .env("PATH", path(cluster))
        .current_dir(&directory)
        .stdin(Stdio::null())
        .spawn()?;
    // timeout(1) has its own process group, with everything that the shell starts. Until it is
    // reaped, no other group has that number.
    let group = Pid::from_raw(child.id().try_into()?);
    waitid(Id::Pid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    // The group may have ended by then.
    let _ = killpg(group, Signal::SIGTERM);
    let status = child.wait()?;
    reap(group);
    Ok(status)
}

/// The PATH: the tools first, then kubectl.
fn path(cluster: Option<&AtHand>) -> OsString {
    let mut path = process::target().join("debug").into_os_string();
    for more in [
        cluster.and_then(|cluster| cluster.kubectl.parent().map(Into::into)),
        env::var_os("PATH"),
    ] {
        path.push(":");
        path.push(more.unwrap_or_default());
    }
    path
}

/// Waits for the end of a group whose first process has ended, and kills the group when that takes
/// long.
fn reap(group: Pid) {
    let of_group = Pid::from_raw(-group.as_raw());
    let started = Instant::now();
    let mut is_killed = false;
    while waitpid(of_group, Some(WaitPidFlag::WNOHANG)) != Err(Errno::ECHILD) {
        if started.elapsed() > GRACE && !is_killed {
            is_killed = true;
            let _ = killpg(group, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(page: &str) -> Result {
        prctl::set_child_subreaper(true).unwrap();
        play(&blocks(page), None)
    }

    #[test]
    fn a_page_that_is_wrong_is_found() {
        let error = played("```console\n$ x=1\n$ echo $x\n2\n```\n").unwrap_err();
        assert!(error.to_string().contains("It prints\n1\n"), "{error}");
        played("```console\n$ sleep 0 &\n$ x=1\n$ echo $x\n1\n```\n").unwrap();
        played("<!-- before\n$ x=1\n-->\n```console\n$ echo $x\n1\n```\n").unwrap();
        let error = played("<!-- before\n$ echo no; false\n-->\n```console\n$ true\n```\n");
        assert!(error.is_err());
    }

    #[test]
    fn the_blocks_of_a_page_run_in_one_shell() {
        let first = "```console\n$ x=1\n```\n";
        played(&format!("{first}```console\n$ echo $x\n1\n```\n")).unwrap();
        let error = played(&format!("```console\n$ false\n```\n{first}")).unwrap_err();
        assert!(error.to_string().contains("last command"), "{error}");
    }

    #[test]
    fn links_lead_somewhere() {
        let root = process::root();
        let mut pages = pages().unwrap();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            let readme = path.join("README.md");
            let is_page = |path: &PathBuf| path.extension().is_some_and(|it| it == "md");
            pages.extend(
                [path, readme]
                    .into_iter()
                    .filter(is_page)
                    .filter(|it| it.exists()),
            );
        }
        for page in pages {
            let broken = links::broken(&page);
            assert!(broken.is_empty(), "{}: {broken:?}", page.display());
        }
    }

    /// `docs/releasing.md` has the commands that make these links absolute.
    #[test]
    fn a_tools_readme_has_only_links_that_a_release_can_make_absolute() {
        for tool in TOOLS {
            let page = process::root().join(tool.package).join("README.md");
            for link in links::links(&fs::read_to_string(page).unwrap()) {
                let is_known = ["#", "../", "examples/"]
                    .iter()
                    .any(|it| link.starts_with(it));
                assert!(is_known, "{}: {link}", tool.package);
            }
        }
    }

    /// Also a process that is slow to end, or ignores TERM.
    #[test]
    fn a_block_that_fails_leaves_nothing_running() {
        let place = tempfile::tempdir().unwrap();
        let pids = place.path().join("pids");
        let page = format!(
            "```console\n$ sleep 1000 & echo $! >>{pids:?}\n$ (trap '' TERM; sleep 1001) & echo $! >>{pids:?}\n$ false\n```\n"
        );
        played(&page).unwrap_err();
        let pids = fs::read_to_string(&pids).unwrap();
        assert_eq!(pids.lines().count(), 2);
        for pid in pids.lines() {
            assert!(!Path::new("/proc").join(pid).exists(), "{pid}");
        }
    }
}
