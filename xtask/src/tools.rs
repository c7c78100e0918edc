//! The tools, for all tasks here.

/// A crate with one binary.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
    /// Arguments for a call that works where nothing else is installed.
    pub(crate) alone: &'static [&'static str],
    /// Additional cargo arguments to build for its scenarios, in images and on older kernels,
    /// besides the binary.
    pub(crate) beside: &'static [&'static str],
    /// It talks to a cluster, and can be a kubectl plugin.
    pub(crate) is_for_kubectl: bool,
    /// It supports macOS with the commands that do not need Linux.
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
    /// The cargo arguments that build its binary.
    pub(crate) fn build(self) -> [String; 2] {
        [
            format!("--package={}", self.package),
            format!("--bin={}", self.binary),
        ]
    }
}
