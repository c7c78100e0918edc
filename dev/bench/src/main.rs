//! Measures what the tools cost, compared with others and with what the machine itself needs: for
//! `cargo xtask bench`.

mod contest;
mod figures;
mod machine;
mod part;
mod plots;
mod processes;
mod programs;
mod render;
mod results;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use self::{
    figures::{Group, instructions},
    part::Part,
    programs::Build,
    results::Results,
};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Error>;

/// What the tools cost
#[derive(Parser)]
enum Bench {
    /// Measure, and keep what was measured
    Measure(Measure),
    /// Write the document and its pictures from the stored results
    Render {
        results: PathBuf,
        #[arg(long)]
        document: PathBuf,
        #[arg(long)]
        pictures: PathBuf,
    },
    /// Count instructions, and compare the numbers with the recorded ones
    Instructions {
        /// The directory of the static binaries
        binaries: PathBuf,
        /// The file of the recorded numbers
        counts: PathBuf,
        /// Record the numbers
        #[arg(long)]
        write: bool,
    },
    #[command(flatten)]
    Part(Part),
}

#[derive(clap::Args)]
struct Measure {
    /// The file of the results; results that are not measured this time stay
    results: PathBuf,
    /// The directory of the dynamically linked binaries
    #[arg(long)]
    dynamic: PathBuf,
    /// The directory of the statically linked binaries
    #[arg(long = "static")]
    linked: PathBuf,
    /// The program that elects a leader with client-go
    #[arg(long)]
    leader: Option<PathBuf>,
    /// Only these groups
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Group>,
    /// Fewer rounds, to check that it works
    #[arg(long)]
    quick: bool,
}

/// The settings for all groups.
struct Setting {
    dynamic: Build,
    linked: Build,
    leader: Option<PathBuf>,
    quick: bool,
}

fn main() -> ExitCode {
    let done = match Bench::parse() {
        Bench::Measure(measure) => measure.run(),
        Bench::Render {
            results,
            document,
            pictures,
        } => render::all(&results, &document, &pictures),
        Bench::Instructions {
            binaries,
            counts,
            write,
        } => instructions::check(&Build::new("static", &binaries), &counts, write),
        Bench::Part(part) => part.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Measure {
    fn run(self) -> Result {
        let setting = Setting {
            dynamic: Build::new("dynamic", &self.dynamic),
            linked: Build::new("static", &self.linked),
            leader: self.leader,
            quick: self.quick,
        };
        let mut results = read(&self.results)?;
        let machine = machine::facts()?;
        if !self.only.is_empty() && !results.machine.is_empty() && results.machine != machine {
            let other = "the other figures are of another machine, or of other versions";
            return Err(format!("{other}: measure all of them, without --only").into());
        }
        results.machine = machine;
        let all = <Group as clap::ValueEnum>::value_variants();
        let groups = if self.only.is_empty() {
            all
        } else {
            &self.only[..]
        };
        for group in groups {
            group.measure(&setting, &mut results)?;
            // Keeps these results even if a later group fails.
            fs::write(
                &self.results,
                serde_json::to_string_pretty(&results)? + "\n",
            )?;
        }
        Ok(())
    }
}

impl Setting {
    fn rounds(&self, full: usize) -> usize {
        if self.quick { 1 } else { full }
    }

    fn builds(&self) -> [&Build; 2] {
        [&self.linked, &self.dynamic]
    }
}

/// Reads earlier results; empty if there is no file.
fn read(results: &Path) -> Result<Results> {
    match fs::read_to_string(results) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
        Err(error) => Err(format!("cannot read {results:?}: {error}").into()),
    }
}
