//! The log: format, levels, environment, flags.

use std::process::Output;

use crate::{assert_output, statuses};

const ALL: [&str; 5] = [
    "[ERROR statuses] an error\n",
    "[WARN  statuses] a warning\n",
    "[INFO  statuses] an info\n",
    "[DEBUG statuses] a debug\n",
    "[TRACE statuses] a trace\n",
];

fn log(environment: &[(&str, &str)], flags: &[&str]) -> Output {
    statuses()
        .envs(environment.iter().copied())
        .arg("log")
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn the_default_level_is_the_tools_own() {
    assert_output(&log(&[], &[]), 0, "", &ALL[..2].concat());
    assert_output(
        &log(&[("STATUSES_LOG_FILTER", "")], &[]),
        0,
        "",
        &ALL[..2].concat(),
    );
}

#[test]
fn the_environment_sets_level_or_directives() {
    for (level, lines) in [
        ("off", 0),
        ("error", 1),
        ("warn", 2),
        ("info", 3),
        ("debug", 4),
        ("trace", 5),
    ] {
        assert_output(
            &log(&[("STATUSES_LOG_FILTER", level)], &[]),
            0,
            "",
            &ALL[..lines].concat(),
        );
    }
    let directive = [("STATUSES_LOG_FILTER", "error,statuses=debug")];
    assert_output(&log(&directive, &[]), 0, "", &ALL[..4].concat());
    assert_output(
        &log(&[("STATUSES_LOG_FILTER", "statuses")], &[]),
        0,
        "",
        &ALL.concat(),
    );
}

#[test]
fn flags_shift_the_default_and_win_over_the_environment() {
    let environment = [("STATUSES_LOG_FILTER", "off")];
    for (flags, lines) in [
        (&["-v"][..], 3),
        (&["-vv"], 4),
        (&["-v", "-v", "-v"], 5),
        (&["-q"], 1),
        (&["-qq"], 0),
    ] {
        assert_output(&log(&environment, flags), 0, "", &ALL[..lines].concat());
    }
}

#[test]
fn a_wrong_value_is_wrong_usage_and_named() {
    let filters = "use off, error, warn, info, debug, trace or a directive like statuses=debug";
    let wrong = [
        ("STATUSES_LOG_FILTER", "verbose", filters),
        ("STATUSES_LOG_FILTER", "statuses=loud", filters),
        ("STATUSES_LOG_FILTER", "foo=bar", filters),
        ("STATUSES_LOG_STYLE", "pink", "use auto, always or never"),
    ];
    for (variable, value, right) in wrong {
        let line = format!("statuses: invalid value {value:?} for {variable}: {right}\n");
        assert_output(&log(&[(variable, value)], &[]), 64, "", &line);
    }
}

#[test]
fn style_always_paints_the_level_only() {
    let painted = "[\u{1b}[1;31mERROR\u{1b}[0m statuses] an error\n";
    let environment = [
        ("STATUSES_LOG_STYLE", "always"),
        ("STATUSES_LOG_FILTER", "error"),
    ];
    assert_output(&log(&environment, &[]), 0, "", painted);
    let environment = [
        ("STATUSES_LOG_STYLE", "never"),
        ("STATUSES_LOG_FILTER", "error"),
    ];
    assert_output(&log(&environment, &[]), 0, "", ALL[0]);
}
