//! Contenders for locks: lockheed's locks in each of its stores and modes, cmlock's lock, and
//! sipid's pidfile.

use std::{path::PathBuf, process::Command};

use crate::{
    check::Hold,
    section::now,
    world::{World, lock},
};

/// A lock, and how contenders use it.
pub(crate) struct Lock {
    pub(crate) name: &'static str,
    kind: Kind,
    pub(crate) slots: u32,
    /// Some contenders share it.
    shared: bool,
    fair: bool,
    pub(crate) contenders: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ConfigMap,
    Lease,
    Directory,
    Pod,
    Pidfile,
}

const MUTEX: Lock = Lock {
    name: "configmap",
    kind: Kind::ConfigMap,
    slots: 1,
    shared: false,
    fair: false,
    contenders: 3,
};

#[rustfmt::skip]
pub(crate) const LOCKS: [Lock; 12] = [
    MUTEX,
    Lock { name: "configmap-fair", fair: true, ..MUTEX },
    Lock { name: "configmap-shared", shared: true, ..MUTEX },
    Lock { name: "configmap-slots", slots: 2, ..MUTEX },
    Lock { name: "lease", kind: Kind::Lease, ..MUTEX },
    Lock { name: "lease-fair", kind: Kind::Lease, fair: true, ..MUTEX },
    Lock { name: "directory", kind: Kind::Directory, ..MUTEX },
    Lock { name: "directory-fair", kind: Kind::Directory, fair: true, ..MUTEX },
    Lock { name: "directory-shared", kind: Kind::Directory, shared: true, ..MUTEX },
    Lock { name: "directory-slots", kind: Kind::Directory, slots: 2, ..MUTEX },
    Lock { name: "cmlock", kind: Kind::Pod, ..MUTEX },
    Lock { name: "sipid", kind: Kind::Pidfile, ..MUTEX },
];

impl Lock {
    /// Whether a restore of etcd changes the lock.
    pub(crate) fn is_in_cluster(&self) -> bool {
        !matches!(self.kind, Kind::Directory | Kind::Pidfile)
    }

    /// The guard, which stands for what the lock protects.
    pub(crate) fn guard(&self, world: &World) -> PathBuf {
        world.out.join("guards").join(self.name)
    }

    /// The tool's command line, up to the command that it runs.
    fn command(&self, world: &World, contender: u32, is_shared: bool) -> Command {
        let kubeconfig = |tool: usize| &world.kubeconfigs[tool][usize::from(contender > 0)];
        match self.kind {
            Kind::Pod => {
                let mut command = world.tool("cmlock");
                command.arg("--kubeconfig").arg(kubeconfig(1));
                command.args(["run", self.name, "--timeout", "8s"]);
                command.args(["--pod", &pod(contender)]);
                command
            }
            Kind::Pidfile => {
                let mut command = world.tool("sipid");
                command.arg("claim").arg("--pid-file").arg(pidfile(world));
                command
            }
            _ => {
                let mut command = world.tool("lockheed");
                command.args(["run", self.name, "--duration", "6s"]);
                command.args(["--id", &pod(contender), "--store"]);
                match self.kind {
                    Kind::Directory => {
                        command.arg(format!("dir:{}", world.disk.join("locks").display()))
                    }
                    Kind::Lease => command.args(["lease", "--kubeconfig"]).arg(kubeconfig(0)),
                    _ => command.args(["kube", "--kubeconfig"]).arg(kubeconfig(0)),
                };
                if self.slots > 1 {
                    command.args(["--slots", &self.slots.to_string()]);
                }
                for (is_so, option) in [(is_shared, "--shared"), (self.fair, "--fair")] {
                    if is_so {
                        command.arg(option);
                    }
                }
                command
            }
        }
    }
}

/// The Pod of a contender.
pub(crate) fn pod(contender: u32) -> String {
    format!("contender-{contender}")
}

/// The pidfile that all contenders claim.
pub(crate) fn pidfile(world: &World) -> PathBuf {
    world.disk.join("pids/claimed.pid")
}

/// One contender contends once. Returns whether it held the lock to the end of its work.
pub(crate) fn round(
    this: &'static Lock,
    contender: u32,
    world: &World,
    random: &mut fastrand::Rng,
) -> bool {
    let id = world.next();
    let is_shared = this.shared && random.bool();
    // Most are short, and a few are longer than a lease.
    let milliseconds = match random.u32(..10) {
        0 if !world.is_calm(now()) => random.u64(1_000..9_000),
        _ => random.u64(..300),
    };
    let mut command = this.command(world, contender, is_shared);
    let is_patient = random.u32(..5) > 0 || world.is_calm(now());
    let _ = match this.kind {
        Kind::Pidfile => &mut command,
        _ if !is_patient => command.args(["--wait", "3s"]),
        Kind::Pod => command.args(["--wait", "forever"]),
        _ => &mut command,
    };
    command.arg("--").arg(&world.program).arg("section");
    command.args([
        "--hold",
        &id.to_string(),
        "--slots",
        &this.slots.to_string(),
    ]);
    command.args(["--milliseconds", &milliseconds.to_string(), "--log"]);
    command
        .arg(world.out.join("sections"))
        .arg("--guard")
        .arg(this.guard(world));
    if is_shared {
        command.arg("--shared");
    }
    let call = now();
    let Ok(mut client) = world.start(&format!("{}-{contender}", this.name), &mut command) else {
        world.count(&format!("{}: not started", this.name));
        return false;
    };
    let status = client.wait();
    world.count(&format!("{}: status {}", this.name, status.unwrap_or(-1)));
    lock(&world.holds).push(Hold {
        lock: this,
        id,
        is_shared,
        call,
        done: now(),
        status,
    });
    status == Some(0)
}
