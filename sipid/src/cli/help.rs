//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NO_RIGHT: Row = (
    "13",
    "no right to the file or the process, or somebody else can have written the file",
);
const INVALID: Row = ("22", "the file has no valid PID, or is a FIFO or a device");
const DIRECTORY: Row = ("21", "the file is a directory");
const LINK: Row = ("40", "the file is an untrusted symbolic link");
const NOT_RUN: Row = ("126", "the command cannot be executed");
const NOT_FOUND: Row = ("127", "the command was not found");

const NONE: Help = Help {
    command: "",
    is_wrapper: false,
    statuses: &[],
    variables: &[],
    examples: &[],
};

pub(super) const HELP: &[Help] = &[
    Help {
        statuses: &[("1", "the process is not running (status)")],
        examples: &[
            (
                "Run a daemon, unless it is running already",
                "sipid claim --pid-file /run/a.pid -- ./daemon",
            ),
            ("Stop it", "sipid kill --pid-file /run/a.pid"),
        ],
        ..NONE
    },
    Help {
        command: "claim",
        statuses: &[
            ("0", "claimed"),
            ("3", "there is no process with the PID of --pid"),
            (
                "11",
                "somebody else is claiming, or a child of a dead process holds the lock",
            ),
            NO_RIGHT,
            ("17", "the process in the file is running"),
            DIRECTORY,
            (
                "22",
                "the PID is not valid, or the file is a FIFO or a device",
            ),
            LINK,
            ("110", "the command was not ready within --ready-timeout"),
            NOT_RUN,
            NOT_FOUND,
            (
                "n",
                "failed with Linux errno n, or the status of the command, once it runs",
            ),
        ],
        examples: &[
            (
                "Become a daemon, unless one is running already",
                "sipid claim --pid-file /run/a.pid -- ./daemon --port 80",
            ),
            (
                "Claim for a process that was started before",
                "sipid claim --pid-file /run/a.pid --pid 4711",
            ),
        ],
        ..NONE
    },
    Help {
        command: "kill",
        statuses: &[
            ("0", "the process is gone, or none was running"),
            ("11", "children of the process still hold the lock"),
            NO_RIGHT,
            DIRECTORY,
            INVALID,
            LINK,
            ("110", "the process outlived the schedule"),
        ],
        examples: &[
            (
                "Ask with TERM, kill after 5s",
                "sipid kill --pid-file /run/a.pid --timeout 5s",
            ),
            (
                "Signals and times as for start-stop-daemon",
                "sipid kill --pid-file /run/a.pid --retry INT/9/KILL",
            ),
        ],
        ..NONE
    },
    Help {
        command: "signal",
        statuses: &[
            ("0", "the signal was sent"),
            ("3", "the process is not running"),
            NO_RIGHT,
            DIRECTORY,
            INVALID,
            LINK,
        ],
        examples: &[
            (
                "Reload the configuration",
                "sipid signal --pid-file /run/a.pid HUP",
            ),
            (
                "Only if it runs as this user",
                "sipid signal --pid-file /run/a.pid --user root USR1",
            ),
        ],
        ..NONE
    },
    Help {
        command: "wait-until-healthy",
        statuses: &[
            ("0", "all are healthy"),
            ("3", "the process in --pid-file is gone"),
            ("22", "a URL or a proxy that can never work"),
            ("110", "not all are healthy within --timeout"),
            NOT_RUN,
            NOT_FOUND,
        ],
        variables: &[
            (
                "http_proxy",
                "proxy for http:// URLs, as https_proxy is for https:// and all_proxy for both",
            ),
            ("no_proxy", "hosts that need no proxy; loopback never does"),
        ],
        examples: &[
            (
                "Wait for a web server for 30s at most",
                "sipid wait-until-healthy --url http://localhost/ --timeout 30s",
            ),
            (
                "Wait for a port and for a command",
                "sipid wait-until-healthy --url tcp://localhost:80 -- ./check",
            ),
        ],
        ..NONE
    },
    Help {
        command: "status",
        statuses: &[
            ("0", "the process is running"),
            ("1", "it is not running"),
            NO_RIGHT,
            DIRECTORY,
            INVALID,
            LINK,
        ],
        examples: &[
            (
                "Show whether it is running",
                "sipid status --pid-file /run/a.pid",
            ),
            (
                "The same for a program",
                "sipid status --pid-file /run/a.pid --output json",
            ),
        ],
        ..NONE
    },
];
