//! The SBOM (`CycloneDX` 1.5) of a binary: the packages that it is built from. `cargo cyclonedx`
//! does not work here: for a dependency, it lists what any crate of the workspace uses of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::product::{self, Product};
use crate::{
    Result,
    process::{self, cargo},
};

pub(crate) fn of(product: &Product, target: &str, epoch: u64) -> Result<Vec<u8>> {
    let mut tree = cargo(["tree", "--locked", "--edges=normal", "--prefix=depth"]);
    tree.args(["--target", target, "--package", product.tool.package]);
    // A line is `1bitflags v2.9.0;MIT`; some have more after the version.
    let tree = process::output(tree.args(["--format", " {p};{l}"]))?;
    let rustc = process::output(std::process::Command::new("rustc").arg("--version"))?;
    let mut components = BTreeMap::new();
    let mut dependencies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut above: Vec<String> = Vec::new();
    for line in tree.lines() {
        let (depth, name, version, license) =
            parsed(line).ok_or_else(|| format!("cargo tree printed {line:?}"))?;
        let id = format!("pkg:cargo/{name}@{version}");
        above.truncate(depth);
        if let Some(parent) = above.last() {
            let known = dependencies.entry(parent.clone()).or_default();
            if !known.contains(&id) {
                known.push(id.clone());
            }
        }
        dependencies.entry(id.clone()).or_default();
        let component = json!({
            "type": if depth == 0 { "application" } else { "library" },
            "bom-ref": id,
            "name": name,
            "version": version,
            "licenses": [{"expression": license}],
            "purl": id,
        });
        components.entry(id.clone()).or_insert(component);
        above.push(id);
    }
    let itself = above.first().and_then(|id| components.remove(id));
    let components: Vec<Value> = components.into_values().collect();
    let dependencies: Vec<Value> = dependencies
        .into_iter()
        .map(|(id, on)| json!({"ref": id, "dependsOn": on}))
        .collect();
    Ok(serde_json::to_vec_pretty(&json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": product::rfc3339(epoch),
            "component": itself,
            "properties": [
                {"name": "target", "value": target},
                {"name": "rustc", "value": rustc.trim()},
            ],
        },
        "components": components,
        "dependencies": dependencies,
    }))?)
}

/// The depth, name, version and licence of a line. Old manifests write `MIT/Apache-2.0`.
fn parsed(line: &str) -> Option<(usize, &str, &str, String)> {
    let (depth, package) = line.split_once(' ')?;
    let (package, license) = package.split_once(';')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let license = license.trim_end_matches(" (*)").replace('/', " OR ");
    Some((depth.parse().ok()?, name, version, license))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_tree_are_read() {
        let line = "2 serde_derive v1.0.2 (proc-macro);MIT/Apache-2.0 (*)";
        let parsed = parsed(line).expect("a line of it");
        let license = "MIT OR Apache-2.0".to_owned();
        assert_eq!(parsed, (2, "serde_derive", "1.0.2", license));
    }
}
