//! Checks that relative links of pages lead to a file, and to a heading or an anchor in it.

use std::{fs, path::Path};

/// The links of a page that lead nowhere.
pub(super) fn broken(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let leads_somewhere = |link: &&str| {
        let (file, anchor) = link.split_once('#').unwrap_or((*link, ""));
        let file = match file {
            "" => page.to_owned(),
            file => page.with_file_name("").join(file),
        };
        let has_anchor = || anchors(&fs::read_to_string(&file).unwrap()).any(|it| it == anchor);
        file.exists() && (anchor.is_empty() || has_anchor())
    };
    let broken = links(&text).filter(|link| !leads_somewhere(link));
    broken.map(str::to_owned).collect()
}

/// The targets of links to files of this repository.
pub(super) fn links(page: &str) -> impl Iterator<Item = &str> {
    let after = outside_blocks(page).flat_map(|line| line.split("](").skip(1));
    let targets = after.filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://"))
}

/// The anchors of a page, as GitHub and rustdoc make them from headings, and those in HTML.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = outside_blocks(page).filter(|line| line.starts_with('#'));
    let made = headings.map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.collect::<String>().replace(' ', "-")
    });
    let written = page.split("<a id=\"").skip(1);
    let written = written.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    made.chain(written)
}

fn outside_blocks(page: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence
    })
}
