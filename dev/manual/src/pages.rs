//! Manual pages and completions.

use std::collections::BTreeMap;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use coord_core::cli::{
    Help, Tool,
    help::{heading, options},
};
use roff::{Roff, bold, roman};

/// The crate writes this first, for apostrophes.
const BEGINNING: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// All files of a tool, by their paths in its crate.
pub(super) fn made<T: Tool>() -> BTreeMap<String, String> {
    let manual = T::HELP.iter().map(|help| {
        let path = format!("man/{}.1", title::<T>(help.command));
        (path, manual_page::<T>(help))
    });
    let completions = [Shell::Bash, Shell::Zsh, Shell::Fish].map(|shell| {
        let name = match shell {
            Shell::Zsh => format!("_{}", T::NAME),
            shell => format!("{}.{shell}", T::NAME),
        };
        (format!("completions/{name}"), completions::<T>(shell))
    });
    manual.chain(completions).collect()
}

fn completions<T: Tool>(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut T::command(), T::NAME, &mut text);
    in_utf8(text)
}

/// `lockheed-run`.
fn title<T: Tool>(command: &str) -> String {
    match command {
        "" => T::NAME.to_owned(),
        command => format!("{}-{command}", T::NAME),
    }
}

fn manual_page<T: Tool>(help: &Help) -> String {
    let title = title::<T>(help.command);
    // clap's own text is about what -h shows.
    let command = options::<T>(help.command);
    let command = command.mut_arg("help", |arg| arg.long_help(None::<&str>));
    let mut command = command.mut_args(with_other_names);
    if help.command.is_empty() {
        let usage = coord_core::cli::help::usage(&command);
        let without_help = command.mut_subcommand("help", |help| help.hide(true));
        command = without_help.override_usage(usage);
    }
    let has_commands = command.has_subcommands();
    let description = description(&command);
    let command = command
        .subcommand_help_heading("COMMANDS")
        .display_name(title.clone())
        .long_about(description.clone().unwrap_or_default());
    let version = T::command().get_version().unwrap_or_default().to_owned();
    let man = Man::new(command)
        .title(title.to_uppercase())
        .date("")
        .source(format!("{} {version}", T::NAME))
        .manual("User Commands");
    let mut text = Vec::new();
    let mut parts = vec![
        man.render_title(&mut text),
        man.render_name_section(&mut text),
        man.render_synopsis_section(&mut text),
    ];
    if description.is_some() {
        parts.push(man.render_description_section(&mut text));
    }
    if has_commands {
        parts.push(man.render_subcommands_section(&mut text));
    }
    parts.push(man.render_options_section(&mut text));
    for part in parts {
        part.expect("a text cannot be written to memory");
    }
    // The crate writes this beginning before each section. For an empty date it leaves the argument
    // out.
    let text = in_utf8(text)
        .replace(BEGINNING, "")
        .replace(" 1  \"", " 1 \"\" \"");
    let mut text = format!("{BEGINNING}{text}");
    // The groups are parts of one section.
    for name in heading::ALL {
        let upper = name.to_uppercase();
        text = text.replace(&format!("\n.SH {upper}\n"), &format!("\n.SS {name}\n"));
    }
    text.lines().map(code_in_bold).collect::<String>() + &tables::<T>(help)
}

/// What the long help says beyond the short one, which the name section has.
fn description(command: &Command) -> Option<String> {
    let about = command.get_about()?.to_string();
    let long = command.get_long_about()?.to_string();
    let rest = long.strip_prefix(&about)?.trim_start_matches('.');
    Some(rest.trim_start().to_owned()).filter(|rest| !rest.is_empty())
}

/// The crate leaves backticks as they are.
fn code_in_bold(line: &str) -> String {
    let parts: Vec<_> = line.split('`').collect();
    if parts.len() % 2 == 0 {
        return format!("{line}\n");
    }
    let fonts = ["\\fB", "\\fR"].into_iter().cycle();
    let rest = fonts
        .zip(&parts[1..])
        .map(|(font, part)| format!("{font}{part}"));
    format!("{}{}\n", parts[0], rest.collect::<String>())
}

/// The crate leaves out an option's other names, and a variable whose value is not shown.
fn with_other_names(option: Arg) -> Arg {
    let aliases = option.get_visible_aliases().unwrap_or_default();
    let mut notes: Vec<_> = aliases
        .iter()
        .map(|name| format!("also --{name}"))
        .collect();
    let variable = option.get_env().filter(|_| !option.is_hide_env_set());
    notes.extend(variable.map(|name| format!("env: {}", name.display())));
    let help = option.get_long_help().or(option.get_help());
    match (help.cloned(), notes.join("; ")) {
        (Some(help), notes) if !notes.is_empty() => {
            let help = format!("{help} [{notes}]");
            option.long_help(help.clone()).help(help).hide_env(true)
        }
        _ => option,
    }
}

/// The sections after the options, in the order of man-pages(7).
fn tables<T: Tool>(help: &Help) -> String {
    let mut roff = Roff::new();
    let statuses = help.all_statuses();
    rows(&mut roff, "EXIT STATUS", &statuses);
    rows(&mut roff, "ENVIRONMENT", &help.variables::<T>());
    roff.control("SH", ["EXAMPLES"]);
    for (index, (what, line)) in help.examples.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(format!("{what}:"))]);
        roff.control("RS", ["4"]).control("EX", []);
        roff.text([roman(*line)]);
        roff.control("EE", []).control("RE", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = T::HELP.iter().map(|other| other.command);
    let others: Vec<_> = others.filter(|other| *other != help.command).collect();
    for (index, other) in others.iter().enumerate() {
        let end = if index + 1 == others.len() {
            "(1)"
        } else {
            "(1),"
        };
        roff.text([bold(title::<T>(other)), roman(end)]);
    }
    roff.render().replace(BEGINNING, "")
}

fn rows<A: AsRef<str>, B: AsRef<str>>(roff: &mut Roff, section: &str, rows: &[(A, B)]) {
    roff.control("SH", [section]);
    for (term, meaning) in rows {
        roff.control("TP", []).text([bold(term.as_ref())]);
        roff.text([roman(meaning.as_ref())]);
    }
}

fn in_utf8(text: Vec<u8>) -> String {
    String::from_utf8(text).expect("what is made is not text")
}
