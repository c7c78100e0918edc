//! The time from the release of a lock to its next holder.

use std::{path::Path, process::Command, time::Duration};

use coord_kube::{ClientArgs, Cluster};
use lockheed::{KubeStore, Lock};

use super::servers::Servers;
use crate::{
    Result, Setting,
    contest::Contest,
    part::{HELD, now},
    programs::{part, peer},
    results::{Curve, Results, Row, Table, Unit, float, median},
};

const WHAT: &str = "From the end of a section to the begin of the next holder's, one PUT to the same server being the base, which is measured anew before each row. Each holds the lock for 150 ms. A `run` ends its command and starts another one in this time; the library does not.";

/// The kind of contender.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Library,
    LibraryFair,
    Lockheed,
    Cmlock,
    Directory,
    Leader,
    Etcdctl,
    Flock,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Library,
        Self::LibraryFair,
        Self::Lockheed,
        Self::Cmlock,
        Self::Leader,
        Self::Etcdctl,
        Self::Directory,
        Self::Flock,
    ];

    fn who(self) -> &'static str {
        match self {
            Self::Library => "lockheed, the library",
            Self::LibraryFair => "lockheed in turn, the library",
            Self::Lockheed => "`lockheed run`",
            Self::Cmlock => "`cmlock run`",
            Self::Directory => "`lockheed run` in a directory",
            Self::Leader => "client-go's leader election",
            Self::Etcdctl => "`etcdctl lock`",
            Self::Flock => "`flock`",
        }
    }

    /// The target for the median, in medians of a PUT, by the number of contenders.
    fn target(self, contenders: usize) -> Option<f64> {
        match (self, contenders) {
            (Self::Library, 2 | 10) => Some(4.0),
            (Self::Library, 100) => Some(8.0),
            (Self::LibraryFair, 100) => Some(3.0),
            _ => None,
        }
    }

    /// client-go checks every two seconds, so a hundred contenders would wait for minutes.
    fn contests(self) -> &'static [usize] {
        match self {
            Self::Leader => &[2, 10],
            Self::Lockheed | Self::Flock => &[2, 10, 100],
            _ => &[2, 10, 100, 200],
        }
    }

    /// client-go writes Leases, which we do not count.
    fn counts_writes(self) -> bool {
        !matches!(
            self,
            Self::Directory | Self::Flock | Self::Etcdctl | Self::Leader
        )
    }
}

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let servers = Servers::start()?;
    servers.make_pods(200);
    let mut times = Vec::new();
    let mut writes = Vec::new();
    let mut tables: Vec<(usize, Table)> = Vec::new();
    for kind in Kind::ALL {
        if kind == Kind::Leader && setting.leader.is_none() {
            continue;
        }
        let (mut line, mut written) = (Vec::new(), Vec::new());
        for &contenders in kind.contests() {
            if setting.quick && contenders > 10 {
                continue;
            }
            eprintln!("{} among {contenders}", kind.who());
            let put = puts(&servers)?;
            let Some((took, wrote)) = contest(setting, &servers, kind, contenders)? else {
                continue;
            };
            let place = tables.iter().position(|(of, _)| *of == contenders);
            let place = place.unwrap_or_else(|| {
                let id = format!("hand-off-{contenders}");
                let title = format!("Hand-off among {contenders}");
                tables.push((contenders, Table::new(&id, &title, WHAT, Unit::Nanoseconds)));
                tables.len() - 1
            });
            let rows = &mut tables[place].1.rows;
            if rows.is_empty() {
                rows.push(Row::new("one PUT".to_owned(), &put, None, None)?);
            }
            let base = float(median(&put)?);
            let mut row = Row::new(kind.who().to_owned(), &took, None, kind.target(contenders))?;
            let of = |value: u64| float(value) / base;
            // From one contest only: the spread is that of the hand-offs, from the median to the
            // 99th percentile.
            row.ratio = Some(crate::results::Spread {
                median: of(row.median),
                lowest: of(row.lowest),
                highest: of(row.p99),
            });
            let across = float(contenders.try_into()?);
            line.push((across, of(row.median)));
            written.push((across, wrote));
            rows.push(row);
        }
        times.push((kind.who().replace('`', ""), line));
        if kind.counts_writes() {
            writes.push((kind.who().replace('`', ""), written));
        }
    }
    for (_, table) in tables {
        results.take(table);
    }
    let curve = |id: &str, title: &str, up: &str, lines| Curve {
        id: id.to_owned(),
        title: title.to_owned(),
        across: "contenders".to_owned(),
        up: up.to_owned(),
        lines,
    };
    results.take_curve(curve(
        "hand-off",
        "Hand-off, median",
        "times of one PUT",
        times,
    ));
    results.take_curve(curve(
        "writes",
        "Writes for each hand-off",
        "writes",
        writes,
    ));
    Ok(())
}

/// The times of the hand-offs, and the number of writes for each.
fn contest(
    setting: &Setting,
    servers: &Servers,
    kind: Kind,
    contenders: usize,
) -> Result<Option<(Vec<u64>, f64)>> {
    let mut contest = Contest::new()?;
    let place = contest.place();
    let build = &setting.linked;
    let mut section = vec![std::env::current_exe()?.into_os_string(), "section".into()];
    section.push(place.0.clone().into_os_string());
    let store = format!("dir:{}", place.0.join("locks").display());
    let file = place.0.join("lock");
    let name = format!("contest-{contenders}");
    let program = match kind {
        Kind::Etcdctl => peer("etcdctl"),
        Kind::Flock => peer("flock"),
        _ => None,
    };
    if matches!(kind, Kind::Etcdctl | Kind::Flock) && program.is_none() {
        return Ok(None);
    }
    let program = program.unwrap_or_default();
    if matches!(kind, Kind::Library | Kind::LibraryFair) {
        let clients = contenders.to_string();
        let mut contend = part(&["contend", "--clients", &clients])?;
        contend.arg("--kubeconfig").arg(&servers.user).arg(&place.0);
        if kind == Kind::LibraryFair {
            contend.arg("--fair");
        }
        contest.start(contend)?;
    } else {
        for number in 0..contenders {
            let id = format!("contender-{number}");
            let mut command = match kind {
                Kind::Lockheed => servers.lockheed(build, "kube"),
                Kind::Directory => servers.lockheed(build, &store),
                Kind::Cmlock => servers.cmlock(build, number),
                Kind::Etcdctl => servers.etcdctl(&program),
                Kind::Leader => servers.leader(
                    setting.leader.as_deref().unwrap_or(Path::new("")),
                    &id,
                    &name,
                ),
                _ => Command::new(&program),
            };
            match kind {
                Kind::Leader => {}
                Kind::Etcdctl => drop(command.args(["lock", "--", &name])),
                Kind::Flock => drop(command.arg(&file)),
                _ => drop(command.args(["run", &name, "--"])),
            }
            contest.enter(command.args(&section))?;
        }
    }
    contest.wait_until_all_wait()?;
    let before = servers.writes();
    let least = if kind == Kind::Leader {
        10
    } else {
        contenders.max(60)
    };
    let times = contest.hand_offs(least)?;
    let writes = servers.writes().saturating_sub(before);
    let each = float(writes) / float(times.len().try_into()?);
    contest.stop()?;
    Ok(Some((times, each)))
}

/// The times of PUTs at the same pace as releases: an idle server is slower than a busy one.
fn puts(servers: &Servers) -> Result<Vec<u64>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let arguments = ClientArgs {
            kubeconfig: Some(servers.user.clone()),
            ..ClientArgs::default()
        };
        let cluster = Cluster::connect(&arguments, "bench/0").await?;
        let store = KubeStore::of(cluster);
        let lock = Lock::new(store, "alone".parse()?).id("us");
        let held = lock.duration(Duration::from_secs(30)).acquire().await?;
        let mut times = Vec::new();
        for _ in 0..40 {
            tokio::time::sleep(HELD).await;
            let begun = now()?;
            held.renew().await?;
            times.push(now()? - begun);
        }
        held.release().await?;
        Ok(times)
    })
}
