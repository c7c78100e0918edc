//! The first process of the virtual machine.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        wait::{WaitStatus, wait},
    },
    unistd::{Pid, sync},
};
use testkit::eventually;

/// The mount points. The last part of each is the file system's name.
pub(crate) const FILE_SYSTEMS: [&str; 3] = ["/fs/tmpfs", "/fs/ext4", "/fs/overlay"];

/// The disk for ext4.
const DISK: &str = "/dev/nvme0n1";

/// The overlayfs module, unless it is built into the kernel.
const OVERLAY: &str = "/lib/overlay.ko";

pub(crate) fn boot(results: &Path, only: &str) {
    mount_all();
    let mut results = File::options().append(true).open(results).unwrap();
    set_loopback_up();
    let mut player = Command::new("/init");
    player
        .arg("play")
        .args(FILE_SYSTEMS)
        .arg(format!("--only={only}"))
        .env("PATH", "/bin")
        .stdout(results.try_clone().unwrap());
    reap_until_end_of(player.spawn().unwrap().id());
    // With this line, the reader knows that nothing is missing.
    writeln!(results, "end").unwrap();
    results.flush().unwrap();
    sync();
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    panic!("cannot power off: {error}");
}

fn mount_all() {
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/fs"),
    ] {
        mount_at(kind, kind, at, None);
    }
    let places = ["/fs/tmpfs", "/fs/ext4", "/fs/overlay"];
    places
        .iter()
        .for_each(|place| fs::create_dir(place).unwrap());
    eventually("there is a disk", || Path::new(DISK).exists());
    mount_at(DISK, "ext4", "/fs/ext4", None);
    if let Ok(module) = File::open(OVERLAY) {
        finit_module(&module, c"", ModuleInitFlags::empty()).unwrap();
    }
    // The upper layer is on the disk, as a container's is.
    for layer in ["lower", "upper", "work"] {
        fs::create_dir(Path::new("/fs/ext4").join(layer)).unwrap();
    }
    let layers = "lowerdir=/fs/ext4/lower,upperdir=/fs/ext4/upper,workdir=/fs/ext4/work";
    mount_at("overlay", "overlay", "/fs/overlay", Some(layers));
}

fn mount_at(source: &str, kind: &str, at: &str, options: Option<&str>) {
    fs::create_dir_all(at).unwrap();
    let mounted = mount(Some(source), at, Some(kind), MsFlags::empty(), options);
    mounted.unwrap_or_else(|error| panic!("cannot mount {kind} at {at}: {error}"));
}

fn set_loopback_up() {
    let status = Command::new("/bin/ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(status.unwrap().success(), "there is no loopback");
}

/// Also reaps processes that lost their parent.
fn reap_until_end_of(player: u32) {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))
                if pid == Pid::from_raw(player.cast_signed()) =>
            {
                return;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("no player: {error}"),
        }
    }
}
