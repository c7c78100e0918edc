//! An image with nothing but a tool: an archive in the OCI's image layout, for all machines, plus
//! the files that `docker load` reads.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{
    archive::{self, Entry},
    place,
    product::Product,
};
use crate::Result;

/// The start of the OCI's media types.
const TYPE: &str = "application/vnd.oci.image";

/// A user who owns nothing: `nonroot` of the distroless images, and the user of the recipes. 65534
/// (nobody) owns the files without a user in a user namespace.
const USER: &str = "65532:65532";

/// Blobs by their digests.
struct Blobs(Vec<Entry>);

impl Blobs {
    fn add(&mut self, kind: &str, content: Vec<u8>) -> Value {
        let digest = archive::sha256(&content);
        let descriptor = json!({
            "mediaType": format!("{TYPE}.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        });
        self.0.push(Entry::new(&path(&digest), 0o644, content));
        descriptor
    }
}

fn path(digest: &str) -> String {
    format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))
}

/// Writes the image from these builds, each a target with the directory of its binaries.
pub(crate) fn write(product: &Product, built: &[(&str, PathBuf)], epoch: u64) -> Result {
    let (binary, version) = (product.tool.binary, &product.version);
    let mut blobs = Blobs(Vec::new());
    let (mut machines, mut docker) = (Vec::new(), Vec::new());
    for (target, binaries) in built {
        let Some(machine) = machine(target) else {
            continue;
        };
        let tool = Entry::read(binary, 0o755, &binaries.join(binary))?;
        let layer = archive::tar(vec![tool], None, epoch)?;
        let config = config(product, machine, &archive::sha256(&layer), epoch)?;
        let layer = blobs.add("layer.v1.tar+gzip", archive::gzip(&layer)?);
        let config = blobs.add("config.v1+json", serde_json::to_vec(&config)?);
        let digest = |blob: &Value| path(blob["digest"].as_str().unwrap_or_default());
        docker.push(json!({
            "Config": digest(&config),
            "RepoTags": [format!("{binary}:{version}-{machine}")],
            "Layers": [digest(&layer)],
        }));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": format!("{TYPE}.manifest.v1+json"),
            "config": config,
            "layers": [layer],
        });
        let mut manifest = blobs.add("manifest.v1+json", serde_json::to_vec(&manifest)?);
        manifest["platform"] = json!({"os": "linux", "architecture": machine});
        machines.push(manifest);
    }
    if machines.is_empty() {
        return Ok(());
    }
    let index = |manifests| json!({"schemaVersion": 2, "mediaType": format!("{TYPE}.index.v1+json"), "manifests": manifests});
    let all = serde_json::to_vec(&index(machines))?;
    let mut all = blobs.add("index.v1+json", all);
    all["annotations"] = json!({
        "org.opencontainers.image.ref.name": version,
        "io.containerd.image.name": format!("docker.io/library/{binary}:{version}"),
    });
    let mut entries = blobs.0;
    for (name, content) in [
        ("oci-layout", json!({"imageLayoutVersion": "1.0.0"})),
        ("index.json", index(vec![all])),
        ("manifest.json", docker.into()),
    ] {
        entries.push(Entry::new(name, 0o644, serde_json::to_vec(&content)?));
    }
    let tar = archive::tar(entries, None, epoch)?;
    Ok(fs::write(place().join(product.image()), tar)?)
}

/// The name of a target's machine in images.
fn machine(target: &str) -> Option<&'static str> {
    match target.split_once("-unknown-linux-")?.0 {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

fn config(product: &Product, machine: &str, layer: &str, epoch: u64) -> Result<Value> {
    let time = super::product::rfc3339(epoch);
    Ok(json!({
        "created": time,
        "os": "linux",
        "architecture": machine,
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{}", product.tool.binary)],
            "Labels": {
                "org.opencontainers.image.title": product.tool.binary,
                "org.opencontainers.image.description": product.about,
                "org.opencontainers.image.version": product.version,
                "org.opencontainers.image.source": product.repository,
                "org.opencontainers.image.licenses": product.license,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created": time, "created_by": "cargo xtask dist"}],
    }))
}
