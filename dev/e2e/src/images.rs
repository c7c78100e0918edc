//! The images. They contain static binaries and files that are written here, and nothing else.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{
    Result, Tool,
    cluster::Cluster,
    program::{self, output, program},
    scene::LABEL,
};

/// The names of one run's images. No other run has the tag.
pub(crate) struct Images {
    tag: String,
}

/// How an image is made.
struct Recipe {
    /// Its name in the manifests.
    name: &'static str,
    dockerfile: &'static str,
    /// The image of this run that it is based on; none for an image that contains nothing else.
    base: Option<&'static str>,
    /// Its files, in the directory of the binaries.
    files: &'static [&'static str],
}

/// What runs in Pods besides the tools.
pub(crate) const BASE: &str = "base";

/// The image of lockheed, with a program that needs a lock.
pub(crate) const COUNT: &str = "count";

const LOCKHEED: &str = "lockheed";

fn recipes(tool: Tool) -> &'static [Recipe] {
    match tool {
        Tool::Lockpipes => &[Recipe {
            name: "lockpipe",
            dockerfile: "lockpipes/examples/Dockerfile",
            base: None,
            files: &["lockpipe"],
        }],
        Tool::Exitdir => &[Recipe {
            name: "exitdir",
            dockerfile: "exitdir/examples/Dockerfile",
            base: Some(BASE),
            files: &["exitdir", "examples/leader", "examples/follower"],
        }],
        Tool::Sipid => &[Recipe {
            name: "sipid",
            dockerfile: "dev/e2e/sipid/Dockerfile",
            base: Some(BASE),
            files: &["sipid"],
        }],
        Tool::Lockheed => &[
            Recipe {
                name: LOCKHEED,
                dockerfile: "lockheed/examples/Dockerfile",
                base: Some(BASE),
                files: &["lockheed"],
            },
            Recipe {
                name: COUNT,
                dockerfile: "dev/e2e/lockheed/Dockerfile",
                base: Some(LOCKHEED),
                files: &["count"],
            },
        ],
        Tool::Cmlock => &[Recipe {
            name: "cmlock",
            dockerfile: "cmlock/examples/Dockerfile",
            base: Some(BASE),
            files: &["cmlock"],
        }],
    }
}

impl Images {
    pub(crate) fn new(id: &str) -> Self {
        Self { tag: id.to_owned() }
    }

    /// For a kustomization: the images' names in manifests, and their names in this run.
    pub(crate) fn overrides(&self) -> Vec<Value> {
        let tools = Tool::value_variants();
        let names = tools
            .iter()
            .flat_map(|tool| recipes(*tool))
            .map(|it| it.name);
        let overrides = names.map(
            |name| json!({"name": name, "newName": Self::repository(name), "newTag": self.tag}),
        );
        overrides.collect()
    }

    /// The full name of an image, for a Pod.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}:{}", Self::repository(name), self.tag)
    }

    fn repository(name: &str) -> String {
        format!("coord-e2e/{name}")
    }

    /// Builds the base image, and the images of these tools. Each is built from a directory that
    /// contains only its files.
    pub(crate) async fn build(&self, tools: &[Tool], binaries: &Path, place: &Path) -> Result {
        self.build_base(&place.join(BASE)).await?;
        for recipe in tools.iter().flat_map(|tool| recipes(*tool)) {
            let context = place.join(recipe.name);
            for file in recipe.files {
                let (from, to) = (binaries.join(file), context.join(file));
                fs::create_dir_all(to.parent().unwrap_or(&context))?;
                fs::copy(&from, &to)
                    .map_err(|error| format!("cannot copy {from:?} to {to:?}: {error}"))?;
            }
            self.docker_build(recipe, &context).await?;
        }
        Ok(())
    }

    async fn build_base(&self, context: &Path) -> Result {
        let bin = context.join("bin");
        program::empty_directory(&bin)?;
        let busybox = on_path("busybox")?;
        fs::copy(&busybox, bin.join("busybox"))?;
        let applets = output(program("busybox").arg("--list")).await?;
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            symlink("busybox", bin.join(applet))?;
        }
        let recipe = Recipe {
            name: BASE,
            dockerfile: "dev/e2e/base/Dockerfile",
            base: None,
            files: &[],
        };
        self.docker_build(&recipe, context).await?;
        let image = self.full(BASE);
        let mut runs = program("docker");
        runs.args(["run", "--rm", &image, "sh", "-c", "true"]);
        let runs = output(&mut runs).await.map(drop);
        runs.map_err(|error| {
            format!("{busybox:?} does not run where nothing else is; Debian's package busybox-static has one that does: {error}").into()
        })
    }

    async fn docker_build(&self, recipe: &Recipe, context: &Path) -> Result {
        let mut docker = program("docker");
        let plugin = output(program("docker").args(["buildx", "version"])).await;
        if plugin.is_err() {
            // Without the plugin, the client refuses to build unless it is told to use the old
            // builder.
            docker.env("DOCKER_BUILDKIT", "0");
        }
        // Only the image itself: not every kind can load the attestations of how it was built.
        docker.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
        docker.args(["build", "--tag", &self.full(recipe.name)]);
        // A node that removes an image removes all of its names, so no other run's image may be the
        // same.
        docker.args(["--label", &format!("{LABEL}={}", self.tag)]);
        if let Some(base) = recipe.base {
            docker.args(["--build-arg", &format!("BASE={}", self.full(base))]);
        }
        docker.args(["--file", recipe.dockerfile]).arg(context);
        output(&mut docker).await.map(drop)
    }

    /// Copies the built images to the cluster's nodes.
    pub(crate) async fn load(&self, cluster: &Cluster) -> Result {
        let built = self.built().await?;
        output(cluster.kind(&["load", "docker-image"]).args(built))
            .await
            .map(drop)
    }

    /// Removes the images from the nodes of a cluster that stays.
    pub(crate) async fn unload(&self, cluster: &Cluster) -> Result {
        let images: Vec<_> = self
            .built()
            .await?
            .iter()
            .map(|it| format!("docker.io/{it}"))
            .collect();
        let remove = format!(
            "for image in {}; do ! crictl inspecti -q $image >/dev/null 2>&1 || crictl rmi $image; done",
            images.join(" ")
        );
        for node in cluster.nodes().await? {
            output(&mut Cluster::on_node(&node, &remove)).await?;
        }
        Ok(())
    }

    /// Removes the images from the Docker engine.
    pub(crate) async fn remove(&self) -> Result {
        let built = self.built().await?;
        if built.is_empty() {
            return Ok(());
        }
        output(program("docker").arg("rmi").args(built))
            .await
            .map(drop)
    }

    async fn built(&self) -> Result<Vec<String>> {
        let reference = format!("reference={}", self.full("*"));
        let format = "{{.Repository}}:{{.Tag}}";
        let list = ["images", "--filter", &reference, "--format", format];
        let images = output(program("docker").args(list)).await?;
        Ok(images.lines().map(str::to_owned).collect())
    }
}

fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not on PATH").into())
}
