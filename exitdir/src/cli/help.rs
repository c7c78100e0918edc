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
        statuses: &[("1", "there is no exit signal (status)")],
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
        statuses: &[("0", "signalled, now or before"), NO_DIRECTORY],
        examples: &[
            ("Let all followers end", "exitdir exit --dir /exit"),
            (
                "Say who ended, and how",
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
            ("110", "the time of --timeout ran out"),
            ("122", "with --leader-status, instead of 3"),
            ("124", "with --leader-status, instead of 110"),
            ("125", "with --leader-status, for every other failure"),
            ("n", "with --leader-status, the leader's own"),
        ],
        examples: &[
            (
                "Wait for the leader for an hour at most",
                "exitdir wait --dir /exit --timeout 1h",
            ),
            (
                "End as the leader ended, and with 122 if it died",
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
                "The same after a restart, with what it left removed",
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
                "it was time to exit, and the command was ended (see --status)",
            ),
            (
                "122",
                "the leader died without signalling, and the command was ended",
            ),
        ],
        examples: &[
            (
                "Run a helper until the leader is done",
                "exitdir follow --dir /exit -- tail -f /var/log/app",
            ),
            (
                "End as the leader ended; ask with INT, kill after 5s",
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
                "The same for a program",
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
            ("39", "the directory has other entries, and is unchanged"),
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
