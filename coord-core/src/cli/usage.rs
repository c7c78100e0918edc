//! What is wrong with the arguments, on one line: what it is, and what would be right.

use std::{error::Error as _, ffi::OsStr};

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Tool, help, program};
use crate::text::{shell_quoted, without_password};

/// One line, without the tool's name.
pub(super) fn explained<T: Tool>(error: &Error, arguments: &[&OsStr]) -> String {
    let meant = Meant::by::<T>(arguments);
    if let Some(text) = meant.forgotten_separator(error, arguments) {
        return text;
    }
    let arg = texts(error, ContextKind::InvalidArg).join(" ");
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
            let mut similar = texts(error, ContextKind::SuggestedSubcommand);
            // Without aliases, which are one letter.
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
        let program = program::<T>();
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
                let is_alone = error.get(ContextKind::SuggestedArg).is_none();
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
        match &texts(error, ContextKind::SuggestedArg)[..] {
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
            Some(ContextValue::StyledStr(usage)) if !usage.to_string().contains('\n') => usage
                .to_string()
                .trim_start_matches("Usage:")
                .trim()
                .to_owned(),
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
    let why = error.source().map(ToString::to_string).unwrap_or_default();
    if why.contains(&format!("{value:?}")) {
        format!("{arg}: {why}")
    } else {
        format!("invalid value {:?} for {arg}: {why}", shown(value))
    }
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
