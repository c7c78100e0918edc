//! Options that the environment gives where the command line does not.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use clap::{Arg, ArgMatches, Command, Error, builder::Resettable, parser::ValueSource};

use super::Tool;

/// Why arguments cannot be used.
pub(super) struct Wrong {
    pub(super) error: Error,
    /// The variable with the wrong value; without one, it is the command line that is wrong.
    pub(super) variable: Option<String>,
}

/// An option whose variable is set.
struct Fallback {
    id: String,
    long: String,
    variable: String,
    value: OsString,
}

/// Parses the arguments, the first of which is the program.
///
/// clap parses each variable that is set. Here, a variable is read only if its option is not on the
/// command line, and an empty one counts as none.
pub(super) fn parse<T: Tool>(words: &[&OsStr]) -> Result<T, Wrong> {
    let of_command_line = |error| Wrong {
        error,
        variable: None,
    };
    let mut words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
    let mut tool = T::command();
    let fallbacks: Vec<_> = tool.get_arguments().filter_map(fallback).collect();
    if !fallbacks.is_empty() {
        tool = without_variables(tool);
    }
    let parsed = tool.try_get_matches_from_mut(&words);
    let mut matches = parsed.map_err(of_command_line)?;
    for fallback in fallbacks {
        let is_given = matches.value_source(&fallback.id) == Some(ValueSource::CommandLine);
        if is_given || fallback.value.is_empty() {
            continue;
        }
        let mut option = OsString::from(format!("--{}=", fallback.long));
        option.push(fallback.value);
        words.insert(1, option);
        let parsed = tool.try_get_matches_from_mut(&words);
        matches = parsed.map_err(|error| Wrong {
            error,
            variable: Some(fallback.variable),
        })?;
    }
    T::from_arg_matches_mut(&mut matches).map_err(of_command_line)
}

/// What the words mean, whatever the environment contains.
pub(super) fn matches<T: Tool>(words: &[OsString]) -> Result<ArgMatches, Error> {
    without_variables(T::command()).try_get_matches_from(words)
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|arg| arg.env(Resettable::Reset))
}

fn fallback(arg: &Arg) -> Option<Fallback> {
    let variable = arg.get_env()?;
    Some(Fallback {
        id: arg.get_id().to_string(),
        long: arg.get_long()?.to_owned(),
        variable: variable.to_string_lossy().into_owned(),
        value: env::var_os(variable)?,
    })
}
