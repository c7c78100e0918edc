//! Turns a program's output into an SVG that scrolls as the output was printed.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Result, process};

/// How many lines are visible at once, and how many characters one has.
const ROWS: usize = 26;
const COLUMNS: usize = 100;

/// The size of a character, and the space around the text, in pixels.
const WIDTH: f64 = 8.43;
const HEIGHT: f64 = 18.0;
const BORDER: f64 = 12.0;

/// Limits of a pause: nobody wants to wait longer, or reads faster.
const LONGEST: Duration = Duration::from_millis(1_200);
const SHORTEST: Duration = Duration::from_millis(120);
/// A pause at each tool's heading, to read it.
const HEADING: Duration = Duration::from_millis(1_500);
/// How long the end is shown before it starts again.
const END: Duration = Duration::from_secs(5);

/// A line, and how long it remains the last one.
struct Line {
    text: String,
    lasts: Duration,
}

pub(super) fn of_demo() -> Result<String> {
    let mut demo = Command::new(std::env::current_exe()?)
        .arg("demo")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = demo.stdout.take().ok_or("the demo has no output")?;
    let root = process::root().display().to_string();
    let mut lines: Vec<Line> = Vec::new();
    let mut since = Instant::now();
    for line in BufReader::new(output).lines() {
        // The path of this checkout does not matter to others.
        let text = line?.replace(&root, "~/coordination-tools");
        if let Some(last) = lines.last_mut() {
            last.lasts = since.elapsed();
        }
        since = Instant::now();
        lines.push(Line {
            text,
            lasts: Duration::ZERO,
        });
    }
    if !demo.wait()?.success() {
        return Err("the demo failed".into());
    }
    // The build output is left out.
    let first = lines.iter().position(|it| it.text.starts_with("== "));
    Ok(drawn(&lines[first.unwrap_or(0)..])?)
}

fn drawn(lines: &[Line]) -> std::result::Result<String, std::fmt::Error> {
    let lines: Vec<Line> = lines.iter().flat_map(wrapped).collect();
    let total: Duration = lines.iter().map(|it| it.lasts).sum::<Duration>() + END;
    let (mut scrolled, mut texts) = (String::new(), String::new());
    let mut at = Duration::ZERO;
    for (number, line) in lines.iter().enumerate() {
        let percent = 100.0 * at.as_secs_f64() / total.as_secs_f64();
        let rows = i32::try_from(ROWS).unwrap_or(0) - i32::try_from(number).unwrap_or(0) - 1;
        let up = f64::from(rows) * HEIGHT;
        write!(scrolled, "{percent:.2}%{{transform:translateY({up}px)}}")?;
        at += line.lasts;
        let y = HEIGHT * (0.75 + f64::from(u32::try_from(number).unwrap_or(0)));
        let class = match line.text.as_bytes() {
            [b'=', ..] => " class=\"heading\"",
            [b'$', ..] => " class=\"command\"",
            [b' ', b' ', b'(', ..] => " class=\"remark\"",
            _ => "",
        };
        let text = escaped(&line.text);
        writeln!(texts, "<text x=\"{BORDER}\" y=\"{y}\"{class}>{text}</text>")?;
    }
    let columns = f64::from(u32::try_from(COLUMNS).unwrap_or(0));
    let rows = f64::from(u32::try_from(ROWS).unwrap_or(0));
    let width = (columns * WIDTH + 2.0 * BORDER).ceil();
    let seen = rows * HEIGHT;
    let height = seen + 2.0 * BORDER;
    let seconds = total.as_secs_f64();
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <style>text{{font:14px monospace;fill:#d0d0d0;white-space:pre}}\
         .heading{{fill:#fff;font-weight:bold}}.command{{fill:#8fd0ff}}.remark{{fill:#90c990}}\
         #all{{animation:all {seconds:.2}s step-end infinite}}@keyframes all{{{scrolled}}}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#1c1f26\"/>\n\
         <svg y=\"{BORDER}\" width=\"100%\" height=\"{seen}\"><g id=\"all\">\n{texts}</g></svg>\n</svg>\n"
    ))
}

/// The rows of a line; only the last one has a pause.
fn wrapped(line: &Line) -> Vec<Line> {
    let lasts = match line.text.starts_with("== ") {
        true => HEADING,
        false => line.lasts.clamp(SHORTEST, LONGEST),
    };
    let characters: Vec<char> = line.text.chars().collect();
    let mut rows: Vec<Line> = characters
        .chunks(COLUMNS)
        .map(|row| Line {
            text: row.iter().collect(),
            lasts: Duration::ZERO,
        })
        .collect();
    match rows.last_mut() {
        Some(last) => last.lasts = lasts,
        None => rows.push(Line {
            text: String::new(),
            lasts,
        }),
    }
    rows
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_escaped_and_shown_one_after_the_other() {
        let line = |text: &str, lasts: u64| Line {
            text: text.to_owned(),
            lasts: Duration::from_millis(lasts),
        };
        let svg = drawn(&[line("$ a <b & c", 600), line(&"x".repeat(150), 60_000)]).unwrap();
        assert!(svg.contains("class=\"command\">$ a &lt;b &amp; c</text>"));
        assert_eq!(svg.matches("<text ").count(), 3);
        // 0.6 s, then 1.2 s at most, then the end.
        assert!(svg.contains("animation:all 6.80s"), "{svg}");
        assert!(
            svg.contains("0.00%{transform:translateY(450px)}8.82%{transform:translateY(432px)}"),
            "{svg}"
        );
    }
}
