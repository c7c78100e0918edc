//! `cargo xtask dist`: builds the parts of a release.

mod archive;
mod check;
mod image;
mod manifests;
mod product;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

pub(crate) use self::check::pack_and_check;
use self::{archive::Entry, product::Product};
use crate::{
    Result,
    process::{self, cargo},
    target::{self, Effort},
    tools::{TOOLS, Tool},
};

#[derive(Subcommand)]
pub(crate) enum Dist {
    /// Write the manual pages and completions anew from the tools' help
    Docs,
    /// Build the tools and pack them, into target/dist: archives with an SBOM (CycloneDX 1.5),
    /// Debian packages, images, checksums, krew manifests, Homebrew formulae
    Packages(Packages),
    /// Test the content of target/dist: unpack it, install it in an empty system, run it
    Check,
}

#[derive(Args)]
pub(crate) struct Packages {
    /// A target to build for; may be repeated
    #[arg(long, value_name = "TARGET", default_values = TARGETS)]
    target: Vec<String>,
    /// A target that other machines have built, in target/TARGET/release: only its archives are
    /// made
    #[arg(long, value_name = "TARGET")]
    built: Vec<String>,
    /// Do not optimise, to try the packing: it takes a tenth of the time
    #[arg(long)]
    quick: bool,
}

/// The targets for Linux users, by machine.
pub(crate) const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

impl Dist {
    pub(crate) fn run(&self) -> Result {
        match self {
            Self::Docs => docs(),
            Self::Packages(packages) => {
                let effort = if packages.quick {
                    Effort::Quick
                } else {
                    Effort::Release
                };
                let targets = packages.target.iter();
                let targets: Vec<_> = targets.map(|target| (&target[..], effort)).collect();
                packages_for(&targets, &packages.built)
            }
            Self::Check => check::check(),
        }
    }
}

/// The output directory.
pub(crate) fn place() -> PathBuf {
    process::target().join("dist")
}

/// The tests that compare the documents also write them, so both always agree.
fn docs() -> Result {
    let mut test = cargo(["test", "--all-features", "--locked", "--quiet"]);
    for tool in TOOLS {
        test.args(tool.build());
    }
    let only = ["--", "pages_made_from_it_are_current"];
    process::run(test.args(only).env("COORD_WRITE_DOCS", "1"))
}

/// Creates the directory anew, with everything for these targets, and archives of binaries that
/// were built elsewhere.
fn packages_for(targets: &[(&str, Effort)], built_elsewhere: &[String]) -> Result {
    for (target, _) in targets {
        if !target::is_installed(target)? {
            return Err(format!("the target is missing: rustup target add {target}").into());
        }
    }
    let place = place();
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let products = product::all()?;
    let epoch = product::epoch()?;
    let mut built = Vec::new();
    for (target, effort) in targets {
        let binaries = target::build(target, &TOOLS, *effort)?;
        for product in &products {
            pack(product, target, &binaries, epoch)?;
            debian(product.tool, target, epoch)?;
        }
        built.push((*target, binaries));
    }
    for target in built_elsewhere {
        let binaries = process::target().join(target).join("release");
        // Not every tool supports every system.
        let is_there = |product: &&Product| binaries.join(product.tool.binary).exists();
        let mut there = products.iter().filter(is_there).peekable();
        if there.peek().is_none() {
            return Err(format!("no tool was built for {target}: none is in {binaries:?}").into());
        }
        there.try_for_each(|product| pack(product, target, &binaries, epoch))?;
    }
    for product in &products {
        image::write(product, &built, epoch)?;
    }
    manifests::write()
}

/// Writes the archive, and the SBOM (`CycloneDX` 1.5) of its binary.
fn pack(product: &Product, target: &str, binaries: &Path, epoch: u64) -> Result {
    let stem = product.stem(target);
    let sbom = sbom::of(product, target, epoch)?;
    fs::write(place().join(format!("{stem}.cdx.json")), &sbom)?;
    let binary = product.tool.binary;
    let from = process::root().join(product.tool.package);
    let mut entries = vec![
        Entry::read(binary, 0o755, &binaries.join(binary))?,
        Entry::read("README.md", 0o644, &from.join("README.md"))?,
        Entry::read("LICENSE-APACHE", 0o644, &from.join("LICENSE-APACHE"))?,
        Entry::read("LICENSE-MIT", 0o644, &from.join("LICENSE-MIT"))?,
        Entry::new("sbom.cdx.json", 0o644, sbom),
    ];
    for directory in ["man", "completions"] {
        for file in fs::read_dir(from.join(directory))? {
            let file = file?;
            let name = format!("{directory}/{}", file.file_name().to_string_lossy());
            entries.push(Entry::read(&name, 0o644, &file.path())?);
        }
    }
    let tar = archive::tar(entries, Some(&stem), epoch)?;
    let name = product.archive(target);
    Ok(fs::write(place().join(name), archive::gzip(&tar)?)?)
}

/// Builds the Debian package, which `[package.metadata.deb]` of the tool describes.
fn debian(tool: Tool, target: &str, epoch: u64) -> Result {
    let deb = |arguments: &[&str]| {
        let mut deb = cargo(["deb"]);
        deb.args(arguments);
        deb
    };
    if process::output(&mut deb(&["--version"])).is_err() {
        return Err("cargo deb is missing: cargo install --locked cargo-deb".into());
    }
    let mut pack = deb(&["--quiet", "--no-build", "--no-strip", "--locked"]);
    pack.args(["--package", tool.package, "--target", target]);
    // The package has our version and no revision: these packages and their changelog are made only
    // here.
    pack.args(["--deb-revision", "", "--output"]).arg(place());
    process::run(pack.env("SOURCE_DATE_EPOCH", epoch.to_string()))
}
