//! What `--help` shows in addition to the options: environment, exit statuses and examples, each as
//! a table.
//!
//! The tables are read only for help, so a normal run does not pay for them.

use std::{env, ffi::OsStr, fmt::Write as _, iter};

use clap::{Arg, Command};

use super::{PLUGIN_OF, Tool, program};
use crate::{exit, live};

/// What the help of one command says beside its options. A row is a term and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// The command; empty for the tool itself, whose variables are those of each command.
    pub command: &'static str,
    /// It ends with the status of the command that it runs.
    pub is_wrapper: bool,
    /// The exit statuses that have a meaning of their own here.
    pub statuses: &'static [Row],
    /// The environment variables, but for those of the log.
    pub variables: &'static [Row],
    /// What an example does, and the example.
    pub examples: &'static [Row],
}

/// A term and what it means.
pub type Row = (&'static str, &'static str);

/// The headings of groups of options: one name for a thing, in all tools.
pub mod heading {
    /// Which lock, and how it is held.
    pub const LOCK: &str = "Lock";
    /// How long the lock is held without being renewed.
    pub const LEASE: &str = "Lease";
    /// Which process a pidfile must name.
    pub const PROCESS: &str = "Process";
    /// How long, and for whom.
    pub const WAITING: &str = "Waiting";
    /// What is sent to a server, and what it must answer.
    pub const REQUEST: &str = "Request";
    /// How the command is run and stopped.
    pub const COMMAND: &str = "Command";
    /// Who is told what happens.
    pub const REPORTING: &str = "Reporting";
    /// Where the locks are kept.
    pub const STORE: &str = "Store";
    /// Which cluster, as whom, and in which namespace.
    pub const CLUSTER: &str = "Cluster";
    /// What is written to standard error.
    pub const LOGGING: &str = "Logging";

    /// In the order in which help shows them.
    pub const ALL: [&str; 10] = [
        LOCK, LEASE, PROCESS, WAITING, REQUEST, COMMAND, REPORTING, STORE, CLUSTER, LOGGING,
    ];
}

/// The titles of the tables, in their order.
pub const SECTIONS: [&str; 3] = ["Environment", "Exit status", "Examples"];

/// Longer lines are hard to read, however wide the terminal is.
const WIDEST: usize = 100;

/// The width where nothing tells.
const USUAL: usize = 80;

impl Help {
    /// Of this command of the tool; empty for the tool itself.
    #[must_use]
    pub fn of<T: Tool>(command: &str) -> Option<&'static Self> {
        T::HELP.iter().find(|help| help.command == command)
    }

    /// The variables that this command reads.
    #[must_use]
    pub fn variables<T: Tool>(&self) -> Vec<(String, String)> {
        let of_tool = Self::of::<T>("").filter(|_| !self.command.is_empty());
        let of_tool = of_tool.iter().flat_map(|help| help.variables);
        let rows = self.variables.iter().chain(of_tool);
        let own = rows.map(|&(name, text)| (name.to_owned(), text.to_owned()));
        own.chain(log_variables::<T>()).collect()
    }

    /// The statuses of this command: its own, and those that every command has.
    #[must_use]
    pub fn all_statuses(&self) -> Vec<Row> {
        let is_own = |code: &str| self.statuses.iter().any(|(own, _)| *own == code);
        let common = if self.is_wrapper {
            exit::HELP_WRAPPER
        } else {
            exit::HELP
        };
        let common = common.iter().filter(|(code, _)| !is_own(code));
        let mut all: Vec<Row> = self.statuses.iter().chain(common).copied().collect();
        // Sorted by number; codes that stand for many numbers come last.
        all.sort_by_key(|(code, _)| (code.parse::<u8>().is_err(), code.parse().unwrap_or(0)));
        all
    }

    /// The tables, no line of which is wider than this, but for a word that is.
    #[must_use]
    pub fn render<T: Tool>(&self, width: usize) -> String {
        let [environment, status, examples] = SECTIONS;
        let mut text = format!("{environment}:\n");
        table(&mut text, &self.variables::<T>(), width);
        let _ = write!(text, "\n{status}:\n");
        table(&mut text, &self.all_statuses(), width);
        let _ = write!(text, "\n{examples}:\n");
        for (what, line) in self.examples {
            wrap(&mut text, what, 2, 2, width);
            // Shows the program name as the reader has typed it.
            let line = line.replace(&format!("{} ", T::NAME), &format!("{} ", program::<T>()));
            let _ = writeln!(text, "      {line}");
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn log_variables<T: Tool>() -> [(String, String); 2] {
    let (prefix, level) = (T::LOG.env_prefix, T::LOG.level.to_string().to_lowercase());
    let own = T::LOG.crates.first().unwrap_or(&T::NAME);
    let levels = format!("off, error, warn, info, debug, trace or {own}=LEVEL [default: {level}]");
    let styles = "colour of the log: auto, always or never [default: auto]";
    [
        (
            format!("{prefix}_LOG_FILTER"),
            format!("what is logged: {levels}"),
        ),
        (format!("{prefix}_LOG_STYLE"), styles.to_owned()),
    ]
}

/// What `--help` shows of this command, or of the tool itself; manual pages are made from it, too.
/// It cannot be run.
#[must_use]
pub fn page<T: Tool>(name: &str, width: usize) -> Command {
    let page = options::<T>(name).term_width(width);
    let about = page.get_long_about().or(page.get_about()).cloned();
    let tables = Help::of::<T>(name).map(|help| help.render::<T>(width));
    page.about(about.unwrap_or_default())
        .after_help(tables.unwrap_or_default())
}

/// The help that these arguments ask for: all of it, or with `-h` the options alone.
pub(super) fn requested<T: Tool>(arguments: &[&OsStr]) -> String {
    let width = width();
    let name = chosen(&T::command(), arguments).map_or_else(String::new, |(_, name)| name);
    let mut page = if is_short(arguments) {
        options::<T>(&name).term_width(width)
    } else {
        page::<T>(&name, width)
    };
    let text = page.render_help().to_string();
    format!("{}\n", text.trim_end())
}

/// Which command these arguments are for, and where its name is.
pub(super) fn chosen(tool: &Command, arguments: &[&OsStr]) -> Option<(usize, String)> {
    let takes_value = |find: &dyn Fn(&Arg) -> bool| {
        let mut found = tool.get_arguments().filter(|arg| find(arg));
        found.any(|arg| arg.get_action().takes_values())
    };
    let mut words = (0..).zip(arguments).skip(1);
    while let Some((place, word)) = words.next() {
        let word = word.to_str()?;
        let has_value_behind = match word.strip_prefix('-').map(|rest| rest.strip_prefix('-')) {
            Some(Some("")) => return None,
            Some(Some(long)) => takes_value(&|arg| arg.get_long() == Some(long)),
            Some(None) => {
                let short = word.find(|c| takes_value(&|arg| arg.get_short() == Some(c)));
                short.is_some_and(|index| index + 1 == word.len())
            }
            None if word == "help" => false,
            None => {
                let command = tool.find_subcommand(word)?;
                return Some((place, command.get_name().to_owned()));
            }
        };
        if has_value_behind {
            words.next();
        }
    }
    None
}

/// A command of the tool with its options, the groups of which are in the same order everywhere. It
/// cannot be run.
#[must_use]
pub fn options<T: Tool>(name: &str) -> Command {
    const HELP: &str = "Print help; -h prints a shorter one";
    let mut tool = T::command().bin_name(program::<T>());
    tool.build();
    let tool = tool.mut_arg("help", |arg| arg.help(HELP));
    let Some((help, command)) = Help::of::<T>(name).zip(tool.find_subcommand(name)) else {
        return tool;
    };
    let group = |arg: &Arg| {
        let heading = arg.get_help_heading();
        heading.map(|heading| heading::ALL.iter().position(|known| *known == heading))
    };
    let args = command.get_arguments().cloned();
    let mut args: Vec<_> = args
        .map(|arg| match arg.get_id().as_str() {
            "help" => arg.help(HELP),
            _ => arg,
        })
        .collect();
    args.sort_by_key(group);
    let bin_name = command.get_bin_name().unwrap_or_default().to_owned();
    let page = Command::new(help.command)
        .bin_name(bin_name)
        .override_usage(usage(command))
        .about(command.get_about().cloned().unwrap_or_default())
        .disable_help_flag(true)
        .args(args);
    match command.get_long_about() {
        Some(text) => page.long_about(text.clone()),
        None => page,
    }
}

/// How a command is written; one that is written in several ways has lines of them.
#[must_use]
pub fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    // Texts written by hand contain only the tool's own name.
    let called = command.get_bin_name().unwrap_or_default();
    let Some(own) = called.strip_prefix(PLUGIN_OF) else {
        return usage.to_owned();
    };
    let named = |line: &str| match line.trim_start().strip_prefix(own) {
        Some(rest) => line.replacen(&format!("{own}{rest}"), &format!("{called}{rest}"), 1),
        None => line.to_owned(),
    };
    usage.lines().map(named).collect::<Vec<_>>().join("\n")
}

/// Whether `-h` asks for help, and not `--help` or `help`.
fn is_short(arguments: &[&OsStr]) -> bool {
    let mut options = arguments.iter().take_while(|word| **word != "--");
    !options.any(|word| *word == "--help" || *word == "help")
}

/// How wide help may be: as `COLUMNS` says, else as the terminal is.
fn width() -> usize {
    let columns = env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|columns| *columns > 0);
    let width = columns.or_else(|| [1, 2].into_iter().find_map(live::columns));
    width.unwrap_or(USUAL).min(WIDEST)
}

/// The terms in one column and what they mean in another one; below each other where the terms are
/// so long that little is left.
fn table<A: AsRef<str>, B: AsRef<str>>(text: &mut String, rows: &[(A, B)], width: usize) {
    let longest = rows.iter().map(|(term, _)| term.as_ref().len()).max();
    let indent = longest.unwrap_or(0) + 4;
    let is_narrow = indent * 5 > width * 2;
    for (term, meaning) in rows {
        let (term, meaning) = (term.as_ref(), meaning.as_ref());
        if is_narrow {
            let _ = writeln!(text, "  {term}");
            wrap(text, meaning, 10, 10, width);
        } else {
            let _ = write!(text, "  {term:<0$}  ", indent - 4);
            wrap(text, meaning, 0, indent, width);
        }
    }
}

/// Appends words in lines that begin so far to the right, `first` for what the first one lacks of
/// it.
fn wrap(text: &mut String, words: &str, first: usize, indent: usize, width: usize) {
    let mut column = indent;
    text.extend(iter::repeat_n(' ', first));
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_wrapped_between_words() {
        let rows = [("0", "it is done"), ("128+n", "ended by signal n")];
        let mut wide = String::new();
        table(&mut wide, &rows, 24);
        assert_eq!(
            wide,
            "  0      it is done\n  128+n  ended by signal\n         n\n"
        );
        let mut narrow = String::new();
        table(&mut narrow, &rows, 20);
        assert_eq!(
            narrow,
            "  0\n          it is done\n  128+n\n          ended by\n          signal n\n"
        );
    }

    #[test]
    fn the_command_is_not_the_value_of_an_option_before_it() {
        use clap::{ArgAction, Command};
        let tool = Command::new("x")
            .arg(Arg::new("dir").short('d').long("dir"))
            .arg(Arg::new("more").short('v').action(ArgAction::Count))
            .subcommand(Command::new("run").alias("r"));
        let chosen = |words: &[&'static str]| {
            let words: Vec<_> = words.iter().map(OsStr::new).collect();
            chosen(&tool, &words).map(|(place, name)| format!("{name} {place}"))
        };
        let run = |place| Some(format!("run {place}"));
        assert_eq!(chosen(&["x", "--dir", "run", "run"]), run(3));
        assert_eq!(chosen(&["x", "-vd", "run", "r", "run"]), run(3));
        assert_eq!(chosen(&["x", "--dir=run", "-drun", "help", "run"]), run(4));
        assert_eq!(chosen(&["x", "--dir", "run", "-v", "--", "run"]), None);
        assert_eq!(chosen(&["x", "ran", "run"]), None);
    }

    #[test]
    fn help_is_short_for_h_alone() {
        let is_short = |words: &[&'static str]| {
            let words: Vec<_> = words.iter().map(OsStr::new).collect();
            is_short(&words)
        };
        assert!(is_short(&["x", "run", "-h"]));
        assert!(is_short(&["x", "run", "-h", "--", "true", "--help"]));
        assert!(!is_short(&["x", "run", "--help"]));
        assert!(!is_short(&["x", "help", "run"]));
    }
}
