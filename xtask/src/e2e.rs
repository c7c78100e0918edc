//! `cargo xtask e2e`: runs the tools in real Pods. This builds what is needed; the package `e2e`
//! does the rest.

use std::{os::unix::process::CommandExt, process::Command};

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    Result, process, target,
    tools::{TOOLS, Tool},
};

#[derive(Args)]
pub(crate) struct E2e {
    /// Use the kind cluster of this context of your kubeconfig, and leave it; otherwise a cluster
    /// is created and removed
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// The node image of a new cluster, which determines the version of Kubernetes
    #[arg(long, value_name = "NODE_IMAGE", conflicts_with = "context")]
    image: Option<String>,
    /// Keep the cluster, the images and the namespaces of failed scenarios, and say where they are
    #[arg(long)]
    keep: bool,
    /// Only the scenarios of this tool; may be repeated
    #[arg(long, value_name = "TOOL", value_parser = names())]
    only: Vec<String>,
}

/// The programs that must be on the PATH, and where to get them.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "docker",
        "Docker Engine: https://docs.docker.com/engine/install",
    ),
    (
        "kind",
        "kind: https://kind.sigs.k8s.io, or `go install sigs.k8s.io/kind@latest`",
    ),
    ("kubectl", "kubectl: https://kubernetes.io/docs/tasks/tools"),
    (
        "busybox",
        "a static busybox, for the images: Debian's package busybox-static",
    ),
];

impl E2e {
    pub(crate) fn run(self) -> Result {
        process::check_programs(&PROGRAMS)?;
        let wanted =
            |tool: &Tool| self.only.is_empty() || self.only.iter().any(|only| only == tool.package);
        let tools: Vec<Tool> = TOOLS.into_iter().filter(wanted).collect();
        let binaries = target::build_static(&target::smallest()?, &tools)?;
        // With the features of the whole workspace, as for its tests, so nothing is built twice.
        let build = [
            "build",
            "--workspace",
            "--all-features",
            "--locked",
            "--bin=e2e",
        ];
        process::run(&mut process::cargo(build))?;
        let mut e2e = Command::new(process::target().join("debug/e2e"));
        e2e.current_dir(process::root());
        e2e.arg("--binaries").arg(binaries);
        e2e.arg("--out").arg(process::target().join("e2e"));
        e2e.args(tools.iter().flat_map(|tool| ["--only", tool.package]));
        let options = [("--context", &self.context), ("--image", &self.image)];
        for (option, value) in options {
            e2e.args(value.iter().flat_map(|value| [option, value]));
        }
        if self.keep {
            e2e.arg("--keep");
        }
        // It replaces this process, so that signals reach it.
        Err(e2e.exec().into())
    }
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(TOOLS.map(|tool| tool.package))
}
