//! A command that starts other processes, which are hard to end.

use nix::sys::signal::Signal;
use testkit::process::Kept;

use crate::place::{Place, ends, goes, send};

/// A command with a child and a daemon that both ignore TERM. It writes down the PID of each, and
/// of the guard.
const FAMILY: &str = r#"
    (setsid sh -c "trap '' TERM; echo \$\$ >daemon; exec sleep 1000" &)
    (trap '' TERM; exec sleep 1000) & echo $! >child
    echo $PPID >guard; echo $$ >command
    exec sleep 1000"#;

pub(super) struct Family<'a> {
    place: &'a Place,
    client: Kept,
}

impl<'a> Family<'a> {
    /// Starts the command under a tool that runs commands.
    pub(super) fn start(place: &'a Place, tool: &str, arguments: &[&str]) -> Self {
        let client = place.start(tool, &[arguments, &["--", "sh", "-c", FAMILY]].concat());
        place.pid("command");
        place.pid("daemon");
        Self { place, client }
    }

    pub(super) fn client(&self) -> &Kept {
        &self.client
    }

    pub(super) fn pid(&self, name: &str) -> i32 {
        self.place.pid(name)
    }

    /// The client must end with this status, and all the others before it.
    #[track_caller]
    pub(super) fn ends(self, status: i32) {
        let members = self.members();
        ends(self.client, status);
        for (name, pid) in members {
            assert!(
                !testkit::process::is_alive(pid),
                "the {name} outlives the client"
            );
        }
    }

    /// Kills the client, and waits until all the others are gone.
    #[track_caller]
    pub(super) fn loses_its_client(self) {
        let members = self.members();
        send(self.client.pid(), Signal::SIGKILL);
        ends(self.client, 137);
        members.into_iter().for_each(|(_, pid)| goes(pid));
    }

    fn members(&self) -> [(&'static str, i32); 3] {
        ["daemon", "child", "command"].map(|name| (name, self.place.pid(name)))
    }
}
