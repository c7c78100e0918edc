//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NO_DIRECTORY: Row = ("2", "the directory does not exist, or was removed");

const NONE: Help = Help {
    command: "",
    is_wrapper: false,
    statuses: &[],
    variables: &[],
    examples: &[],
};

pub(super) const HELP: &[Help] = &[
    Help {
        statuses: &[("1", "for status: there is no exit signal")],
        variables: &[(
            "EXIT_DIR",
            "exit directory, unless --dir is given; empty means none",
        )],
        examples: &[
            (
                "Run the main job; its helpers end when it does",
                "exitdir lead --dir /exit -- sh -c 'make; make test'",
            ),
            (
                "Run a helper until the main job is done",
                "exitdir follow --dir /exit -- tail -f /var/log/app",
            ),
        ],
        ..NONE
    },
    Help {
        command: "exit",
        statuses: &[
            ("0", "signalled, or the exit signal was already there"),
            NO_DIRECTORY,
        ],
        examples: &[
            ("End all followers", "exitdir exit --dir /exit"),
            (
                "Record who ended, and how",
                "exitdir exit --dir /exit --name migrate --status 3",
            ),
        ],
        ..NONE
    },
    Help {
        command: "wait",
        statuses: &[
            ("0", "signalled"),
            NO_DIRECTORY,
            ("3", "the leader died without signalling"),
            ("110", "the timeout ran out"),
            ("122", "with --leader-status, instead of 3"),
            ("124", "with --leader-status, instead of 110"),
            ("125", "with --leader-status, for every other failure"),
            (
                "n",
                "with --leader-status, the leader's own; otherwise failed with Linux errno n",
            ),
        ],
        examples: &[
            (
                "Wait at most an hour for the leader",
                "exitdir wait --dir /exit --timeout 1h",
            ),
            (
                "Exit with the leader's status, or with 122 if it died",
                "exitdir wait --dir /exit --leader-status",
            ),
        ],
        ..NONE
    },
    Help {
        command: "lead",
        is_wrapper: true,
        statuses: &[(
            "125",
            "this program itself failed, or the directory has an exit signal or a running leader",
        )],
        examples: &[
            (
                "Run the main job; its helpers end when it does",
                "exitdir lead --dir /exit -- ./migrate --all",
            ),
            (
                "The same after a restart: first remove the earlier exit signal",
                "exitdir lead --dir /exit --clear -- ./migrate",
            ),
        ],
        ..NONE
    },
    Help {
        command: "follow",
        is_wrapper: true,
        statuses: &[
            (
                "0",
                "the exit signal came, and the command was ended or not run (see --status)",
            ),
            (
                "122",
                "the leader died without signalling, and the command was ended",
            ),
            (
                "n",
                "the command's own, or with --status leader the leader's",
            ),
        ],
        examples: &[
            (
                "Run a helper until the leader is done",
                "exitdir follow --dir /exit -- tail -f /var/log/app",
            ),
            (
                "Exit with the leader's status; stop the helper with INT, and kill it after 5s",
                "exitdir follow --status leader --signal INT --grace 5s -- ./proxy",
            ),
        ],
        ..NONE
    },
    Help {
        command: "status",
        statuses: &[
            ("0", "there is an exit signal"),
            ("1", "there is none"),
            NO_DIRECTORY,
        ],
        examples: &[
            ("Show who ended, and how", "exitdir status --dir /exit"),
            (
                "Show the same as JSON",
                "exitdir status --dir /exit --output json",
            ),
        ],
        ..NONE
    },
    Help {
        command: "clear",
        statuses: &[
            ("0", "the directory is empty"),
            NO_DIRECTORY,
            ("16", "a leader is running"),
            (
                "39",
                "the directory has other entries, and nothing was removed",
            ),
        ],
        examples: &[
            (
                "Remove the exit signal of an earlier run",
                "exitdir clear --dir /exit",
            ),
            (
                "Remove everything in the directory",
                "exitdir clear --dir /exit --yes",
            ),
        ],
        ..NONE
    },
];
