//! Imports go down only, and each vendor's words stay in its folder.

use super::{Source, report, sources};

/// What each module may name of ours.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("spec", &[]),
    ("clock", &[]),
    ("web", &[]),
    ("fleet", &["spec"]),
    ("version", &["spec"]),
    ("rollout", &["spec", "fleet", "version"]),
    ("ledger", &["spec", "fleet", "version", "rollout", "web"]),
    ("report", &["spec", "rollout"]),
    // The local cloud finds and starts its agent; both speak the wire format in `cloud::local::types`.
    ("cloud", &["spec", "fleet", "clock", "agent", "web"]),
    ("engine", &["spec", "fleet", "version", "rollout", "ledger", "cloud", "clock", "web"]),
    ("agent", &["spec", "fleet", "clock", "cloud"]),
    ("terraform", &["spec", "fleet", "version", "rollout", "ledger", "cloud", "engine", "clock", "agent"]),
    (
        "cli",
        &["spec", "fleet", "version", "rollout", "ledger", "cloud", "engine", "clock", "agent", "report"],
    ),
];

/// Modules that may neither wait nor ask the world anything.
const PURE: [&str; 5] = ["spec", "version", "fleet", "rollout", "report"];

#[test]
fn imports_go_down_only() {
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| !is_root(source)) {
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(module, _)| *module == source.module())
            .unwrap_or_else(|| panic!("{} is in no module that the rules know", source.path));
        for named in named_modules(&source.text) {
            if named != source.module() && !allowed.contains(&named.as_str()) {
                broken.push(format!("{} names `crate::{named}`", source.path));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_core_neither_waits_nor_asks_the_world() {
    const FORBIDDEN: [&str; 9] = [
        "async fn",
        ".await",
        "tokio",
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "SystemTime",
        "HashMap",
    ];
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| PURE.contains(&source.module())) {
        let code = before_tests(&source.text);
        for word in FORBIDDEN.iter().filter(|word| holds(code, word)) {
            broken.push(format!("{} holds `{word}`", source.path));
        }
    }
    report(&broken);
}

#[test]
fn only_the_terraform_folder_knows_the_plugin_protocol() {
    let strangers = sources("src").into_iter().filter(|source| source.module() != "terraform");
    let broken: Vec<String> = strangers
        .filter(|source| source.text.contains("tf_provider") || source.text.contains("tfplugin"))
        .map(|source| format!("{} names the plugin protocol", source.path))
        .collect();
    report(&broken);
}

#[test]
fn every_name_says_what_it_is() {
    const EMPTY: [&str; 6] = ["utils", "util", "helpers", "common", "misc", "manager"];
    let broken: Vec<String> = sources("src")
        .into_iter()
        .chain(sources("tests"))
        .filter(|source| source.path.split(['/', '.']).any(|part| EMPTY.contains(&part)))
        .map(|source| format!("{} is named after nothing", source.path))
        .collect();
    report(&broken);
}

fn is_root(source: &Source) -> bool {
    ["src/lib.rs", "src/main.rs"].contains(&source.path.as_str())
}

/// Every `crate::NAME` in code and in grouped imports.
fn named_modules(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let names = code.match_indices("crate::").map(|(at, word)| {
        let rest = code.get(at + word.len()..).unwrap_or_default();
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    });
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether code holds a word, and not only a longer one that begins with it, such as a field `.awaiting`.
fn holds(code: &str, word: &str) -> bool {
    let ends = |(at, found): (usize, &str)| {
        let next = code.get(at + found.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(char::is_alphabetic)
    };
    code.match_indices(word).any(ends)
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}
