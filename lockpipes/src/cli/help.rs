//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NOT_A_PIPE: Row = ("17", "something other than a pipe is at the path");
const REMOVED: Row = (
    "2",
    "the directory does not exist, or the pipe was removed during the wait",
);
const TIMED_OUT: Row = ("110", "the time of --timeout ran out");

const NONE: Help = Help {
    command: "",
    is_wrapper: false,
    statuses: &[],
    variables: &[],
    examples: &[],
};

pub(super) const HELP: &[Help] = &[
    Help {
        statuses: &[("1", "there is no pipe (exists)"), NOT_A_PIPE, TIMED_OUT],
        variables: &[(
            "LOCKPIPE_PATH",
            "path of the pipe, unless --path is given [default: /run/forever]",
        )],
        examples: &[
            (
                "Stay until somebody writes",
                "lockpipe read --path /tmp/gate",
            ),
            (
                "Let everybody go who waits there",
                "lockpipe write --path /tmp/gate",
            ),
        ],
        ..NONE
    },
    Help {
        command: "create",
        statuses: &[("0", "created, or a pipe is there already"), NOT_A_PIPE],
        examples: &[
            (
                "Create the pipe for yourself alone",
                "lockpipe create --path /tmp/gate",
            ),
            (
                "Let every user read and write",
                "lockpipe create --path /tmp/gate --mode 0666",
            ),
        ],
        ..NONE
    },
    Help {
        command: "read",
        statuses: &[
            ("0", "a writer came, and the last one has gone"),
            REMOVED,
            NOT_A_PIPE,
            TIMED_OUT,
        ],
        examples: &[
            ("Keep a container running, at no cost", "lockpipe read"),
            (
                "Wait for a writer for five minutes at most",
                "lockpipe read --path /tmp/gate --timeout 5m",
            ),
        ],
        ..NONE
    },
    Help {
        command: "write",
        statuses: &[("0", "a reader is there"), REMOVED, NOT_A_PIPE, TIMED_OUT],
        examples: &[
            ("Let every reader go", "lockpipe write --path /tmp/gate"),
            (
                "Do not wait for a reader longer than this",
                "lockpipe write --path /tmp/gate --timeout 500ms",
            ),
        ],
        ..NONE
    },
    Help {
        command: "exists",
        statuses: &[
            ("0", "there is a pipe"),
            ("1", "nothing is there"),
            NOT_A_PIPE,
        ],
        examples: &[
            (
                "Ask with the exit status",
                "lockpipe exists --path /tmp/gate",
            ),
            (
                "Ask without a log line",
                "lockpipe exists --path /tmp/gate --quiet",
            ),
        ],
        ..NONE
    },
    Help {
        command: "delete",
        statuses: &[("0", "removed, or nothing was there"), NOT_A_PIPE],
        examples: &[
            ("Remove the pipe", "lockpipe delete --path /tmp/gate"),
            (
                "Remove it without a log line",
                "lockpipe delete --path /tmp/gate -qq",
            ),
        ],
        ..NONE
    },
];
