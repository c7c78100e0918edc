//! The sizes of the binaries.

use std::fs;

use crate::{
    Result, Setting,
    results::{Results, Row, Table, Unit},
};

const WHAT: &str = "The binaries as a release has them, without symbols.";

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let mut table = Table::new("size", "Size of the binaries", WHAT, Unit::Bytes);
    for (binary, target) in [
        ("lockpipe", None),
        ("exitdir", None),
        ("sipid", None),
        ("lockheed", Some(5e6)),
        ("cmlock", Some(5e6)),
    ] {
        for build in setting.builds() {
            let size = fs::metadata(build.path(binary))?.len();
            let target = target.filter(|_| build.name == setting.linked.name);
            let who = build.who(&format!("`{binary}`"));
            table.rows.push(Row::new(who, &[size], None, target)?);
        }
    }
    results.take(table);
    Ok(())
}
