//! The stable driver, as `cargo xtask fuzz` runs it: `fuzz [--list | --corpus DIR | --seconds N]
//! [TARGET]`.

use std::{
    env, fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fuzz::{Target, play, targets};

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--list"] => targets()
            .iter()
            .for_each(|target| println!("{}", target.name)),
        ["--corpus", to] => {
            for target in targets() {
                write_corpus(target, &Path::new(to).join(target.name))?;
            }
        }
        ["--seconds", seconds, name] => {
            let target = targets().into_iter().find(|target| target.name == name);
            let target = target.ok_or_else(|| format!("there is no target {name:?}"))?;
            play_for(target, Duration::from_secs(seconds.parse()?))?;
        }
        _ => return Err("write --list, --corpus DIR or --seconds N TARGET".into()),
    }
    Ok(())
}

fn write_corpus(target: &Target, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    let mut inputs = target.corpus.iter().enumerate();
    inputs.try_for_each(|(number, input)| fs::write(to.join(number.to_string()), input))
}

/// Tries other inputs each time, round after round.
fn play_for(target: &'static Target, time: Duration) -> Result<(), fuzz::Broken> {
    let started = Instant::now();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let first = since.unwrap_or_default().as_secs() << 20;
    let mut rounds = 0;
    while started.elapsed() < time {
        play(target, first + rounds, target.cases)?;
        rounds += 1;
    }
    println!(
        "{}: {} inputs",
        target.name,
        rounds * u64::from(target.cases)
    );
    Ok(())
}
