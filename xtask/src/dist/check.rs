//! Tests a release as far as that works here: packs, unpacks, installs and runs everything.

use std::{
    collections::BTreeMap,
    env::consts::ARCH,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::{TARGETS, archive, packages_for, place, product};
use crate::{
    Result, process,
    target::{self, Effort},
    tools::{TOOLS, Tool},
};

/// The programs that must be on the PATH, and where to get them.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "clang",
        "Clang, which compiles for other machines: Debian's package clang",
    ),
    ("dpkg", "dpkg: Debian's package dpkg"),
    ("lintian", "lintian: Debian's package lintian"),
    ("qemu-aarch64", "an emulator: Debian's package qemu-user"),
];

/// The names of the machines in images and in ELF files.
const MACHINES: [(&str, u16); 2] = [("amd64", 62), ("arm64", 183)];

/// The check that every change must pass. The build for this machine already exists, from the step
/// that tries static binaries.
pub(crate) fn pack_and_check() -> Result {
    process::check_programs(&PROGRAMS)?;
    let own = target::smallest()?;
    let effort = |target: &str| {
        if target == own {
            Effort::Release
        } else {
            Effort::Quick
        }
    };
    packages_for(&TARGETS.map(|target| (target, effort(target))), &[])?;
    check()
}

/// Checks the content of target/dist.
pub(crate) fn check() -> Result {
    process::check_programs(&PROGRAMS)?;
    let mut checksums = Command::new("sha256sum");
    process::run(
        checksums
            .args(["--check", "--quiet", "SHA256SUMS"])
            .current_dir(place()),
    )?;
    for target in TARGETS {
        try_archives(target)?;
    }
    let mut packages = Vec::new();
    for file in fs::read_dir(place())? {
        let file = file?.path();
        if file.extension().is_some_and(|it| it == "deb") {
            packages.push(file);
        }
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    process::run(lintian.args(&packages))?;
    install(&packages)?;
    product::all()?.iter().try_for_each(|product| {
        let image = place().join(product.image());
        check_image(&image, product.tool.binary)
            .map_err(|error| format!("{image:?}: {error}").into())
    })
}

/// Unpacks the archives of a target, and runs each tool at its task.
fn try_archives(target: &str) -> Result {
    let unpacked = tempfile::tempdir()?;
    for product in product::all()? {
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--directory").arg(unpacked.path());
        process::run(tar.arg("--file").arg(place().join(product.archive(target))))?;
    }
    let work = tempfile::tempdir()?;
    let script = process::root().join("dev/dist/try.sh");
    let mut try_all = Command::new("timeout");
    try_all.args(["120", "sh"]).arg(script).arg(unpacked.path());
    if !target.starts_with(ARCH) {
        let machine = target.split('-').next().unwrap_or_default();
        try_all.arg(format!("qemu-{machine}"));
    }
    process::run(try_all.current_dir(&work))
}

/// Installs this machine's packages in an empty root, and runs the tools there.
fn install(packages: &[PathBuf]) -> Result {
    let root = tempfile::tempdir()?;
    let root = root.path();
    fs::create_dir_all(root.join("var/lib/dpkg/updates"))?;
    fs::create_dir_all(root.join("var/lib/dpkg/info"))?;
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let machine = process::output(Command::new("dpkg").arg("--print-architecture"))?;
    let end = format!("_{}.deb", machine.trim());
    let own = packages
        .iter()
        .filter(|it| it.to_string_lossy().ends_with(&end));
    let mut install = Command::new("unshare");
    install.args([
        "--user",
        "--map-root-user",
        "dpkg",
        "--log=/dev/null",
        "--root",
    ]);
    process::run(install.arg(root).arg("--install").args(own))?;
    for tool in TOOLS {
        check_installed(root, tool)?;
    }
    Ok(())
}

fn check_installed(root: &Path, tool: Tool) -> Result {
    let binary = tool.binary;
    for file in [
        format!("usr/share/man/man1/{binary}.1.gz"),
        format!("usr/share/bash-completion/completions/{binary}"),
        format!("usr/share/doc/{}/copyright", tool.package),
    ] {
        if !root.join(&file).is_file() {
            return Err(format!("the Debian package {} has no {file}", tool.package).into());
        }
    }
    process::run_in_root(root, &format!("/usr/bin/{binary}"), tool.alone)
}

/// Checks that everything an archive refers to is in it and has the right digest, and that each
/// machine's image runs that machine's binary.
fn check_image(file: &Path, binary: &str) -> Result {
    let mut files = BTreeMap::new();
    let mut tar = tar::Archive::new(fs::File::open(file)?);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(entry.path()?.to_string_lossy().into_owned(), content);
    }
    let blob = |of: &Value| {
        let digest = of["digest"]
            .as_str()
            .and_then(|it| it.strip_prefix("sha256:"));
        let digest = digest.ok_or_else(|| format!("no digest: {of}"))?;
        let blob = files.get(&format!("blobs/sha256/{digest}"));
        let is_whole = |it: &&Vec<u8>| archive::sha256(it) == digest && of["size"] == it.len();
        blob.filter(is_whole)
            .ok_or_else(|| format!("not in it as it is described: {of}"))
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
    let index = json(files.get("index.json").ok_or("no index.json")?)?;
    let manifests = json(blob(&index["manifests"][0])?)?;
    for (place, (machine, elf)) in MACHINES.into_iter().enumerate() {
        let found = &manifests["manifests"][place];
        let manifest = json(blob(found)?)?;
        let config = json(blob(&manifest["config"])?)?;
        let layer = flate2::read::GzDecoder::new(&blob(&manifest["layers"][0])?[..]);
        let mut layer = tar::Archive::new(layer);
        let mut tool = layer.entries()?.next().ok_or("an empty layer")??;
        let mut start = [0; 20];
        tool.read_exact(&mut start)?;
        let is_right = found["platform"]["architecture"] == machine
            && config["architecture"] == machine
            && config["config"]["Entrypoint"] == json!([format!("/{binary}")])
            && tool.path()?.as_ref() == Path::new(binary)
            && tool.header().mode()? == 0o755
            && u16::from_le_bytes([start[18], start[19]]) == elf;
        if !is_right {
            return Err(format!("not an image of {binary} for {machine}: {config}").into());
        }
    }
    Ok(())
}
