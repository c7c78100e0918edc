//! `count`: adds one to the number in the ConfigMap `counter`, without regard for others that do
//! the same. It runs in Pods, under a lock.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::PostParams};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::try_default().await?;
    let counters: Api<ConfigMap> = Api::default_namespaced(client);
    let mut counter = counters.get("counter").await?;
    // This overwrites what others wrote meanwhile.
    counter.metadata.resource_version = None;
    let number = counter
        .data
        .get_or_insert_default()
        .entry("number".to_owned())
        .or_default();
    *number = (number.parse::<u32>()? + 1).to_string();
    println!("{number}");
    counters
        .replace("counter", &PostParams::default(), &counter)
        .await?;
    Ok(())
}
