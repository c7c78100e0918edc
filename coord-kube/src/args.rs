//! Which cluster, as whom, and in which namespace.

use std::{fmt, path::PathBuf};

#[cfg(feature = "cli")]
use coord_core::cli::help::heading;
#[cfg(feature = "cli")]
use coord_core::text::shell_quoted;

/// Which cluster, as whom, and in which namespace: to be flattened into a tool's arguments, before
/// or after its command. They are kubectl's.
///
/// The first of these that is there decides, and when it cannot be used that is an error, not a
/// reason to try the next:
/// 1. `--kubeconfig`
/// 2. the files that `KUBECONFIG` names, those that are there
/// 3. the Pod's service account, unless `--context`, `--cluster` or `--user` is given
/// 4. `~/.kube/config`
/// 5. `--server` alone
///
/// The namespace is that of `--namespace`, else the context's, else in a Pod that of its service
/// account, else `default`.
#[derive(Clone, Default)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = heading::CLUSTER)
)]
pub struct ClientArgs {
    /// Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else
    /// ~/.kube/config]
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "FILE"))]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current context]
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "NAME"))]
    pub context: Option<String>,
    /// Namespace of the locks [default: the context's, else in a Pod its own, else `default`]
    #[cfg_attr(feature = "cli", arg(short, long, global = true, value_name = "NAME"))]
    pub namespace: Option<String>,
    /// Cluster of the kubeconfig [default: the context's]
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "NAME"))]
    pub cluster: Option<String>,
    /// User of the kubeconfig [default: the context's]
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "NAME"))]
    pub user: Option<String>,
    /// Address of the API server [default: the cluster's]
    #[cfg_attr(feature = "cli", arg(short, long, global = true, value_name = "URL"))]
    pub server: Option<String>,
    /// Bearer token for the API server [default: the user's credentials]
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "TOKEN"))]
    pub token: Option<String>,
    /// Act as this user; your own user needs the permission to impersonate
    #[cfg_attr(feature = "cli", arg(long = "as", global = true, value_name = "USER"))]
    pub impersonate: Option<String>,
    /// Act as a member of this group; may be repeated
    #[cfg_attr(
        feature = "cli",
        arg(long = "as-group", global = true, value_name = "GROUP")
    )]
    pub impersonate_groups: Vec<String>,
}

#[cfg(feature = "cli")]
impl ClientArgs {
    /// The first of these options that was given, for a tool that refuses them where it needs no
    /// cluster.
    #[must_use]
    pub fn first_given(&self) -> Option<&'static str> {
        let options = [
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--context", self.context.is_some()),
            ("--namespace", self.namespace.is_some()),
            ("--cluster", self.cluster.is_some()),
            ("--user", self.user.is_some()),
            ("--server", self.server.is_some()),
            ("--token", self.token.is_some()),
            ("--as", self.impersonate.is_some()),
            ("--as-group", !self.impersonate_groups.is_empty()),
        ];
        let mut given = options.into_iter().filter(|(_, is_given)| *is_given);
        given.next().map(|(option, _)| option)
    }

    /// What was given, as it is typed into a shell to mean the same cluster, user and namespace;
    /// but for the token, which is a secret.
    #[must_use]
    pub fn as_typed(&self) -> Vec<String> {
        let kubeconfig = self.kubeconfig.iter();
        let kubeconfig = kubeconfig.map(|file| {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            ("kubeconfig", shell_quoted(file))
        });
        let texts = [
            ("context", &self.context),
            ("namespace", &self.namespace),
            ("cluster", &self.cluster),
            ("user", &self.user),
            ("server", &self.server),
            ("as", &self.impersonate),
        ];
        let given =
            |(name, value): (_, &Option<String>)| Some((name, shell_quoted(value.as_ref()?)));
        let groups = self.impersonate_groups.iter();
        let groups = groups.map(|group| ("as-group", shell_quoted(group)));
        let all = kubeconfig
            .chain(texts.into_iter().filter_map(given))
            .chain(groups);
        all.map(|(name, value)| format!("--{name}={value}"))
            .collect()
    }
}

/// Without the token.
impl fmt::Debug for ClientArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientArgs")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("namespace", &self.namespace)
            .field("cluster", &self.cluster)
            .field("user", &self.user)
            .field("server", &self.server)
            .field("impersonate", &self.impersonate)
            .field("impersonate_groups", &self.impersonate_groups)
            .finish_non_exhaustive()
    }
}
