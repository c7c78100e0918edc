//! Explains wrong arguments on one line: what is wrong, and what is valid.

use std::{error::Error as _, ffi::OsStr};

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Tool, help, program, variables::Wrong};
use crate::text::{shell_quoted, without_password};

/// One line, without the tool's name.
pub(super) fn explained<T: Tool>(wrong: &Wrong, arguments: &[&OsStr]) -> String {
    let error = &wrong.error;
    let meant = Meant::by::<T>(arguments);
    if let Some(text) = meant.value_with_a_dash(error, arguments) {
        return text;
    }
    if let Some(text) = meant.forgotten_separator(error, arguments) {
        return text;
    }
    let arg = || texts(error, ContextKind::InvalidArg).join(" ");
    let arg = wrong.variable.clone().unwrap_or_else(arg);
    let value = texts(error, ContextKind::InvalidValue).join(" ");
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => format!("{arg} needs a value"),
        ErrorKind::InvalidValue => {
            let valid = texts(error, ContextKind::ValidValue);
            format!("invalid value {value:?} for {arg}: use {}", either(&valid))
        }
        ErrorKind::ValueValidation => invalid(error, &arg, &value),
        ErrorKind::UnknownArgument => meant.unknown(error, &arg),
        ErrorKind::InvalidSubcommand => {
            let name = texts(error, ContextKind::InvalidSubcommand).join(" ");
            let mut similar = suggested(error, ContextKind::SuggestedSubcommand, &name);
            // Drops aliases, which are single letters.
            similar.retain(|name| {
                meant
                    .command
                    .get_subcommands()
                    .any(|own| own.get_name() == name)
            });
            if similar.is_empty() {
                format!("unknown command {name:?}: use {}", meant.commands())
            } else {
                format!(
                    "unknown command {name:?}: did you mean {}?",
                    either(&similar)
                )
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let path = &meant.path;
            format!(
                "no command given: use {} (see {path} --help)",
                meant.commands()
            )
        }
        ErrorKind::ArgumentConflict => {
            let other = texts(error, ContextKind::PriorArg).join(", ");
            if arg == other {
                format!("{arg} is given more than once")
            } else {
                format!("{arg} cannot be used with {other}")
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg).join(", ");
            format!("missing {missing}: write {}", meant.usage_for(error))
        }
        _ => first_line(error),
    }
}

/// Which command was meant, and how it is written.
struct Meant {
    command: Command,
    /// `lockheed run`.
    path: String,
    /// Where in the arguments its own ones begin.
    begin: usize,
}

impl Meant {
    fn by<T: Tool>(arguments: &[&OsStr]) -> Self {
        let program = program::<T>().into_owned();
        let mut tool = T::command().bin_name(&program);
        tool.build();
        let chosen = help::chosen(&tool, arguments);
        let found = chosen.and_then(|(place, name)| {
            let command = tool.find_subcommand(&name)?.clone();
            Some((command, format!("{program} {name}"), place + 1))
        });
        let (command, path, begin) = found.unwrap_or((tool, program, 1));
        Self {
            command,
            path,
            begin,
        }
    }

    /// The value of an option that begins with a dash, such as a negative number.
    fn value_with_a_dash(&self, error: &Error, arguments: &[&OsStr]) -> Option<String> {
        let value = texts(error, ContextKind::InvalidArg).pop()?;
        if error.kind() != ErrorKind::UnknownArgument || !value.starts_with('-') {
            return None;
        }
        let takes_one = |before: &str| {
            let is_meant = |long: &str| before.strip_prefix("--") == Some(long);
            let mut options = self.command.get_arguments();
            let option = options.find(|option| option.get_long().is_some_and(is_meant));
            option.is_some_and(|option| option.get_action().takes_values())
        };
        // For `-5m`, the error names `-5`.
        arguments.windows(2).find_map(|pair| {
            let [before, word] = pair
                .iter()
                .map(|it| it.to_str())
                .collect::<Option<Vec<_>>>()?[..]
            else {
                return None;
            };
            let is_meant = word.starts_with(&value) && takes_one(before);
            is_meant.then(|| {
                format!("{before} needs a value: if {word:?} is meant, write {before}={word}")
            })
        })
    }

    /// CMD without `--` before it.
    fn forgotten_separator(&self, error: &Error, arguments: &[&OsStr]) -> Option<String> {
        let last = self
            .command
            .get_positionals()
            .find(|arg| arg.is_last_set())?;
        let has_separator = arguments.iter().any(|word| *word == "--");
        let args = texts(error, ContextKind::InvalidArg);
        let is_option = args.first()?.starts_with('-');
        match error.kind() {
            ErrorKind::MissingRequiredArgument if args != [last.to_string()] => return None,
            ErrorKind::MissingRequiredArgument if has_separator => {
                let usage = self.usage();
                return Some(format!("no command is given after \"--\": write {usage}"));
            }
            ErrorKind::UnknownArgument if has_separator => return None,
            ErrorKind::UnknownArgument if is_option => {
                let (option, path) = (&args[0], &self.path);
                let is_alone = suggested(error, ContextKind::SuggestedArg, option).is_empty();
                return is_alone.then(|| {
                    format!(
                        "unknown option {option} (see {path} --help): an option of the command to run stands behind \"--\""
                    )
                });
            }
            ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument => {}
            _ => return None,
        }
        let write = self.with_separator(&args[0], arguments);
        let write = write.unwrap_or_else(|| self.usage());
        let before = "\"--\" is missing before the command to run";
        Some(format!("{before}: write {write}"))
    }

    /// What begins with this argument, with `--` before it. The other words may be secrets.
    fn with_separator(&self, cmd: &str, arguments: &[&OsStr]) -> Option<String> {
        let own = arguments.get(self.begin..)?;
        let place = own.iter().position(|word| *word == cmd)?;
        let options = if place == 0 { "" } else { " ..." };
        let more = if place + 1 == own.len() { "" } else { " ..." };
        Some(format!(
            "{}{options} -- {}{more}",
            self.path,
            shell_quoted(own[place])
        ))
    }

    fn unknown(&self, error: &Error, arg: &str) -> String {
        let path = &self.path;
        match &suggested(error, ContextKind::SuggestedArg, arg)[..] {
            [] if arg.starts_with('-') => format!("unknown option {arg} (see {path} --help)"),
            [] => format!("unexpected argument {arg:?}: write {}", self.usage()),
            similar => format!("unknown option {arg}: did you mean {}?", either(similar)),
        }
    }

    fn usage(&self) -> String {
        help::usage(&self.command).replace("\n       ", ", or ")
    }

    /// The same with what was given, and what is missing.
    fn usage_for(&self, error: &Error) -> String {
        match error.get(ContextKind::Usage) {
            Some(ContextValue::StyledStr(usage)) if !usage.to_string().contains('\n') => {
                let usage = usage.to_string();
                usage.trim_start_matches("Usage:").trim().to_owned()
            }
            _ => self.usage(),
        }
    }

    fn commands(&self) -> String {
        let names = self.command.get_subcommands().map(Command::get_name);
        let names: Vec<_> = names
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect();
        either(&names)
    }
}

/// What a parser says of a value. Some name it, too.
fn invalid(error: &Error, arg: &str, value: &str) -> String {
    let why = error.source().map(why).unwrap_or_default();
    if why.contains(&format!("{value:?}")) {
        format!("{arg}: {why}")
    } else {
        format!("invalid value {:?} for {arg}: {why}", shown(value))
    }
}

/// What the standard library says of what is no number of the wanted type.
const NOT_NUMBERS: [&str; 4] = [
    "invalid digit found in string",
    "cannot parse integer from empty string",
    "number too large to fit in target type",
    "number too small to fit in target type",
];

/// What the standard library and clap say of numbers is for programmers.
fn why(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let range = text.split_once(" is not in ");
    let range = range.and_then(|(_, range)| range.split_once("..="));
    match range {
        Some((least, most)) => format!("write a number from {least} to {most}"),
        None if NOT_NUMBERS.contains(&&*text) => "write a whole number".to_owned(),
        None => text,
    }
}

/// What clap takes for similar, if it is near.
fn suggested(error: &Error, kind: ContextKind, given: &str) -> Vec<String> {
    let given = given.trim_start_matches('-');
    let is_near = |similar: &String| {
        let similar = similar.trim_start_matches('-');
        similar.starts_with(given) || given.starts_with(similar) || edits(given, similar) <= 2
    };
    texts(error, kind).into_iter().filter(is_near).collect()
}

/// How many letters must be put in, left out or changed to make one of the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut above = row[0];
        row[0] = line + 1;
        for (column, b) in to.chars().enumerate() {
            let changed = above + usize::from(a != b);
            above = row[column + 1];
            row[column + 1] = changed.min(above + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}

/// A URL may have a password.
fn shown(value: &str) -> String {
    if value.contains("://") {
        without_password(value)
    } else {
        value.to_owned()
    }
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// `a, b or c`.
fn either(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} or {last}", before.join(", ")),
    }
}

/// Of whatever else clap says.
fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}
