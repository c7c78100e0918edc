//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NOT_ALLOWED: Row = (
    "13",
    "no permission for the file or the process, or others could have written the file",
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
        statuses: &[("1", "for status: the process is not running")],
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
            (
                "3",
                "there is no process with the PID of --pid; or with --ready-timeout, the command ended with status 0 before it was ready",
            ),
            (
                "11",
                "another process is claiming, or a child of a dead process holds the lock",
            ),
            ("13", "no permission for the file"),
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
                "the command's own, once it runs; otherwise failed with Linux errno n",
            ),
        ],
        examples: &[
            (
                "Run a daemon with arguments, unless it is running already",
                "sipid claim --pid-file /run/a.pid -- ./daemon --port 80",
            ),
            (
                "Claim for a process that is already running",
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
            NOT_ALLOWED,
            DIRECTORY,
            INVALID,
            LINK,
            (
                "110",
                "the process is still running at the end of the schedule",
            ),
        ],
        examples: &[
            (
                "Send TERM, and KILL after 5s",
                "sipid kill --pid-file /run/a.pid --timeout 5s",
            ),
            (
                "Send INT, and KILL after 9s, as start-stop-daemon does",
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
            NOT_ALLOWED,
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
                "Send USR1, but only to a process of root",
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
            (
                "13",
                "no permission for the file of --pid-file, or others could have written it",
            ),
            (
                "22",
                "a URL, header, regular expression or proxy is not valid",
            ),
            ("110", "not all were healthy within --timeout"),
            NOT_RUN,
            NOT_FOUND,
        ],
        variables: &[
            (
                "http_proxy",
                "proxy for http:// URLs; https_proxy is for https://, all_proxy for both",
            ),
            (
                "no_proxy",
                "hosts to contact without a proxy; loopback always is",
            ),
        ],
        examples: &[
            (
                "Wait at most 30s for a web server",
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
            ("13", "no permission for the file"),
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
                "Show the same as JSON",
                "sipid status --pid-file /run/a.pid --output json",
            ),
        ],
        ..NONE
    },
];
