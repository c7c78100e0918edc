//! The tools, as every task here knows them.

/// A crate with one binary.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
    /// Arguments with which it works where nothing else is.
    pub(crate) alone: &'static [&'static str],
    /// What cargo is to build for its scenarios, in images and on older kernels, besides the
    /// binary.
    pub(crate) beside: &'static [&'static str],
    /// It talks to a cluster, and can be a plugin of kubectl.
    pub(crate) is_for_kubectl: bool,
    /// Those of its commands that need no Linux are for macOS, too.
    pub(crate) is_for_macos: bool,
}

pub(crate) const TOOLS: [Tool; 5] = [
    Tool {
        package: "lockpipes",
        binary: "lockpipe",
        alone: &["--path", "/pipe", "create"],
        beside: &[],
        is_for_kubectl: false,
        is_for_macos: true,
    },
    Tool {
        package: "exitdir",
        binary: "exitdir",
        alone: &["--dir", "/", "status"],
        beside: &["--example=leader", "--example=follower"],
        is_for_kubectl: false,
        is_for_macos: false,
    },
    Tool {
        package: "sipid",
        binary: "sipid",
        alone: &["--version"],
        beside: &[],
        is_for_kubectl: false,
        is_for_macos: false,
    },
    Tool {
        package: "lockheed",
        binary: "lockheed",
        alone: &["--version"],
        beside: &[
            "--package=e2e",
            "--bin=count",
            "--package=kernels",
            "--bin=kernels",
        ],
        is_for_kubectl: true,
        is_for_macos: true,
    },
    Tool {
        package: "cmlock",
        binary: "cmlock",
        alone: &["--version"],
        beside: &[],
        is_for_kubectl: true,
        is_for_macos: true,
    },
];

impl Tool {
    /// What makes cargo build its binary.
    pub(crate) fn build(self) -> [String; 2] {
        [
            format!("--package={}", self.package),
            format!("--bin={}", self.binary),
        ]
    }
}
