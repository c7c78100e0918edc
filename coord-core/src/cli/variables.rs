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

/// An option with a variable.
struct Fallback {
    id: String,
    long: String,
    variable: OsString,
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
    let mut matches = matches::<T>(&words).map_err(of_command_line)?;
    for fallback in T::command().get_arguments().filter_map(fallback) {
        let is_given = matches.value_source(&fallback.id) == Some(ValueSource::CommandLine);
        let value = env::var_os(&fallback.variable).filter(|value| !value.is_empty());
        let Some(value) = value.filter(|_| !is_given) else {
            continue;
        };
        let mut option = OsString::from(format!("--{}=", fallback.long));
        option.push(value);
        words.insert(1, option);
        matches = self::matches::<T>(&words).map_err(|error| Wrong {
            error,
            variable: Some(fallback.variable.to_string_lossy().into_owned()),
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
    Some(Fallback {
        id: arg.get_id().to_string(),
        long: arg.get_long()?.to_owned(),
        variable: arg.get_env()?.to_owned(),
    })
}
