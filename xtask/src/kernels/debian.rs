//! Debian's kernels, fetched with apt, which checks their signatures.
//!
//! apt has its own state here, so this machine's sources and lists do not matter and stay
//! unchanged. It need not run as root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Kernel;
use crate::{Result, process};

/// The first has 5.10, the second 6.1. These are the small kernels for virtual machines.
const RELEASES: [&str; 2] = ["bullseye", "bookworm"];
const NEWEST: &str = "linux-image-cloud-amd64";

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fetches the lists of both releases.
///
/// # Errors
/// When they cannot be fetched or verified.
pub(super) fn reach(place: &Path) -> Result {
    if !Path::new(KEYS).exists() {
        return Err(format!("{KEYS} is missing: the package debian-archive-keyring has it").into());
    }
    for release in RELEASES {
        let apt = Apt::of(release, place)?;
        process::output(&mut apt.command("apt-get", &["-qq", "--error-on=any", "update"]))?;
    }
    Ok(())
}

/// The newest kernel of each release, after their lists have been fetched.
pub(super) fn kernels(place: &Path) -> Result<Vec<Kernel>> {
    RELEASES
        .iter()
        .map(|release| fetch(release, place))
        .collect()
}

fn fetch(release: &str, place: &Path) -> Result<Kernel> {
    let apt = Apt::of(release, place)?;
    let depends = process::output(&mut apt.command("apt-cache", &["depends", NEWEST]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.ok_or_else(|| format!("{NEWEST} of {release} needs no kernel"))?;
    let name = package.trim_start_matches("linux-image-").to_owned();
    let unpacked = apt.place.join(package);
    if !unpacked.exists() {
        process::output(&mut apt.command("apt-get", &["-qq", "download", package]))?;
        unpack(&apt.place, package, &unpacked)?;
    }
    let overlay = format!("lib/modules/{name}/kernel/fs/overlayfs/overlay.ko");
    Ok(Kernel {
        image: unpacked.join("boot").join(format!("vmlinuz-{name}")),
        overlay: Some(unpacked.join(overlay)),
        name,
    })
}

/// The file gets its name only when it is complete.
fn unpack(place: &Path, package: &str, to: &Path) -> Result {
    let is_of = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
    };
    let files = fs::read_dir(place)?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<Result<Vec<_>>>()?;
    let file = files
        .into_iter()
        .find(is_of)
        .ok_or("apt-get download left no package")?;
    let part = place.join("unpacked");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    process::output(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&file)
            .arg(&part),
    )?;
    fs::rename(part, to)?;
    Ok(fs::remove_file(file)?)
}

/// An apt with its own state.
struct Apt {
    place: PathBuf,
}

impl Apt {
    fn of(release: &str, place: &Path) -> Result<Self> {
        let place = place.join(release);
        fs::create_dir_all(&place)?;
        let apt = Self {
            place: fs::canonicalize(place)?,
        };
        apt.set_up(release)?;
        Ok(apt)
    }

    fn set_up(&self, release: &str) -> Result {
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.place.join(directory))?;
        }
        // The lists of a release without updates are not signed again, so they expire.
        let of = |archive: &str, suite: &str| {
            format!(
                "deb [arch=amd64 signed-by={KEYS} check-valid-until=no] http://deb.debian.org/{archive} {suite} main\n"
            )
        };
        let sources =
            of("debian", release) + &of("debian-security", &format!("{release}-security"));
        fs::write(self.place.join("sources.list"), sources)?;
        fs::write(self.place.join("status"), "")?;
        Ok(())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.place);
        for (option, file) in [
            ("Dir::State", "."),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", self.place.join(file).display()));
        }
        // No other sources, and no other user, who could not write here.
        command.args(["-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User="]);
        command.args(["-o", "APT::Architecture=amd64", "-o", "Acquire::Retries=3"]);
        command.args(arguments);
        command
    }
}
