//! `cargo xtask pictures`: draws the pictures of `docs/pictures` from the text beside them
//! (<https://pikchr.org>), and records the demo.

mod recording;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use pikchr::{Pikchr, PikchrFlags};

use crate::{Result, process};

const DIRECTORY: &str = "docs/pictures";

#[derive(Args)]
pub(crate) struct Pictures {
    /// Record the demo as well
    #[arg(long)]
    demo: bool,
}

impl Pictures {
    pub(crate) fn run(&self) -> Result {
        for source in sources()? {
            fs::write(source.with_extension("svg"), drawn(&source)?)?;
        }
        if self.demo {
            let picture = recording::of_demo()?;
            fs::write(process::root().join(DIRECTORY).join("demo.svg"), picture)?;
        }
        Ok(())
    }
}

fn sources() -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(process::root().join(DIRECTORY))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "pikchr") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// The picture on a white background, since its lines are black.
fn drawn(source: &Path) -> Result<String> {
    let text = fs::read_to_string(source)?;
    let svg = Pikchr::render(&text, None, PikchrFlags::default())
        .map_err(|error| format!("{source:?}: {error}"))?;
    let style = "font-family:sans-serif;background:#fff;";
    Ok(svg.replacen("font-size:initial;", style, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_the_text_says() {
        let sources = sources().unwrap();
        assert!(!sources.is_empty());
        for source in sources {
            let committed = fs::read_to_string(source.with_extension("svg")).unwrap();
            assert_eq!(
                committed,
                drawn(&source).unwrap(),
                "run cargo xtask pictures"
            );
        }
    }
}
