//! `check`.

use clap::Args;
use cmlock::Client;
use coord_core::{Status, cli::Failure};

use super::client::PodArgs;

#[derive(Args)]
pub(crate) struct Check {
    /// Name of the lock to check for [default: all locks, and listing them]
    name: Option<String>,
}

impl Check {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        let optional = Client::OPTIONAL_RULES;
        let Some(name) = self.name else {
            let needed = Client::RULES;
            return client.cluster().check("cmlock", &needed, &optional).await;
        };
        let needed = Client::rules_for(&name)?;
        let role = format!("cmlock-{name}");
        client.cluster().check(&role, &needed, &optional).await
    }
}
