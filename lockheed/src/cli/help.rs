//! What `--help` says in addition to the options.

use coord_core::cli::{Help, help::Row};

const NONE_SUCH: Row = ("2", "there is no such lock");
const NOT_ALLOWED: Row = ("13", "this user lacks a permission (see lockheed check)");
const INVALID: Row = (
    "22",
    "the name of the lock is not valid, or its object is not a valid lock",
);
const HELD: Row = ("16", "somebody holds the lock");
const NO: Row = ("1", "the condition does not hold, and nothing was changed");

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
            "a condition does not hold (break, delete), --id does not hold the lock (break), or a permission is missing (check)",
        )],
        variables: &[
            (
                "LOCKHEED_STORE",
                "where the locks are kept, unless --store is given [default: kube]",
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
                "Run a command, at most once at a time",
                "lockheed run deploy -- ./deploy.sh",
            ),
            (
                "The same on one machine, without Kubernetes",
                "lockheed run backup --store dir:/run/locks -- ./backup",
            ),
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
        variables: &[
            (
                "LOCKHEED_TOKEN",
                "set for the command: the fencing token, which rises with every acquisition",
            ),
            (
                "LOCKHEED_TOKENS",
                "set for the command: the tokens of all locks by name, as JSON; also in LOCKHEED_TOKEN_1 and so on",
            ),
        ],
        examples: &[
            (
                "Wait at most ten minutes for whoever deploys",
                "lockheed run deploy --wait 10m -- ./deploy.sh",
            ),
            (
                "At most three at a time, first come, first served",
                "lockheed run build --slots 3 --fair -- make",
            ),
        ],
    },
    Help {
        command: "acquire",
        statuses: &[
            ("0", "acquired, or extended for the same ID"),
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
                "id=$(lockheed acquire deploy --duration 15m)",
            ),
            (
                "Acquire a lock with an ID of your own, without waiting",
                "lockheed acquire deploy --id ci-42 --no-wait",
            ),
        ],
        ..NONE
    },
    Help {
        command: "renew",
        statuses: &[
            ("0", "renewed"),
            NONE_SUCH,
            NOT_ALLOWED,
            INVALID,
            ("116", "this ID does not hold the lock (any more)"),
        ],
        examples: &[
            (
                "Renew a lease for its own length",
                "lockheed renew deploy --id ci-42",
            ),
            (
                "Renew it for half an hour",
                "lockheed renew deploy --id ci-42 --duration 30m",
            ),
        ],
        ..NONE
    },
    Help {
        command: "release",
        statuses: &[
            ("0", "released, or this ID did not hold the lock"),
            NOT_ALLOWED,
            INVALID,
        ],
        examples: &[
            ("Release a lock", "lockheed release deploy --id ci-42"),
            (
                "Release a lock in a directory",
                "lockheed release x --id me --store dir:/run/locks",
            ),
        ],
        ..NONE
    },
    Help {
        command: "list",
        statuses: &[NOT_ALLOWED, ("22", "an object is not a valid lock")],
        examples: &[
            (
                "Show who holds what in this namespace",
                "lockheed list --output wide",
            ),
            (
                "Watch the locks that are held",
                "lockheed list --where 'acquired equals true' --watch",
            ),
        ],
        ..NONE
    },
    Help {
        command: "inspect",
        statuses: &[NONE_SUCH, NOT_ALLOWED, INVALID],
        examples: &[
            (
                "Show who holds a lock, and who waits",
                "lockheed inspect deploy",
            ),
            (
                "Show the same as JSON",
                "lockheed inspect deploy --output json",
            ),
        ],
        ..NONE
    },
    Help {
        command: "break",
        statuses: &[
            (
                "0",
                "the lease is ended; or nobody held the lock, and no --id was given",
            ),
            (
                "1",
                "the condition does not hold, or --id does not hold the lock",
            ),
            NONE_SUCH,
            NOT_ALLOWED,
            INVALID,
            (
                "64",
                "wrong usage; or somebody holds the lock, and neither --id nor --yes was given",
            ),
        ],
        examples: &[
            ("Say whose lease would be ended", "lockheed break deploy"),
            (
                "End the lease of this holder, and no other",
                "lockheed break deploy --id host-1-8f3a",
            ),
        ],
        ..NONE
    },
    Help {
        command: "delete",
        statuses: &[
            ("0", "the lock is gone"),
            NO,
            NONE_SUCH,
            NOT_ALLOWED,
            HELD,
            INVALID,
        ],
        examples: &[
            ("Remove a lock", "lockheed delete deploy"),
            (
                "Remove it only if it has this tag",
                "lockheed delete deploy --if 'tags contains \"old\"'",
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
            INVALID,
        ],
        examples: &[
            ("Check the permissions for all locks", "lockheed check"),
            (
                "Check those for one lock, with --events",
                "lockheed check deploy --events --namespace ci",
            ),
        ],
        ..NONE
    },
];
