//! Writes the document: a table for each figure, and the pictures.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    Result, plots,
    results::{Results, Row, Table, Unit, float},
};

/// The text between these is made from the results; the rest is written by hand.
const BEGIN: &str = "<!-- made by `cargo xtask bench` -->";
const END: &str = "<!-- end -->";

pub(crate) fn all(results: &Path, document: &Path, pictures: &Path) -> Result {
    let results: Results = serde_json::from_str(&fs::read_to_string(results)?)?;
    fs::create_dir_all(pictures)?;
    for curve in &results.curves {
        let picture = pictures.join(format!("{}.svg", curve.id));
        fs::write(picture, plots::lines(curve)?)?;
    }
    for table in results.tables.iter().filter(|table| is_drawn(table)) {
        let picture = pictures.join(format!("{}.svg", table.id));
        fs::write(picture, plots::bars(table)?)?;
    }
    let text = fs::read_to_string(document)?;
    let directory = pictures.file_name().unwrap_or_default().to_string_lossy();
    let text = with_figures(&text, &results, &format!("docs/{directory}"))?;
    Ok(fs::write(document, text)?)
}

/// Puts the figures into the document.
fn with_figures(text: &str, results: &Results, pictures: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .ok_or("the document has no place for figures")?;
    let (_, after) = rest
        .split_once(END)
        .ok_or("the place for figures has no end")?;
    let figures = figures(results, pictures)?;
    Ok(format!("{before}{BEGIN}\n\n{figures}{END}{after}"))
}

/// These tables also get a picture, which is easier to read.
fn is_drawn(table: &Table) -> bool {
    ["start", "memory-waiting", "memory-holding", "crash"].contains(&&*table.id)
}

fn figures(results: &Results, pictures: &str) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "| the machine | |\n|---|---|")?;
    for (name, value) in &results.machine {
        writeln!(text, "| {name} | {value} |")?;
    }
    writeln!(text)?;
    for table in &results.tables {
        writeln!(text, "### {}\n\n{}\n", table.title, table.what)?;
        if is_drawn(table) {
            writeln!(text, "![{}]({pictures}/{}.svg)\n", table.title, table.id)?;
        }
        for curve in results
            .curves
            .iter()
            .filter(|curve| table.id == format!("{}-2", curve.id))
        {
            writeln!(text, "![{}]({pictures}/{}.svg)\n", curve.title, curve.id)?;
        }
        writeln!(
            text,
            "| | median | lowest – highest | p99 | × the first row | target | runs |\n|---|---|---|---|---|---|---|"
        )?;
        for row in &table.rows {
            writeln!(text, "{}", line(row, table.unit))?;
        }
        writeln!(text)?;
    }
    for curve in results.curves.iter().filter(|curve| curve.id == "writes") {
        writeln!(
            text,
            "### {}\n\n![{}]({pictures}/{}.svg)\n",
            curve.title, curve.title, curve.id
        )?;
    }
    Ok(text)
}

fn line(row: &Row, unit: Unit) -> String {
    let ratio = row.ratio.map_or_else(String::new, |ratio| {
        if ratio.lowest.to_bits() == ratio.highest.to_bits() {
            format!("{:.2}", ratio.median)
        } else {
            format!(
                "{:.2} ({:.2} – {:.2})",
                ratio.median, ratio.lowest, ratio.highest
            )
        }
    });
    let target = row.target.map_or_else(String::new, |target| {
        let is = row.ratio.map_or(float(row.median), |ratio| ratio.median);
        let bound = match row.ratio {
            Some(_) => format!("{target:.2}"),
            None => amount(whole(target), unit),
        };
        format!("≤ {bound}{}", if is <= target { "" } else { ", missed" })
    });
    format!(
        "| {} | {} | {} – {} | {} | {ratio} | {target} | {} |",
        row.who,
        amount(row.median, unit),
        amount(row.lowest, unit),
        amount(row.highest, unit),
        amount(row.p99, unit),
        row.count
    )
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of something, far below 2^64"
)]
fn whole(target: f64) -> u64 {
    target as u64
}

/// Formats a value with its unit, in about three digits.
pub(crate) fn amount(value: u64, unit: Unit) -> String {
    let scaled = |by: f64, unit: &str| {
        let value = float(value) / by;
        let digits = if value < 10.0 {
            2
        } else {
            usize::from(value < 100.0)
        };
        format!("{value:.digits$} {unit}")
    };
    match unit {
        Unit::Count => value.to_string(),
        Unit::Bytes if value < 1_000_000 => scaled(1e3, "kB"),
        Unit::Bytes => scaled(1e6, "MB"),
        Unit::Nanoseconds if value < 1_000_000 => scaled(1e3, "µs"),
        Unit::Nanoseconds if value < 1_000_000_000 => scaled(1e6, "ms"),
        Unit::Nanoseconds => scaled(1e9, "s"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::results::Spread;

    fn at_root(name: &str) -> String {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(name);
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_document_and_its_pictures_are_what_was_measured() {
        let results: Results = serde_json::from_str(&at_root("dev/bench/results.json")).unwrap();
        let text = at_root("BENCHMARKS.md");
        let made = with_figures(&text, &results, "docs/benchmarks").unwrap();
        assert!(made == text, "run `cargo xtask bench render`");
        for curve in &results.curves {
            let picture = at_root(&format!("docs/benchmarks/{}.svg", curve.id));
            assert!(
                picture == plots::lines(curve).unwrap(),
                "{}: render it anew",
                curve.id
            );
        }
        for table in results.tables.iter().filter(|table| is_drawn(table)) {
            let picture = at_root(&format!("docs/benchmarks/{}.svg", table.id));
            assert!(
                picture == plots::bars(table).unwrap(),
                "{}: render it anew",
                table.id
            );
        }
    }

    #[test]
    fn a_row_says_whether_its_target_is_reached() {
        let spread = |median| Spread {
            median,
            lowest: 0.5,
            highest: 2.0,
        };
        let row = |median| {
            Row::new(
                "x".to_owned(),
                &[1_500_000],
                Some(spread(median)),
                Some(1.0),
            )
        };
        let shown = |median| line(&row(median).unwrap(), Unit::Nanoseconds);
        assert!(
            shown(1.0).contains("| 1.00 (0.50 – 2.00) | ≤ 1.00 | 1 |"),
            "{}",
            shown(1.0)
        );
        assert!(shown(1.2).contains("| 1.20 (0.50 – 2.00) | ≤ 1.00, missed | 1 |"));
        assert!(shown(1.2).starts_with("| x | 1.50 ms |"), "{}", shown(1.2));
        let size = Row::new("x".to_owned(), &[6_000_000], None, Some(5e6)).unwrap();
        assert!(line(&size, Unit::Bytes).contains("|  | ≤ 5.00 MB, missed | 1 |"));
    }
}
