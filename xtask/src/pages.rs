//! What README.md and the pages of `docs` show of the tools is what they do: their `console` blocks
//! are run, each in a shell and a directory of its own, and what the commands print is compared.
//! `…` stands for any text, and what is printed in the background is not looked at.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Result, process};

/// One that waits for more than a moment is stuck.
const SECONDS: &str = "60";

/// A command, and what the page says that it prints.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    command: String,
    expected: String,
}

impl Step {
    fn is_in_background(&self) -> bool {
        self.command.ends_with('&')
    }
}

/// With the tools that are built.
pub(crate) fn check() -> Result {
    let mut pages = vec![process::root().join("README.md")];
    for entry in fs::read_dir(process::root().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    for page in pages {
        for block in blocks(&fs::read_to_string(&page)?) {
            play(&block).map_err(|error| format!("{}: {error}", page.display()))?;
        }
    }
    Ok(())
}

fn blocks(page: &str) -> Vec<Vec<Step>> {
    let blocks = page.split("```console\n").skip(1);
    let of_block = |text: &str| {
        let mut steps: Vec<Step> = Vec::new();
        for line in text.split("```").next().unwrap_or(text).lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    expected: String::new(),
                }),
                (None, Some(last)) => last.expected += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        steps
    };
    blocks.map(of_block).collect()
}

fn play(steps: &[Step]) -> Result {
    let place = tempfile::tempdir()?;
    let output = |number: usize| place.path().join(format!("output-{number}"));
    let mut script = String::new();
    for (number, step) in steps.iter().enumerate() {
        let output = match step.is_in_background() {
            true => Path::new("/dev/null").to_owned(),
            false => output(number),
        };
        writeln!(script, "{{ {}\n}} >{output:?} 2>&1", step.command)?;
    }
    let directory = place.path().join("directory");
    fs::create_dir(&directory)?;
    let mut path = process::target().join("debug").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("timeout");
    // What the reader's own environment may say.
    for name in ["EXIT_DIR", "LOCKHEED_STORE", "LOCKPIPE_PATH", "KUBECONFIG"] {
        shell.env_remove(name);
    }
    for tool in ["CMLOCK", "EXITDIR", "LOCKHEED", "LOCKPIPE", "SIPID"] {
        shell.env_remove(format!("{tool}_LOG_FILTER"));
    }
    let status = shell
        .args([SECONDS, "sh", "-c", &script])
        .env("TMPDIR", place.path())
        .env("PATH", path)
        .current_dir(&directory)
        .stdin(Stdio::null())
        .status()?;
    for (number, step) in steps.iter().enumerate() {
        let printed = match step.is_in_background() {
            true => continue,
            false => fs::read_to_string(output(number)).unwrap_or_default(),
        };
        if !is_like(&step.expected, &printed) {
            let Step { command, expected } = step;
            return Err(format!(
                "`{command}` should print\n{expected}It prints\n{printed}({status})"
            )
            .into());
        }
    }
    match status.success() {
        true => Ok(()),
        false => Err(format!("the last command of a block: {status}").into()),
    }
}

/// Whether a text is as expected, where `…` stands for anything.
fn is_like(expected: &str, text: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else {
        return expected == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('…').unwrap_or(("", rest));
    for part in middle.split('…') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_commands_and_what_they_print() {
        let step = |command: &str, expected: &str| Step {
            command: command.to_owned(),
            expected: expected.to_owned(),
        };
        let page =
            "# x\n```console\n$ a &\n$ b\none\ntwo\n```\n```sh\nc\n```\n```console\n$ d\n```\n";
        let expected = [
            vec![step("a &", ""), step("b", "one\ntwo\n")],
            vec![step("d", "")],
        ];
        assert_eq!(blocks(page), expected);
    }

    #[test]
    fn dots_stand_for_anything_and_all_else_counts() {
        for (expected, text) in [
            ("", ""),
            ("a\n", "a\n"),
            ("a … c\n", "a b c\n"),
            ("…\nb\n", "x\ny\nb\n"),
            ("a … b … c\n", "a 1 b 2 c\n"),
        ] {
            assert!(is_like(expected, text), "{expected:?} {text:?}");
        }
        for (expected, text) in [
            ("a\n", "b\n"),
            ("", "a\n"),
            ("a … c\n", "a b d\n"),
            ("a … b … c\n", "a c\n"),
        ] {
            assert!(!is_like(expected, text), "{expected:?} {text:?}");
        }
    }

    #[test]
    fn a_page_that_is_wrong_is_found() {
        let wrong = blocks("```console\n$ x=1\n$ echo $x\n2\n```\n");
        assert!(
            play(&wrong[0])
                .unwrap_err()
                .to_string()
                .contains("It prints\n1\n")
        );
        let right = blocks("```console\n$ sleep 0 &\n$ x=1\n$ echo $x\n1\n```\n");
        play(&right[0]).unwrap();
    }
}
