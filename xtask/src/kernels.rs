//! `cargo xtask kernels`: tests the process tools on older kernels, in a virtual machine. The
//! package `kernels` is its first program, and plays the scenarios.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{Result, process, target, tools};

mod debian;
mod initramfs;

/// Longer than a run takes on a busy machine with an emulated processor.
const BOUND: Duration = Duration::from_secs(15 * 60);

/// The tools that are played there: all except the one that needs a cluster.
const TOOLS: [&str; 4] = ["lockpipe", "exitdir", "sipid", "lockheed"];

/// The programs that must be on the PATH, and their Debian packages.
const PROGRAMS: [(&str, &str); 3] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mkfs.ext4", "e2fsprogs"),
    ("busybox", "busybox-static"),
];

#[derive(Args)]
pub(crate) struct Kernels {
    /// A kernel (bzImage) with built-in overlayfs, ext4, NVMe and serial port; may be repeated. By
    /// default, Debian's 5.10 and 6.1 are fetched with apt
    #[arg(long, value_name = "FILE")]
    kernel: Vec<PathBuf>,
    /// The directory of static binaries, such as those of a release, and of the scenarios' own
    /// binary `kernels`. By default, they are built with the profile `sim`
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Only scenarios whose name contains this text, such as ext4/exitdir
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// A kernel to boot.
struct Kernel {
    name: String,
    image: PathBuf,
    /// Its overlayfs module, unless it is built in.
    overlay: Option<PathBuf>,
}

impl Kernels {
    pub(crate) fn run(&self) -> Result {
        let kernels = if self.kernel.is_empty() {
            let place = place()?;
            debian::reach(&place)?;
            debian::kernels(&place)?
        } else {
            self.kernel.iter().map(|it| Kernel::given(it)).collect()
        };
        let binaries = self.binaries.clone().map_or_else(build, Ok)?;
        play(&kernels, &binaries, &self.only)
    }
}

/// For CI: uses the static binaries that CI has built, and only one file system, since three take
/// three times as long. If a program is missing or the kernels cannot be fetched, it says so and
/// passes.
pub(crate) fn for_ci() -> Result {
    let place = place()?;
    if let Err(error) = missing().and_then(|()| debian::reach(&place)) {
        eprintln!("LEFT OUT: nothing was played on older kernels: {error}");
        return Ok(());
    }
    let binaries = target::build_static(&target()?, &tools::TOOLS)?;
    play(&debian::kernels(&place)?, &binaries, "tmpfs/")
}

/// The directory for everything.
fn place() -> Result<PathBuf> {
    let place = process::target().join("kernels");
    fs::create_dir_all(&place)?;
    Ok(place)
}

fn missing() -> Result {
    for (program, package) in PROGRAMS {
        found(program).ok_or_else(|| format!("{program} is missing: Debian's {package} has it"))?;
    }
    Ok(())
}

/// A user's PATH may lack the administrator's programs.
fn found(program: &str) -> Option<PathBuf> {
    let administrators = || Some(Path::new("/usr/sbin").join(program)).filter(|it| it.is_file());
    process::on_path(program).or_else(administrators)
}

/// The virtual machine has no libraries.
fn target() -> Result<String> {
    let target = target::installed_musl()?.filter(|target| target.starts_with("x86_64-"));
    Ok(target
        .ok_or("needs the Rust target x86_64-unknown-linux-musl (rustup target add), on x86-64")?)
}

/// A profile that builds quickly. Code without any optimisation takes several times as long on an
/// emulated processor.
fn build() -> Result<PathBuf> {
    let target = target()?;
    let mut build = process::cargo(["build", "--profile", "sim", "--locked", "--target", &target]);
    build.args(["--package=kernels", "--bin=kernels"]);
    build.env(target::c_compiler(&target), "cc");
    for tool in tools::TOOLS {
        if TOOLS.contains(&tool.binary) {
            build.args(tool.build());
        }
    }
    process::run(&mut build)?;
    Ok(process::target().join(target).join("sim"))
}

/// Plays on all kernels at once, since most of the time is waiting.
fn play(kernels: &[Kernel], binaries: &Path, only: &str) -> Result {
    missing()?;
    let list = binaries.join("kernels");
    let names = process::output(Command::new(list).args(["list", "--only", only]))?;
    if names.is_empty() {
        return Err(format!("no scenario's name has the text {only:?}").into());
    }
    let place = place()?;
    let failed = thread::scope(|scope| {
        let play = |kernel: &Kernel| kernel.play(&names, binaries, &place, only);
        let play = |kernel| scope.spawn(move || play(kernel));
        let plays: Vec<_> = kernels.iter().map(play).collect();
        let results = plays
            .into_iter()
            .map(|it| it.join().map_err(|_| "it panicked")?);
        results.collect::<std::result::Result<Vec<_>, String>>()
    })?
    .concat();
    if failed.is_empty() {
        return Ok(());
    }
    let shown = place.display();
    Err(format!("{}\n(what was said is in {shown})", failed.join("\n")).into())
}

impl Kernel {
    fn given(image: &Path) -> Self {
        Self {
            name: image
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            image: image.to_owned(),
            overlay: None,
        }
    }

    /// Returns what is wrong with this kernel's run.
    fn play(
        &self,
        names: &str,
        binaries: &Path,
        place: &Path,
        only: &str,
    ) -> std::result::Result<Vec<String>, String> {
        let begun = Instant::now();
        let results = self.boot(binaries, &place.join(&self.name), only);
        let results = results.map_err(|error| format!("{}: {error}", self.name))?;
        let wrong = judge(names, &results);
        println!(
            "{}: {} scenarios, {} failed, in {} s",
            self.name,
            names.lines().count(),
            wrong.len(),
            begun.elapsed().as_secs()
        );
        Ok(wrong
            .into_iter()
            .map(|it| format!("{}: {it}", self.name))
            .collect())
    }

    /// Boots it, and waits until it powers off. Returns the scenarios' output.
    fn boot(&self, binaries: &Path, place: &Path, only: &str) -> Result<String> {
        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        fs::create_dir_all(place)?;
        let [initramfs, disk, console, results] =
            ["initramfs", "disk", "console", "results"].map(|name| place.join(name));
        initramfs::write(&initramfs, binaries, self.overlay.as_deref())?;
        File::create(&disk)?.set_len(64 << 20)?;
        process::output(
            Command::new(found("mkfs.ext4").ok_or("no mkfs.ext4")?)
                .arg("-q")
                .arg(&disk),
        )?;
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-smp", "2", "-m", "1024"])
            .arg("-kernel")
            .arg(&self.image)
            .arg("-initrd")
            .arg(&initramfs)
            // The arguments after the dashes are for the first program. A panic reboots, which ends
            // the virtual machine.
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 -- boot --results /dev/ttyS1 --only={only}"
            ))
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", results.display()))
            .arg("-drive")
            .arg(format!(
                "file={},if=none,id=disk,format=raw",
                disk.display()
            ))
            .args(["-device", "nvme,drive=disk,serial=disk"])
            .stdin(Stdio::null());
        eprintln!("$ {}", process::shown(&qemu));
        let mut qemu = qemu.spawn()?;
        let since = Instant::now();
        while qemu.try_wait()?.is_none() {
            if since.elapsed() > BOUND {
                qemu.kill()?;
            }
            thread::sleep(Duration::from_millis(50));
        }
        fs::remove_file(initramfs)?;
        fs::remove_file(disk)?;
        let results = String::from_utf8_lossy(&fs::read(results)?).into_owned();
        print!("{}", results.replace('\r', ""));
        if results.lines().last() != Some("end") {
            let console = String::from_utf8_lossy(&fs::read(console)?).into_owned();
            eprintln!(
                "{}: it did not come to its end; the console:\n{console}",
                self.name
            );
        }
        Ok(results)
    }
}

/// What is wrong: the scenarios that failed, and those without a result.
fn judge(names: &str, results: &str) -> Vec<String> {
    let mut ok = BTreeSet::new();
    let mut failed = BTreeMap::new();
    for line in results.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("ok ") {
            ok.extend(rest.split(' ').next());
        } else if let Some((name, why)) = line
            .strip_prefix("FAILED ")
            .and_then(|rest| rest.split_once(": "))
        {
            failed.insert(name, why);
        }
    }
    let wrong = |name: &str| match failed.get(name) {
        Some(why) => Some(format!("{name}: {why}")),
        None => (!ok.contains(name)).then(|| format!("{name}: it said nothing")),
    };
    names.lines().filter_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_planned_must_be_ok() {
        let names = "ext4/tool/one\next4/tool/two\n";
        let judged = |results: &str| judge(names, results);
        assert!(
            judged("ok ext4/tool/one (0.1 s)\r\nok ext4/tool/two (2.0 s)\r\nend\r\n").is_empty()
        );
        assert_eq!(
            judged("ok ext4/tool/one (0.1 s)\nFAILED ext4/tool/two: it ends: 1\nend\n"),
            ["ext4/tool/two: it ends: 1"]
        );
        // A kernel that stops, and a name that is the start of another one.
        assert_eq!(
            judged("ok ext4/tool/one (0.1 s)\nok ext4/tool/tw"),
            ["ext4/tool/two: it said nothing"]
        );
        assert_eq!(judged("").len(), 2);
        let both = "ok ext4/tool/one (0.1 s)\nok ext4/tool/two\nFAILED ext4/tool/two: later\n";
        assert_eq!(judged(both), ["ext4/tool/two: later"]);
    }
}
