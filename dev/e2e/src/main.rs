//! Runs the tools in real Pods. `cargo xtask e2e` builds them, and runs this.
//!
//! Each scenario has a namespace of its own, which enforces the Pod Security Standard `restricted`,
//! and applies the manifests that the crates ship. Everything that a run creates carries its ID, so
//! it can be removed however the run ends.

mod cluster;
mod follow;
mod images;
mod job;
mod pod;
mod program;
mod scenarios;
mod scene;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Instant, SystemTime},
};

use clap::{Parser, ValueEnum};
use futures::{StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};

use self::{cluster::Cluster, images::Images, scenarios::Scenario, scene::Scene};

/// Why a run or a scenario failed, for people.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Error>;

/// How many scenarios run side by side. A node has room for many more, but a small machine does
/// not.
const SIDE_BY_SIDE: usize = 4;

/// The arguments come from `cargo xtask e2e`, which explains them.
#[derive(Parser)]
struct Args {
    #[arg(long)]
    context: Option<String>,
    #[arg(long)]
    image: Option<String>,
    #[arg(long)]
    keep: bool,
    #[arg(long)]
    only: Vec<Tool>,
    /// The directory of the static binaries
    #[arg(long)]
    binaries: PathBuf,
    /// The output directory; its old content is removed
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tool {
    Lockpipes,
    Exitdir,
    Sipid,
    Lockheed,
    Cmlock,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Lockpipes => "lockpipes",
            Self::Exitdir => "exitdir",
            Self::Sipid => "sipid",
            Self::Lockheed => "lockheed",
            Self::Cmlock => "cmlock",
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut args: Args) -> Result {
    if args.only.is_empty() {
        args.only = Tool::value_variants().to_vec();
    }
    program::empty_directory(&args.out)?;
    let id = id();
    // From here on, a signal ends the work, but not the clean-up.
    let mut interrupted = Interrupted::new()?;
    let cluster = Cluster::choose(args.context.as_deref(), &args.out).await?;
    let images = Images::new(&id);
    let done = tokio::select! {
        done = everything(&args, &id, &cluster, &images) => done,
        name = interrupted.wait() => Err(format!("interrupted by {name}").into()),
    };
    if args.keep {
        eprintln!("kept: {}", cluster.how_to_look(&id));
        return done;
    }
    let removed = remove(&id, &cluster, &images).await;
    let removed = removed.map_err(|error| format!("something is left of the run {id}: {error}"));
    match (done, removed) {
        (Err(error), Err(left)) => Err(format!("{error}; {left}").into()),
        (done, removed) => Ok(done.and(removed.map_err(Error::from))?),
    }
}

async fn everything(args: &Args, id: &str, cluster: &Cluster, images: &Images) -> Result {
    cluster.ensure(args.image.as_deref()).await?;
    images
        .build(&args.only, &args.binaries, &args.out.join("image"))
        .await?;
    images.load(cluster).await?;
    let chosen = scenarios::all().filter(|it| args.only.contains(&it.tool));
    let (alone, others): (Vec<_>, Vec<_>) = chosen.partition(|it| it.alone);
    let play = |scenario| play(scenario, id, cluster, images, &args.out);
    let mut passed = Vec::new();
    for scenario in alone {
        passed.push(play(scenario).await);
    }
    let others = stream::iter(others).map(play);
    passed.extend(
        others
            .buffer_unordered(SIDE_BY_SIDE)
            .collect::<Vec<_>>()
            .await,
    );
    let failed = passed.iter().filter(|passed| !**passed).count();
    println!("{} passed, {failed} failed", passed.len() - failed);
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} scenarios failed", passed.len()).into()),
    }
}

/// Plays one scenario, and prints the result.
async fn play(
    scenario: Scenario,
    id: &str,
    cluster: &Cluster,
    images: &Images,
    out: &std::path::Path,
) -> bool {
    let started = Instant::now();
    let name = format!("{}-{}", scenario.tool.name(), scenario.name);
    let played = async {
        let scene = Scene::open(&name, id, cluster, images, &out.join(&name)).await?;
        let played = (scenario.play)(&scene).await;
        match played {
            Ok(_) => scene.close().await?,
            Err(_) => scene.collect().await,
        }
        played
    };
    let played = played.await;
    let time = format!("{:6.1} s", started.elapsed().as_secs_f64());
    match &played {
        Ok(figures) => println!("ok      {name:32} {time}  {figures}"),
        Err(error) => println!("FAILED  {name:32} {time}  {error}"),
    }
    played.is_ok()
}

async fn remove(id: &str, cluster: &Cluster, images: &Images) -> Result {
    let removed = match cluster.is_ours() {
        true => cluster.delete().await,
        false => {
            let namespaces = scene::remove_all(id, cluster).await;
            namespaces.and(images.unload(cluster).await)
        }
    };
    removed.and(images.remove().await)
}

/// A short ID, different for each of the runs that share a cluster.
fn id() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    format!("{:x}-{}", seconds % 0x0100_0000, std::process::id())
}

/// The signals that would end this program.
struct Interrupted([(tokio::signal::unix::Signal, &'static str); 3]);

impl Interrupted {
    fn new() -> Result<Self> {
        Ok(Self([
            (signal(SignalKind::interrupt())?, "INT"),
            (signal(SignalKind::terminate())?, "TERM"),
            (signal(SignalKind::hangup())?, "HUP"),
        ]))
    }

    async fn wait(&mut self) -> &'static str {
        let signals = self.0.iter_mut().map(|(signal, name)| {
            Box::pin(async move {
                signal.recv().await;
                *name
            })
        });
        futures::future::select_all(signals).await.0
    }
}
