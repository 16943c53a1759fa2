//! Links between the pages, and from them to files, lead somewhere.

use std::path::{Path, PathBuf};

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["docs", "examples"] {
        collect(&root.join(folder), &mut pages);
    }
    let mut broken = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in targets(&text) {
            if !page.parent().unwrap().join(&target).exists() {
                broken.push(format!("{} links to `{target}`, which is not there", page.display()));
            }
        }
    }
    super::report(&broken);
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// Files that a page links to, without their anchors.
fn targets(text: &str) -> Vec<String> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let own = links.filter(|link| !link.contains("://") && !link.starts_with('#') && !link.contains(' '));
    own.map(|link| link.split('#').next().unwrap_or(link).to_owned()).collect()
}

#[test]
fn only_links_to_files_are_followed() {
    let text = "[a](x.md) [b](https://x.y/z) [c](#here) [d](../y.md#there)";
    assert_eq!(targets(text), ["x.md", "../y.md"]);
}
