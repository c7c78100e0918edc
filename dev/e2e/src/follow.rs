//! Reads a container's output on its node until the container ends. The API server cannot give it
//! once the Pod is deleted.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use tokio::{process::Child, time::timeout};

use crate::{Result, cluster::Cluster, pod, program::output, scene::Scene};

/// How long it may take here until the end of a process is seen.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Followed {
    tail: Child,
    file: PathBuf,
}

impl Scene<'_> {
    /// Starts to follow, from the last existing line.
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
    /// How long after this container's last line `works` the next container wrote its first line of
    /// this kind. It is an error if both worked at once.
    pub(crate) async fn until(
        self,
        scene: &Scene<'_>,
        next: &str,
        container: &str,
        first: &str,
    ) -> Result<Duration> {
        let works = self.text().await?;
        let logs = ["logs", "--timestamps", next, "--container", container];
        let next = output(scene.kubectl().args(logs)).await?;
        let last = time_of(works.lines().rev().find(|line| line.ends_with("works")))?;
        let first = time_of(next.lines().find(|line| line.ends_with(first)))?;
        let gap = first.duration_since(last);
        if gap.is_positive() {
            return Ok(gap.unsigned_abs());
        }
        Err(format!(
            "two at once: the next one began at {first}, and the holder still worked at {last}"
        )
        .into())
    }

    /// All lines, each after its time, once the container's first process has ended. If that takes
    /// too long, the lines so far.
    async fn text(mut self) -> Result<String> {
        match timeout(PATIENCE, self.tail.wait()).await {
            Ok(ended) => {
                let status = ended?;
                if !status.success() {
                    return Err(
                        format!("the logs in {:?} are not whole: {status}", self.file).into(),
                    );
                }
            }
            Err(_) => self.tail.kill().await?,
        }
        Ok(fs::read_to_string(&self.file)?)
    }
}

/// The time at the start of a log line.
fn time_of(line: Option<&str>) -> Result<Timestamp> {
    let time = line.and_then(|line| line.split(' ').next());
    Ok(time.ok_or("a command has written nothing")?.parse()?)
}
