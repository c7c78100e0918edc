//! Logging to standard error, one line per record, the same in every tool.
//!
//! A line contains the level padded to five, the name of the logging crate, and the message:
//! `[INFO  lockpipes] pipe exists at "example.pipe"`. It has no timestamp, because the log
//! collector knows the time.

use std::{
    env,
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    sync::atomic::Ordering,
};

use clap::{ArgAction, Args};
use log::{Level, LevelFilter};

use crate::{
    cli::{NOT_TEXT, help::heading},
    errno::without_numbers,
    signal::{LINE_ON_TERMINAL, WIPE},
    text::escaped,
};

/// The options `-v` and `-q`, before or after the command.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = heading::LOGGING)]
pub struct LogArgs {
    /// Log more; may be repeated
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 90)]
    verbose: u8,
    /// Log less; may be repeated
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 91)]
    quiet: u8,
}

/// A tool's logging defaults.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// The prefix of the environment variables: `LOCKPIPE` means `LOCKPIPE_LOG_FILTER` and
    /// `LOCKPIPE_LOG_STYLE`.
    pub env_prefix: &'static str,
    /// The level unless another is requested.
    pub level: LevelFilter,
    /// The crates that a filter may name alone, without `=level`.
    pub crates: &'static [&'static str],
    /// Crates that only log what they also return as errors. Below debug, only a filter shows their
    /// records.
    pub silent_below_debug: &'static [&'static str],
}

/// Sets up the process's logger. `-v` and `-q` shift the default level and override the
/// environment.
///
/// # Errors
/// A sentence that names the environment variable with the invalid value, and a valid one.
pub fn init(defaults: Defaults, args: LogArgs) -> Result<(), String> {
    let style = style(defaults.env_prefix)?;
    let filter = filter(defaults, args)?;
    let _ = env_logger::Builder::new()
        .parse_filters(&filter)
        .format(move |out, record| {
            let wipe = if LINE_ON_TERMINAL.load(Ordering::Relaxed) {
                WIPE
            } else {
                ""
            };
            let name = record.target().split("::").next().unwrap_or_default();
            let (on, off) = if style.is_coloured() {
                paint(record.level())
            } else {
                ("", "")
            };
            writeln!(
                out,
                "{wipe}[{on}{:<5}{off} {name}] {}",
                record.level(),
                escaped(&without_numbers(&record.args().to_string()))
            )
        })
        .try_init();
    Ok(())
}

fn filter(defaults: Defaults, args: LogArgs) -> Result<String, String> {
    if args.verbose != args.quiet {
        return Ok(by_level(shifted(defaults.level, args), defaults));
    }
    let variable = format!("{}_LOG_FILTER", defaults.env_prefix);
    match variable_text(&variable)? {
        None => Ok(by_level(defaults.level, defaults)),
        Some(text) if is_filter(&text, defaults.crates) => Ok(text),
        Some(text) => {
            let own = defaults.crates.first().unwrap_or(&"CRATE");
            let right =
                format!("use off, error, warn, info, debug, trace or a directive like {own}=debug");
            Err(invalid(&variable, &text, &right))
        }
    }
}

fn invalid(variable: &str, value: impl AsRef<OsStr>, right: &str) -> String {
    let value = value.as_ref();
    format!("invalid value {value:?} for {variable}: {right}")
}

/// Below debug, excludes the crates that only log what they also return as errors.
fn by_level(level: LevelFilter, defaults: Defaults) -> String {
    let mut filter = level.to_string();
    if level < LevelFilter::Debug {
        for name in defaults.silent_below_debug {
            filter += &format!(",{name}=off");
        }
    }
    filter
}

fn shifted(level: LevelFilter, args: LogArgs) -> LevelFilter {
    let wanted = level as usize + usize::from(args.verbose);
    let wanted = wanted
        .saturating_sub(usize::from(args.quiet))
        .min(LevelFilter::Trace as usize);
    LevelFilter::iter().nth(wanted).unwrap_or(level)
}

/// `env_filter` accepts any single word as a crate name, so a misspelt level would silence
/// everything else. Hence a single word must be a level or a crate that logs.
fn is_filter(text: &str, crates: &[&str]) -> bool {
    let directives = text.split('/').next().unwrap_or_default().split(',');
    let mut words = directives
        .map(str::trim)
        .filter(|directive| !directive.contains('='));
    let is_known = |word: &str| {
        word.parse::<LevelFilter>().is_ok()
            || crates.contains(&word.split("::").next().unwrap_or_default())
    };
    env_filter::Builder::new().try_parse(text).is_ok() && words.all(is_known)
}

/// Whether the level is coloured, as `<TOOL>_LOG_STYLE` sets it.
#[derive(Clone, Copy)]
enum Style {
    Auto,
    Always,
    Never,
}

impl Style {
    /// Checks for a terminal only when called: most commands log nothing and need not know.
    fn is_coloured(self) -> bool {
        match self {
            Self::Auto => {
                let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                io::stderr().is_terminal()
                    && !unwanted
                    && env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
            Self::Always => true,
            Self::Never => false,
        }
    }
}

fn style(env_prefix: &str) -> Result<Style, String> {
    let variable = format!("{env_prefix}_LOG_STYLE");
    match variable_text(&variable)?.as_deref() {
        None | Some("auto") => Ok(Style::Auto),
        Some("always") => Ok(Style::Always),
        Some("never") => Ok(Style::Never),
        Some(other) => Err(invalid(&variable, other, "use auto, always or never")),
    }
}

/// An unset or empty variable counts as none.
fn variable_text(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(text)) => Err(invalid(name, text, NOT_TEXT)),
    }
}

/// ECMA-48 select graphic rendition: the sequence that starts a level's colour, and the one that
/// ends it.
fn paint(level: Level) -> (&'static str, &'static str) {
    let on = match level {
        Level::Error => "\x1b[1;31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[34m",
        Level::Trace => "\x1b[36m",
    };
    (on, "\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_shift_the_default_level_and_stop_at_the_ends() {
        let level = |verbose, quiet| shifted(LevelFilter::Info, LogArgs { verbose, quiet });
        assert_eq!(level(1, 0), LevelFilter::Debug);
        assert_eq!(level(2, 0), LevelFilter::Trace);
        assert_eq!(level(200, 0), LevelFilter::Trace);
        assert_eq!(level(0, 1), LevelFilter::Warn);
        assert_eq!(level(0, 200), LevelFilter::Off);
    }

    #[test]
    fn filters_are_levels_directives_or_known_crates() {
        for good in [
            "debug",
            "OFF",
            "lockpipes",
            "lockpipes=trace,warn",
            "other=info",
            "info/word",
            "lockpipes::read",
        ] {
            assert!(is_filter(good, &["lockpipes"]), "{good:?}");
        }
        for bad in [
            "verbose",
            "lockpipes=loud",
            "a=b=c",
            "info/a/b",
            "debgu,lockpipes",
        ] {
            assert!(!is_filter(bad, &["lockpipes"]), "{bad:?}");
        }
    }
}
