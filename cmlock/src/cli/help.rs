//! What `--help` shows in addition to the options.

use coord_core::cli::{Help, help::Row};

const NO_POD: Row = ("2", "there is no such Pod");
const NOT_ALLOWED: Row = ("13", "this user lacks a permission (see cmlock check)");
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
        statuses: &[(
            "1",
            "the lock is free (status), somebody else holds it (break), or a permission is missing (check)",
        )],
        variables: &[
            (
                "POD_NAME",
                "Pod that owns the locks, unless --pod is given [default: host name]",
            ),
            ("POD_NAMESPACE", "namespace, unless --namespace is given"),
            (
                "CONTAINER_NAME",
                "container that cmlock runs in, unless --container is given",
            ),
            (
                "KUBECONFIG",
                "kubeconfig files, unless --kubeconfig is given",
            ),
            (
                "HTTPS_PROXY",
                "proxy for the API server; HTTP_PROXY for an http:// server",
            ),
            ("NO_PROXY", "hosts to contact without a proxy"),
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
                "Wait at most five minutes for another Pod",
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
            ("110", "the wait ran out"),
        ],
        examples: &[
            (
                "Acquire a lock for the steps of a script",
                "holder=$(cmlock acquire migrate)",
            ),
            (
                "From outside the Pod, acquire a lock for it, without waiting",
                "cmlock acquire migrate --pod web-0 --no-wait",
            ),
        ],
        ..NONE
    },
    Help {
        command: "release",
        statuses: &[
            ("0", "released, or nobody held the lock"),
            NO_POD,
            NOT_ALLOWED,
            ("16", "somebody else holds the lock"),
            INVALID,
        ],
        examples: &[
            ("Release a lock of this Pod", "cmlock release migrate"),
            (
                "Release it only if this holder has it",
                "cmlock release migrate --holder 8f3a52c1",
            ),
        ],
        ..NONE
    },
    Help {
        command: "break",
        statuses: &[
            ("0", "the lock was taken from that holder"),
            ("1", "somebody else holds the lock, or nobody does"),
            NOT_ALLOWED,
            INVALID,
        ],
        examples: &[
            (
                "Take a lock from the holder that status shows",
                "cmlock break migrate --holder 8f3a52c1",
            ),
            (
                "The same in another namespace",
                "cmlock break migrate --holder 8f3a52c1 --namespace ci",
            ),
        ],
        ..NONE
    },
    Help {
        command: "status",
        statuses: &[
            ("0", "somebody holds the lock"),
            ("1", "the lock is free"),
            NOT_ALLOWED,
            INVALID,
        ],
        examples: &[
            ("Show who holds a lock", "cmlock status migrate"),
            (
                "Show the same as JSON",
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
                "Show the locks of all namespaces",
                "cmlock list --all-namespaces",
            ),
        ],
        ..NONE
    },
    Help {
        command: "check",
        statuses: &[
            ("0", "this user has the required permissions"),
            (
                "1",
                "a permission is missing; a Role that gives it is printed",
            ),
            ("22", "the name of the lock is not valid"),
        ],
        examples: &[
            ("Check the permissions for all locks", "cmlock check"),
            (
                "Check those for one lock of a namespace",
                "cmlock check migrate --namespace ci",
            ),
        ],
        ..NONE
    },
];
