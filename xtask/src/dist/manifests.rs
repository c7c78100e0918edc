//! Writes the files about the archives once all exist: checksums, and the manifests with which krew
//! and Homebrew install them.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    archive, place,
    product::{self, Product},
};
use crate::Result;

/// A target, with its names for krew and Homebrew.
struct Platform {
    target: &'static str,
    krew: (&'static str, &'static str),
    homebrew: (&'static str, &'static str),
}

const PLATFORMS: [Platform; 4] = [
    Platform {
        target: "aarch64-apple-darwin",
        krew: ("darwin", "arm64"),
        homebrew: ("on_macos", "on_arm"),
    },
    Platform {
        target: "x86_64-apple-darwin",
        krew: ("darwin", "amd64"),
        homebrew: ("on_macos", "on_intel"),
    },
    Platform {
        target: "aarch64-unknown-linux-musl",
        krew: ("linux", "arm64"),
        homebrew: ("on_linux", "on_arm"),
    },
    Platform {
        target: "x86_64-unknown-linux-musl",
        krew: ("linux", "amd64"),
        homebrew: ("on_linux", "on_intel"),
    },
];

/// An archive that exists.
struct Archive {
    platform: &'static Platform,
    url: String,
    sha256: String,
}

/// Writes all files anew, for the archives that exist.
pub(crate) fn write() -> Result {
    let place = place();
    let (krew, homebrew) = (place.join("krew"), place.join("homebrew"));
    fs::create_dir_all(&krew)?;
    fs::create_dir_all(&homebrew)?;
    for product in product::all()? {
        let archives = archives(&product, &place)?;
        let name = product.tool.package;
        if archives.is_empty() {
            continue;
        }
        if product.tool.is_for_kubectl {
            fs::write(
                krew.join(format!("{name}.yaml")),
                for_krew(&product, &archives),
            )?;
        }
        fs::write(
            homebrew.join(format!("{name}.rb")),
            for_homebrew(&product, &archives),
        )?;
    }
    checksums(&place)
}

fn archives(product: &Product, place: &Path) -> Result<Vec<Archive>> {
    let mut archives = Vec::new();
    for platform in &PLATFORMS {
        let file = product.archive(platform.target);
        if place.join(&file).exists() {
            archives.push(Archive {
                platform,
                url: product.url(&file),
                sha256: archive::sha256(&fs::read(place.join(&file))?),
            });
        }
    }
    Ok(archives)
}

/// Writes the checksums in the format of `sha256sum --check`.
fn checksums(place: &Path) -> Result {
    const NAME: &str = "SHA256SUMS";
    let mut lines = Vec::new();
    for file in fs::read_dir(place)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if file.file_type()?.is_file() && name != NAME {
            lines.push((name, archive::sha256(&fs::read(file.path())?)));
        }
    }
    lines.sort();
    let lines = lines.iter().map(|(name, sum)| format!("{sum}  {name}\n"));
    Ok(fs::write(place.join(NAME), lines.collect::<String>())?)
}

/// <https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/>
fn for_krew(product: &Product, archives: &[Archive]) -> String {
    let Product {
        tool,
        version,
        about,
        repository,
        ..
    } = product;
    let name = tool.binary;
    let mut text = format!(
        "apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: {name}
spec:
  version: v{version}
  homepage: {repository}
  shortDescription: {about}
  description: |
    {about}.
    `kubectl {name} --help` lists the commands, `kubectl {name} check` says whether you may use them.
  platforms:
"
    );
    for Archive {
        platform,
        url,
        sha256,
    } in archives
    {
        let (os, machine) = platform.krew;
        let stem = product.stem(platform.target);
        let _ = write!(
            text,
            "  - selector:
      matchLabels:
        os: {os}
        arch: {machine}
    uri: {url}
    sha256: {sha256}
    files:
      - from: {stem}/{name}
        to: .
      - from: {stem}/LICENSE-*
        to: .
    bin: {name}
"
        );
    }
    text
}

/// <https://docs.brew.sh/Formula-Cookbook>
fn for_homebrew(product: &Product, archives: &[Archive]) -> String {
    let Product {
        tool,
        version,
        about,
        repository,
        ..
    } = product;
    let name = tool.binary;
    let class = tool.package[..1].to_uppercase() + &tool.package[1..];
    let licenses: Vec<_> = product.license.split(" OR ").collect();
    let mut text = format!(
        "class {class} < Formula
  desc {about:?}
  homepage {repository:?}
  version {version:?}
  license any_of: {licenses:?}
"
    );
    let is_everywhere = archives
        .iter()
        .any(|it| it.platform.homebrew.0 == "on_macos");
    if !is_everywhere {
        text.push_str("  depends_on :linux\n");
    }
    for Archive {
        platform,
        url,
        sha256,
    } in archives
    {
        let (os, machine) = platform.homebrew;
        let _ = write!(
            text,
            "
  {os} do
    {machine} do
      url {url:?}
      sha256 {sha256:?}
    end
  end
"
        );
    }
    let _ = write!(
        text,
        "
  def install
    bin.install {name:?}
    man1.install Dir[\"man/*.1\"]
    bash_completion.install \"completions/{name}.bash\" => {name:?}
    zsh_completion.install \"completions/_{name}\"
    fish_completion.install \"completions/{name}.fish\"
  end

  test do
    assert_match version.to_s, shell_output(\"#{{bin}}/{name} --version\")
  end
end
"
    );
    text
}
