//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NO_POD: Row = ("2", "there is no such Pod");
const NOT_ALLOWED: Row = ("13", "this user lacks a right (see cmlock check)");
const INVALID: Row = (
    "22",
    "the name of the lock is not valid, or the object is not a lock",
);

const NONE: Help = Help {
    command: "",
    is_wrapper: false,
    statuses: &[],
    variables: &[],
    examples: &[],
};

pub(super) const HELP: &[Help] = &[
    Help {
        statuses: &[("1", "the answer is no")],
        variables: &[
            (
                "POD_NAME",
                "Pod that owns the locks, unless --pod is given [default: host name]",
            ),
            ("POD_NAMESPACE", "namespace, unless --namespace is given"),
            ("CONTAINER_NAME", "container, unless --container is given"),
            (
                "KUBECONFIG",
                "kubeconfig files, unless --kubeconfig is given",
            ),
            (
                "HTTPS_PROXY",
                "proxy for the API server; HTTP_PROXY for one without TLS",
            ),
            ("NO_PROXY", "hosts that need no proxy"),
        ],
        examples: &[
            (
                "Run a command while this Pod holds a lock",
                "cmlock run migrate -- ./migrate.sh",
            ),
            ("Show who holds it", "cmlock status migrate"),
        ],
        ..NONE
    },
    Help {
        command: "run",
        is_wrapper: true,
        statuses: &[
            ("122", "the lock was lost, and the command was ended"),
            (
                "124",
                "the lock was not acquired in time, and the command was not run",
            ),
        ],
        variables: &[("CMLOCK_HOLDER", "set for the command: the holder's ID")],
        examples: &[
            (
                "Wait five minutes at most for another Pod",
                "cmlock run migrate --wait 5m -- ./migrate.sh",
            ),
            (
                "Let the lock expire 1m after it was last extended",
                "cmlock run migrate --timeout 1m -- ./migrate.sh",
            ),
        ],
    },
    Help {
        command: "acquire",
        statuses: &[
            ("0", "this Pod holds the lock"),
            NO_POD,
            NOT_ALLOWED,
            (
                "16",
                "somebody else holds the lock, and --no-wait was given",
            ),
            INVALID,
            ("110", "the time of --wait or --timeout ran out"),
        ],
        examples: &[
            (
                "Acquire a lock for the steps of a script",
                "holder=$(cmlock acquire migrate)",
            ),
            (
                "The same from outside, on behalf of a Pod",
                "cmlock acquire migrate --pod web-0 --no-wait",
            ),
        ],
        ..NONE
    },
    Help {
        command: "release",
        statuses: &[
            ("0", "this Pod does not hold the lock any more"),
            NOT_ALLOWED,
            ("16", "somebody else holds the lock"),
            INVALID,
        ],
        examples: &[
            ("Release what this Pod holds", "cmlock release migrate"),
            (
                "Only if this holder has it",
                "cmlock release migrate --holder 8f3a52c1",
            ),
        ],
        ..NONE
    },
    Help {
        command: "break",
        statuses: &[
            ("0", "the hold is ended"),
            ("1", "somebody else holds the lock, or nobody"),
            NOT_ALLOWED,
            INVALID,
        ],
        examples: &[
            (
                "The ID is what status shows",
                "cmlock break migrate --holder 8f3a52c1 --namespace ci",
            ),
            (
                "End the hold of this holder, and no other",
                "cmlock break migrate --holder 8f3a52c1",
            ),
        ],
        ..NONE
    },
    Help {
        command: "status",
        statuses: &[
            ("0", "somebody holds the lock"),
            ("1", "it is free"),
            NOT_ALLOWED,
            INVALID,
        ],
        examples: &[
            ("Show who holds a lock", "cmlock status migrate"),
            (
                "The same for a program",
                "cmlock status migrate --output json",
            ),
        ],
        ..NONE
    },
    Help {
        command: "list",
        statuses: &[NOT_ALLOWED, ("22", "an object is not a valid lock")],
        examples: &[
            (
                "Show the locks of this namespace",
                "cmlock list --output wide",
            ),
            (
                "Show those of all namespaces",
                "cmlock list --all-namespaces",
            ),
        ],
        ..NONE
    },
    Help {
        command: "check",
        statuses: &[
            ("0", "this user has all that is needed"),
            ("1", "a right is missing; a Role that gives it is printed"),
            ("22", "the name of the lock is not valid"),
        ],
        examples: &[
            ("What is needed for every lock", "cmlock check"),
            (
                "What is needed for one",
                "cmlock check migrate --namespace ci",
            ),
        ],
        ..NONE
    },
];
