//! Explains wrong arguments on one line: what is wrong, and what is valid.

use std::{
    env,
    error::Error as _,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
};

use clap::{
    Arg, ArgGroup, Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};
use strsim::levenshtein;

use super::{
    NOT_TEXT, Tool, help, program,
    variables::{Wrong, matches},
};
use crate::text::{shell_quoted, without_password};

/// One line, without the tool's name.
pub(super) fn explained<T: Tool>(wrong: &Wrong, arguments: &[&OsStr]) -> String {
    let error = &wrong.error;
    let meant = Meant::by::<T>(arguments);
    if let Some(place) = meant.value_with_a_dash(error, arguments) {
        return with_a_dash::<T>(arguments, place);
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
            let valid = either(&valid);
            format!("invalid value {:?} for {arg}: use {valid}", shown(&value))
        }
        ErrorKind::ValueValidation => invalid(error, &arg, &value),
        ErrorKind::InvalidUtf8 => match &wrong.variable {
            Some(name) => not_text(&env::var_os(name).unwrap_or_default(), Some(name)),
            None => meant.not_text::<T>(arguments),
        },
        ErrorKind::TooManyValues => format!("unexpected value {:?} for {arg}", shown(&value)),
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
            let name = shown(&name);
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
            let args = texts(error, ContextKind::InvalidArg);
            let missing = args.iter().map(|arg| one_of(arg)).collect::<Vec<_>>();
            let (missing, usage) = (missing.join(", "), meant.usage_for(error));
            // What only another option needs is not in the usage.
            let is_hidden = |arg: &String| arg.starts_with("--") && !usage.contains(arg);
            if args.iter().all(is_hidden) {
                format!("missing {missing} (see {} --help)", meant.path)
            } else {
                format!("missing {missing}: write {usage}")
            }
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

    /// Where an option is whose value, behind it, begins with a dash, such as a negative number.
    fn value_with_a_dash(&self, error: &Error, arguments: &[&OsStr]) -> Option<usize> {
        let value = texts(error, ContextKind::InvalidArg).pop()?;
        if error.kind() != ErrorKind::UnknownArgument || !value.starts_with('-') {
            return None;
        }
        // What comes after `--` is of another command, and may be a secret.
        let own = arguments.split(|word| *word == "--").next()?;
        own.windows(2).position(|pair| {
            // For `-5m`, the error names `-5`.
            let is_meant = pair[1]
                .to_str()
                .is_some_and(|word| word.starts_with(&value));
            is_meant && self.option_before_value(pair[0]).is_some()
        })
    }

    /// The option, where this word is one that has its value in the next word.
    fn option_before_value(&self, word: &OsStr) -> Option<&Arg> {
        let name = word.to_str()?.strip_prefix('-')?;
        let is_meant = |option: &&Arg| match name.strip_prefix('-') {
            Some(long) => option.get_long() == Some(long),
            None => option
                .get_short()
                .is_some_and(|short| name == short.to_string()),
        };
        let mut options = self.command.get_arguments();
        let takes_values = |option: &&Arg| option.get_action().takes_values();
        options.find(is_meant).filter(takes_values)
    }

    /// Names the argument that must be text and is not. clap does not.
    fn not_text<T: Tool>(&self, arguments: &[&OsStr]) -> String {
        let lossy = |word: &OsStr| OsString::from(word.to_string_lossy().into_owned());
        let is_refused = |place: &usize| {
            let words = arguments.iter().enumerate().map(|(at, word)| match at {
                at if at == *place => (*word).to_owned(),
                _ => lossy(word),
            });
            let parsed = matches::<T>(&words.collect::<Vec<_>>());
            parsed.is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
        };
        let mut places = (1..arguments.len()).filter(|&at| arguments[at].to_str().is_none());
        let Some(place) = places.find(is_refused) else {
            return format!("an argument is wrong: {NOT_TEXT}");
        };
        let word = arguments[place];
        let bytes = word.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=');
        match (equals, self.option_before_value(arguments[place - 1])) {
            (Some(at), _) if bytes.starts_with(b"--") => {
                let option = String::from_utf8_lossy(&bytes[..at]);
                not_text(OsStr::from_bytes(&bytes[at + 1..]), Some(&option))
            }
            (_, Some(option)) => not_text(word, Some(&option.to_string())),
            (_, None) => not_text(word, None),
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
                let is_alone = suggested(error, ContextKind::SuggestedArg, option).is_empty();
                return is_alone.then(|| {
                    format!(
                        "unknown option {option} (see {path} --help): put options of the command to run after \"--\""
                    )
                });
            }
            ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument => {}
            _ => return None,
        }
        let write = self.with_separator(&args[0], arguments);
        let write = write.unwrap_or_else(|| self.usage());
        let before = "\"--\" is missing before the command to run";
        let instead = self.instead_of(last);
        Some(format!("{before}: write {write}{instead}"))
    }

    /// The options that can be given in place of a command.
    fn instead_of(&self, cmd: &Arg) -> String {
        // clap also makes a group of all arguments of a struct.
        let mut groups = self.command.get_groups().filter(|it| it.is_required_set());
        let group = groups.find(|group| group.get_args().any(|id| id == cmd.get_id()));
        let ids = group.into_iter().flat_map(ArgGroup::get_args);
        let options = ids.filter_map(|id| {
            let mut options = self.command.get_opts();
            options.find(|option| option.get_id() == id)
        });
        options
            .map(|option| format!(", or give {option}"))
            .collect()
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
            shell_quoted(shown(cmd))
        ))
    }

    fn unknown(&self, error: &Error, arg: &str) -> String {
        let (path, word) = (&self.path, shown(arg));
        match &suggested(error, ContextKind::SuggestedArg, arg)[..] {
            [] if arg.starts_with('-') => format!("unknown option {arg} (see {path} --help)"),
            [] => format!("unexpected argument {word:?}: write {}", self.usage()),
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

/// clap writes `<--pid <PID>|CMD>` if one of them is needed.
fn one_of(arg: &str) -> String {
    let inner = arg.strip_prefix('<').and_then(|arg| arg.strip_suffix('>'));
    match inner.filter(|inner| inner.contains('|')) {
        Some(inner) => inner.replace('|', " or "),
        None => arg.to_owned(),
    }
}

fn not_text(value: &OsStr, of: Option<&str>) -> String {
    let text = value.to_string_lossy();
    let safe = shown(&text);
    // Where nothing is masked, the bytes that are no text are shown as they are.
    let value = if safe == text { value } else { safe.as_ref() };
    match of {
        Some(name) => format!("invalid value {value:?} for {name}: {NOT_TEXT}"),
        None => format!("invalid argument {value:?}: {NOT_TEXT}"),
    }
}

/// What is wrong with the value behind the option at this place, which looks like an option itself.
fn with_a_dash<T: Tool>(arguments: &[&OsStr], place: usize) -> String {
    let mut words: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
    let value = words.remove(place + 1);
    words[place].push("=");
    words[place].push(&value);
    match matches::<T>(&words) {
        Err(error)
            if [ErrorKind::InvalidValue, ErrorKind::ValueValidation].contains(&error.kind()) =>
        {
            let wrong = Wrong {
                error,
                variable: None,
            };
            let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
            explained::<T>(&wrong, &words)
        }
        _ => {
            let (option, write) = (arguments[place].display(), words[place].display());
            format!("{option} needs a value: if {value:?} is meant, write {write}")
        }
    }
}

/// What a parser says of a value. Some name it, too.
fn invalid(error: &Error, arg: &str, value: &str) -> String {
    let why = error.source().map(why).unwrap_or_default();
    let (named, masked) = (format!("{value:?}"), format!("{:?}", shown(value)));
    if why.contains(&named) {
        format!("{arg}: {}", why.replace(&named, &masked))
    } else {
        format!("invalid value {masked} for {arg}: {why}")
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
        similar.starts_with(given) || given.starts_with(similar) || levenshtein(given, similar) <= 2
    };
    texts(error, kind).into_iter().filter(is_near).collect()
}

/// What has a colon may be a URL with a password.
fn shown(value: &str) -> String {
    if value.contains(':') {
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
