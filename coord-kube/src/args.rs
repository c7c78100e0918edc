//! Which cluster, as whom, and in which namespace.

use std::path::PathBuf;

/// Which cluster, as whom, and in which namespace: to be flattened into a tool's arguments, before or after its command.
///
/// The first of these that is there decides, and when it cannot be used that is an error, not a reason to try the next:
/// 1. `--kubeconfig`
/// 2. the files that `KUBECONFIG` names
/// 3. the Pod's service account, unless `--context` is given
/// 4. `~/.kube/config`
///
/// The namespace is that of `--namespace`, else the context's, else in a Pod that of its service account, else `default`.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ClientArgs {
    /// The kubeconfig file; else KUBECONFIG, in a Pod its service account, else ~/.kube/config
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "FILE"))]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; else its current one
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "NAME"))]
    pub context: Option<String>,
    /// The namespace; else the context's, in a Pod its own
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "NAME"))]
    pub namespace: Option<String>,
}
