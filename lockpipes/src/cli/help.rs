//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NOT_A_PIPE: Row = ("17", "something other than a pipe is at the path");
const REMOVED: Row = (
    "2",
    "the directory does not exist, or the pipe was removed during the wait",
);
const TIMED_OUT: Row = ("110", "the timeout ran out");

const NONE: Help = Help {
    command: "",
    is_wrapper: false,
    statuses: &[],
    variables: &[],
    examples: &[],
};

pub(super) const HELP: &[Help] = &[
    Help {
        statuses: &[("1", "for exists: there is no pipe"), NOT_A_PIPE, TIMED_OUT],
        variables: &[(
            "LOCKPIPE_PATH",
            "path of the pipe, unless --path is given [default: /run/forever]",
        )],
        examples: &[
            (
                "Wait until somebody writes",
                "lockpipe read --path /tmp/gate",
            ),
            (
                "Release everybody who waits there",
                "lockpipe write --path /tmp/gate",
            ),
        ],
        ..NONE
    },
    Help {
        command: "create",
        statuses: &[("0", "created, or the pipe already existed"), NOT_A_PIPE],
        examples: &[
            (
                "Create a pipe that only you can use",
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
            ("0", "a writer came, and the last writer has closed"),
            REMOVED,
            NOT_A_PIPE,
            TIMED_OUT,
        ],
        examples: &[
            (
                "Keep a container running until it is stopped",
                "lockpipe read",
            ),
            (
                "Wait at most five minutes for a writer",
                "lockpipe read --path /tmp/gate --timeout 5m",
            ),
        ],
        ..NONE
    },
    Help {
        command: "write",
        statuses: &[("0", "a reader came"), REMOVED, NOT_A_PIPE, TIMED_OUT],
        examples: &[
            (
                "Release every waiting reader",
                "lockpipe write --path /tmp/gate",
            ),
            (
                "Wait at most half a second for a reader",
                "lockpipe write --path /tmp/gate --timeout 500ms",
            ),
        ],
        ..NONE
    },
    Help {
        command: "exists",
        statuses: &[
            ("0", "there is a pipe"),
            ("1", "there is no pipe"),
            NOT_A_PIPE,
        ],
        examples: &[
            (
                "Check by the exit status",
                "lockpipe exists --path /tmp/gate",
            ),
            (
                "Check without a log line",
                "lockpipe exists --path /tmp/gate --quiet",
            ),
        ],
        ..NONE
    },
    Help {
        command: "delete",
        statuses: &[("0", "removed, or there was no pipe"), NOT_A_PIPE],
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
