//! The products to pack, as described by their manifests.

use std::{
    env,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    Result,
    process::{self, cargo},
    tools::{TOOLS, Tool},
};

/// A tool, with the facts from its manifest.
pub(crate) struct Product {
    pub(crate) tool: Tool,
    pub(crate) version: String,
    pub(crate) about: String,
    pub(crate) license: String,
    pub(crate) repository: String,
}

impl Product {
    /// The start of its files' names.
    pub(crate) fn stem(&self, target: &str) -> String {
        format!("{}-{}-{target}", self.tool.package, self.version)
    }

    pub(crate) fn archive(&self, target: &str) -> String {
        format!("{}.tar.gz", self.stem(target))
    }

    pub(crate) fn image(&self) -> String {
        format!("{}-{}.oci.tar", self.tool.binary, self.version)
    }

    /// The URL of one of its files in a release.
    pub(crate) fn url(&self, file: &str) -> String {
        let Self {
            repository,
            version,
            ..
        } = self;
        format!("{repository}/releases/download/v{version}/{file}")
    }
}

pub(crate) fn all() -> Result<Vec<Product>> {
    let read = ["metadata", "--format-version=1", "--no-deps", "--locked"];
    let metadata: Value = serde_json::from_str(&process::output(&mut cargo(read))?)?;
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let product = |tool: Tool| {
        let package = packages.iter().find(|it| it["name"] == tool.package);
        let text = |field: &str| {
            let text = package.and_then(|package| package[field].as_str());
            text.map(str::to_owned)
                .ok_or_else(|| format!("{} has no {field} in its Cargo.toml", tool.package))
        };
        Ok(Product {
            tool,
            version: text("version")?,
            about: text("description")?,
            license: text("license")?,
            repository: text("repository")?,
        })
    };
    TOOLS.into_iter().map(product).collect()
}

/// The only time in the output: `SOURCE_DATE_EPOCH`, otherwise the commit's time.
pub(crate) fn epoch() -> Result<u64> {
    let text = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => {
            let mut git = Command::new("git");
            git.current_dir(process::root());
            process::output(git.args(["log", "-1", "--format=%ct"]))
                .map_err(|error| format!("set SOURCE_DATE_EPOCH, where git cannot tell: {error}"))?
        }
    };
    let seconds = text.trim().parse();
    seconds.map_err(|_| format!("not seconds since 1970: SOURCE_DATE_EPOCH={text:?}").into())
}

pub(crate) fn rfc3339(epoch: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(epoch)).to_string()
}
