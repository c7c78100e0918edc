//! What is shown of each tool.

mod cmlock;
mod exitdir;
mod lockheed;
mod lockpipes;
mod sipid;

use futures::future::LocalBoxFuture;

use crate::{Result, Tool, scene::Scene};

/// What is played in a namespace of its own. It returns figures, for people.
pub(crate) struct Scenario {
    pub(crate) tool: Tool,
    pub(crate) name: &'static str,
    /// Its figures count only if nothing else is going on.
    pub(crate) alone: bool,
    pub(crate) play: Play,
}

type Play = for<'a> fn(&'a Scene<'a>) -> LocalBoxFuture<'a, Result<String>>;

impl Scenario {
    /// One that is played beside others.
    const fn new(tool: Tool, name: &'static str, play: Play) -> Self {
        Self {
            tool,
            name,
            alone: false,
            play,
        }
    }

    /// One that is played when nothing else is.
    const fn alone(tool: Tool, name: &'static str, play: Play) -> Self {
        Self {
            alone: true,
            ..Self::new(tool, name, play)
        }
    }
}

/// All there are, in the order in which they are started.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    lockpipes::SCENARIOS
        .into_iter()
        .chain(exitdir::SCENARIOS)
        .chain(sipid::SCENARIOS)
        .chain(lockheed::SCENARIOS)
        .chain(cmlock::SCENARIOS)
}

/// The rights that a `check` names as lacking, each a verb and what it is for.
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

    /// The namespace of a scenario admits nothing but `restricted`: what is played there keeps to it.
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
