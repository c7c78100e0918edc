//! Rules for the help of every command.

use std::process::Command as Process;

use clap::Command;
use coord_core::cli::{
    Help, Tool,
    help::{SECTIONS, heading, page},
};

/// The widths of common terminals, and a narrower one.
const WIDTHS: [usize; 3] = [60, 80, 100];

pub(super) fn check<T: Tool>() {
    let tool = T::command();
    let commands: Vec<_> = tool.get_subcommands().map(Command::get_name).collect();
    for help in T::HELP.iter().filter(|help| !help.command.is_empty()) {
        assert!(commands.contains(&help.command), "there is no {help:?}");
    }
    variables::<T>();
    for name in commands.into_iter().chain([""]) {
        let help = Help::of::<T>(name);
        let help = help.unwrap_or_else(|| panic!("{name:?} has no exit statuses and examples"));
        let texts = WIDTHS.map(|width| {
            let text = page::<T>(name, width).render_help().to_string();
            let widest = text.lines().max_by_key(|line| line.chars().count());
            let widest = widest.unwrap_or_default();
            assert!(
                widest.chars().count() <= width,
                "more than {width} columns: {widest:?}"
            );
            text
        });
        let words = |text: &String| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for text in &texts {
            assert_eq!(words(text), words(&texts[0]), "a word was broken: {text}");
        }
        groups::<T>(name, &texts[0]);
        examples::<T>(help);
    }
}

/// The runner reads the variables of global options only, after the command line was parsed.
fn variables<T: Tool>() {
    let mut tool = T::command();
    tool.build();
    let commands = tool.get_subcommands().chain([&tool]);
    for arg in commands.flat_map(Command::get_arguments) {
        let is_option = arg.get_long().is_some() && arg.get_action().takes_values();
        let is_read = is_option && arg.is_global_set() && !arg.is_required_set();
        assert!(arg.get_env().is_none() || is_read, "{arg} has a variable");
    }
}

/// Every group of options must be shown, and every table.
fn groups<T: Tool>(name: &str, text: &str) {
    let page = page::<T>(name, 80);
    let headings = page
        .get_arguments()
        .filter_map(|arg| arg.get_help_heading());
    let headings: Vec<_> = headings.chain(SECTIONS).collect();
    for heading in &headings {
        let known = heading::ALL.contains(heading) || SECTIONS.contains(heading);
        assert!(known, "{heading:?} is not a heading of all tools");
        assert!(
            text.contains(&format!("\n{heading}:\n")),
            "{name} lacks {heading}: {text}"
        );
    }
    assert!(headings.contains(&heading::LOGGING), "{name}: {text}");
}

/// There must be two examples, both for this command, and the tool must accept them.
fn examples<T: Tool>(help: &Help) {
    assert!(
        help.examples.len() >= 2,
        "{:?} has too few examples",
        help.command
    );
    for (_, line) in help.examples {
        let inner = line
            .split_once("$(")
            .map(|(_, rest)| rest.trim_end_matches(')'));
        let words = in_words(inner.unwrap_or(line));
        let is_own = words.iter().any(|word| word == help.command) || help.command.is_empty();
        assert!(
            words[0] == T::NAME && is_own,
            "not of {:?}: {line}",
            help.command
        );
        if let Err(error) = T::try_parse_from(&words) {
            panic!("{line}: {error}");
        }
    }
}

/// The words of a line, as a shell reads them.
fn in_words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {line}");
    let output = Process::new("sh").args(["-c", &script]).output();
    let output = output.expect("there is no shell");
    assert!(output.status.success(), "{line}");
    let words = String::from_utf8(output.stdout).expect("a line is not text");
    words.lines().map(str::to_owned).collect()
}
