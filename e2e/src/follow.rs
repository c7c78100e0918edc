//! What a container writes until it is no more, taken from its node: the API server knows nothing of a Pod that was deleted.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use k8s_openapi::api::core::v1::Pod;
use tokio::process::Child;

use crate::{Result, cluster::Cluster, pod, scene::Scene};

pub(crate) struct Followed {
    tail: Child,
    file: PathBuf,
}

impl Scene<'_> {
    /// Begins to follow, from the last line that is there.
    pub(crate) async fn follow(&self, pod: &Pod, container: &str) -> Result<Followed> {
        let name = pod::name(pod);
        let logs = format!(
            "/var/log/pods/{}_{name}_*/{container}/0.log",
            self.namespace
        );
        let tail = format!("tail --lines=1 --follow --pid=$pid {logs}");
        let file = self.directory.join(format!("{name}.followed.log"));
        let tail = Cluster::beside(pod, container, &tail)?
            .stdout(File::create(&file)?)
            .spawn()?;
        let has_begun = async || Ok((fs::metadata(&file)?.len() > 0).then_some(()));
        self.until(&format!("the logs of {name} are followed"), has_begun)
            .await?;
        Ok(Followed { tail, file })
    }
}

impl Followed {
    /// All lines, each after its time, once the container's first process has ended.
    pub(crate) async fn text(mut self) -> Result<String> {
        let status = self.tail.wait().await?;
        if !status.success() {
            return Err(format!("the logs in {:?} are not whole: {status}", self.file).into());
        }
        Ok(fs::read_to_string(&self.file)?)
    }
}
