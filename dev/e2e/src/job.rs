//! Jobs, and how they end.

use std::time::Instant;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::ListParams;

use crate::{Result, pod, scene::Scene};

/// The condition of a Job that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Failed,
}

impl Scene<'_> {
    /// Waits until a Job ends in this way. Returns the time that took, for people.
    pub(crate) async fn job_ends(&self, name: &str, end: End) -> Result<String> {
        let started = Instant::now();
        let what = format!("the Job {name} is {end:?}");
        let ended = self.until(&what, async || {
            Ok(end_of(&self.api::<Job>().get(name).await?))
        });
        let ended = ended.await?;
        if ended == end {
            return Ok(format!("{:.1} s", started.elapsed().as_secs_f64()));
        }
        let what = format!("the Job {name} should be {end:?}, and is {ended:?}");
        Err(self.wrong(&what).await)
    }

    /// The first Pod of a Job, once this is true of it.
    pub(crate) async fn pod_of_job(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Pod) -> bool,
    ) -> Result<Pod> {
        let parameters = ListParams::default().labels(&format!("job-name={name}"));
        let what = format!("the Pod of {name}: {what}");
        let pod = self.until(&what, async || {
            let pods = self.api::<Pod>().list(&parameters).await?;
            Ok(pods.into_iter().next().filter(&is_so))
        });
        pod.await
    }

    /// Checks that a container of a Job's Pod has ended with one of these statuses, and returns
    /// which.
    pub(crate) async fn ended_with(
        &self,
        job: &str,
        container: &str,
        expected: &[i32],
    ) -> Result<i32> {
        let ended = |pod: &Pod| pod::exit_code(pod, container).is_some();
        let what = format!("{container} has ended");
        let pod = self.pod_of_job(job, &what, ended).await?;
        match pod::exit_code(&pod, container) {
            Some(code) if expected.contains(&code) => Ok(code),
            _ => {
                let what = format!("{container} of {job} should have ended with {expected:?}");
                Err(self.wrong(&what).await)
            }
        }
    }
}

fn end_of(job: &Job) -> Option<End> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let mut are_so = conditions.iter().filter(|it| it.status == "True");
    are_so.find_map(|it| match it.type_.as_str() {
        "Complete" => Some(End::Complete),
        "Failed" => Some(End::Failed),
        _ => None,
    })
}
