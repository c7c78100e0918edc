//! The locks of `run`: one or several.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use coord_core::cli::{Failure, help::heading};
use lockheed::LockName;

use super::LockArg;

/// In the order in which they are given.
pub(crate) struct LockArgs(Vec<LockArg>);

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Given {
    /// Name of the lock. Of several locks, all are acquired or none, in the order of their names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Any text instead of NAME, such as a branch or a URL; the lock's name is made from it. May be
    /// repeated
    #[arg(long = "key", value_name = "TEXT", help_heading = heading::LOCK)]
    keys: Vec<String>,
}

impl LockArgs {
    /// Not an argument parser's error: a bad name is 22.
    pub(crate) fn names(&self) -> Result<Vec<LockName>, Failure> {
        let mut names = Vec::new();
        for given in &self.0 {
            let name = given.name()?;
            if names.contains(&name) {
                return Err(Failure::usage(format!("lock {name} is given twice")));
            }
            names.push(name);
        }
        Ok(names)
    }
}

impl Args for LockArgs {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

/// By hand, as only the matches know what was given first.
impl FromArgMatches for LockArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self(Vec::new());
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let all = |id| {
            let places = matches.indices_of(id).into_iter().flatten();
            let texts = matches.get_many::<String>(id).into_iter().flatten();
            places.zip(texts.cloned())
        };
        let name = |name| LockArg {
            name: Some(name),
            key: None,
        };
        let key = |key| LockArg {
            name: None,
            key: Some(key),
        };
        let names = all("names").map(|(place, text)| (place, name(text)));
        let keys = all("keys").map(|(place, text)| (place, key(text)));
        let mut locks: Vec<_> = names.chain(keys).collect();
        locks.sort_by_key(|(place, _)| *place);
        self.0 = locks.into_iter().map(|(_, lock)| lock).collect();
        Ok(())
    }
}
