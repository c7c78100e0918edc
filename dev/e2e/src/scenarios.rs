//! The scenarios of all tools.

mod cmlock;
mod exitdir;
mod lockheed;
mod lockpipes;
mod sipid;

use futures::future::LocalBoxFuture;

use crate::{Result, Tool, scene::Scene};

/// A scenario, which runs in a namespace of its own. It returns figures, for people.
pub(crate) struct Scenario {
    pub(crate) tool: Tool,
    pub(crate) name: &'static str,
    /// Its figures count only if nothing else runs.
    pub(crate) alone: bool,
    pub(crate) play: Play,
}

type Play = for<'a> fn(&'a Scene<'a>) -> LocalBoxFuture<'a, Result<String>>;

impl Scenario {
    /// A scenario that runs beside others.
    const fn new(tool: Tool, name: &'static str, play: Play) -> Self {
        Self {
            tool,
            name,
            alone: false,
            play,
        }
    }

    /// A scenario that runs when nothing else does.
    const fn alone(tool: Tool, name: &'static str, play: Play) -> Self {
        Self {
            alone: true,
            ..Self::new(tool, name, play)
        }
    }
}

/// All scenarios, in the order in which they start.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    lockpipes::SCENARIOS
        .into_iter()
        .chain(exitdir::SCENARIOS)
        .chain(sipid::SCENARIOS)
        .chain(lockheed::SCENARIOS)
        .chain(cmlock::SCENARIOS)
}

/// The rights that `check` reports as missing: each is a verb and a resource.
fn lacking(said: &str) -> Vec<String> {
    let rights = said.lines().filter_map(|line| {
        let (_, right) = line.split_once(" lacks the right to ")?;
        let (right, _) = right.split_once(" in namespace ")?;
        Some(right.to_owned())
    });
    rights.collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    const SOURCES: [&str; 5] = [
        include_str!("scenarios/lockpipes.rs"),
        include_str!("scenarios/exitdir.rs"),
        include_str!("scenarios/sipid.rs"),
        include_str!("scenarios/lockheed.rs"),
        include_str!("scenarios/cmlock.rs"),
    ];

    /// The namespace of a scenario admits only Pods that meet `restricted`, so every manifest that
    /// is played here meets it.
    #[test]
    fn every_manifest_that_is_shipped_is_played() {
        let is_played = |path: &str| {
            let quoted = format!("\"{path}\"");
            SOURCES.iter().any(|source| source.contains(&quoted))
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("this crate is in a workspace");
        let mut manifests = 0;
        for entry in fs::read_dir(root).expect("the workspace can be read") {
            let tool = entry.expect("it has entries").file_name();
            let directory = format!("{}/examples/kubernetes", tool.to_string_lossy());
            let Ok(entries) = fs::read_dir(root.join(&directory)) else {
                continue; // no tool that ships any
            };
            for entry in entries {
                let file = entry.expect("it has entries").file_name();
                let path = format!("{directory}/{}", file.to_string_lossy());
                assert!(
                    is_played(&path) || is_played(&directory),
                    "no scenario plays {path}"
                );
                manifests += 1;
            }
        }
        assert!(manifests > 0, "there are no manifests below {root:?}");
    }
}
