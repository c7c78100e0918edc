//! A `console` block of a page: commands, and the output that the page shows for them.

/// The start of a comment before a block, with commands to run first that the page need not show.
/// It ends at `-->`.
const BEFORE: &str = "<!-- before";
/// Such a comment for a block that needs a cluster.
const IN_A_CLUSTER: &str = "<!-- before, in a cluster";

/// A block, which runs in its own shell and directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) needs_cluster: bool,
    /// Commands that the page does not show.
    pub(super) before: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// A command, and the output that the page shows for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) command: String,
    pub(super) expected: String,
}

impl Step {
    pub(super) fn is_in_background(&self) -> bool {
        let (command, _remark) = self.command.split_once(" #").unwrap_or((&self.command, ""));
        command.trim_end().ends_with('&')
    }

    /// Whether the output is what the page shows, where `…` stands for anything.
    pub(super) fn has_printed(&self, text: &str) -> bool {
        is_like(&self.expected, text)
    }
}

/// The blocks of a page, in order.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut next = Block::default();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with(BEFORE) {
            next.needs_cluster = line.starts_with(IN_A_CLUSTER);
            let hidden = lines.by_ref().take_while(|line| *line != "-->");
            next.before = hidden.map(|line| command(line).to_owned()).collect();
        } else if line == "```console" {
            next.steps = steps(lines.by_ref().take_while(|line| *line != "```"));
            blocks.push(std::mem::take(&mut next));
        }
    }
    blocks
}

fn command(line: &str) -> &str {
    line.strip_prefix("$ ").unwrap_or(line)
}

fn steps<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
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
}

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

    fn step(command: &str, expected: &str) -> Step {
        Step {
            command: command.to_owned(),
            expected: expected.to_owned(),
        }
    }

    #[test]
    fn blocks_are_commands_and_what_they_print() {
        let page =
            "# x\n```console\n$ a &\n$ b\none\ntwo\n```\n```sh\nc\n```\n```console\n$ d\n```\n";
        let found = blocks(page);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].steps, [step("a &", ""), step("b", "one\ntwo\n")]);
        assert_eq!(found[1].steps, [step("d", "")]);
        assert!(found.iter().all(|block| block.before.is_empty()));
    }

    #[test]
    fn a_remark_does_not_hide_what_is_in_the_background() {
        assert!(step("a &     # waits", "").is_in_background());
        assert!(!step("a & echo $!", "").is_in_background());
    }

    #[test]
    fn a_comment_has_what_comes_before_the_next_block() {
        let page = "<!-- a remark -->\n<!-- before, in a cluster\n$ a\n$ b\n-->\n\n```console\n$ c\n```\n\
                    <!-- before\n$ d\n-->\n```console\n$ e\n```\n";
        let expected = [
            Block {
                needs_cluster: true,
                before: vec!["a".to_owned(), "b".to_owned()],
                steps: vec![step("c", "")],
            },
            Block {
                needs_cluster: false,
                before: vec!["d".to_owned()],
                steps: vec![step("e", "")],
            },
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
}
