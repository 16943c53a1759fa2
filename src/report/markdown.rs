//! The report as Markdown for a comment: an overview, then as many details as fit.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::plan::Action;
use super::{
    Drift, EndpointReport, Needs, Others, PolicyReport, Report, RolloutReport, Setting, Shown, VersionReport,
};
use crate::spec::{TimeSpan, VersionNumber, steers};

/// By this line a pipeline finds the comment that it wrote before.
const MARKER: &str = "<!-- sluice report -->";
/// Longest value in a table.
const CELL_LENGTH_MAX: usize = 80;
/// Most settings of one change.
const SETTINGS_MAX: usize = 40;
/// Most steps of one rollout; the provider sums up longer ones by itself.
const STEPS_MAX: usize = 30;
/// Most rows of the overview.
const OVERVIEW_ROWS_MAX: usize = 50;
/// Room for what is said about the parts that were left out.
const FAREWELL_LENGTH: usize = 400;

/// The report in at most `limit` bytes, a small number of which is always needed for the head.
pub fn markdown(report: &Report, limit: usize) -> String {
    let mut comment =
        Comment { text: format!("{MARKER}\n## {}\n", title(report)), left_out: Vec::new(), limit };
    if report.incomplete {
        comment
            .add("the warning", "\nTerraform could not finish this plan: some changes are missing here.\n");
    }
    comment.add("the overview", &overview(&report.endpoints));
    for drift in &report.drift {
        comment.add(&drift.address, &drifted(drift));
    }
    for endpoint in &report.endpoints {
        comment.add(&endpoint.address, &endpoint_section(endpoint));
    }
    for version in &report.versions {
        comment.add(&version.address, &version_section(version));
    }
    for policy in &report.policies {
        comment.add(&policy.address, &policy_section(policy));
    }
    if report.others.total() > 0 {
        comment.add("other resources", &others(report.others));
    }
    comment.finish()
}

/// A text that never exceeds its limit, and remembers what did not fit.
struct Comment {
    text: String,
    left_out: Vec<String>,
    limit: usize,
}

impl Comment {
    fn add(&mut self, name: &str, section: &str) {
        if self.text.len() + section.len() + FAREWELL_LENGTH <= self.limit {
            self.text.push_str(section);
        } else {
            self.left_out.push(code(name));
        }
    }

    fn finish(mut self) -> String {
        if self.left_out.is_empty() {
            return self.text;
        }
        let _ = write!(self.text, "\n**Left out** to stay below {} bytes: ", self.limit);
        let count = self.left_out.len();
        for (index, name) in self.left_out.iter().enumerate() {
            let more = format!("and {} more", count - index);
            if self.text.len() + name.len() + more.len() + 4 > self.limit {
                let _ = write!(self.text, "{more}");
                break;
            }
            let _ = write!(self.text, "{name}{}", if index + 1 < count { ", " } else { "" });
        }
        self.text.push_str(".\n");
        self.text
    }
}

fn title(report: &Report) -> String {
    match report.endpoints.len() {
        0 if report.is_empty() => "Endpoints: no changes".to_owned(),
        0 => "Endpoints: none changes what it serves".to_owned(),
        1 => "Endpoints: 1 change".to_owned(),
        count => format!("Endpoints: {count} changes"),
    }
}

fn overview(endpoints: &[EndpointReport]) -> String {
    if endpoints.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| endpoint | change | version | accelerators at most | ready at least | expected time | extra \
         accelerator-minutes | risks |\n|---|---|---|---|---|---|---|---|\n",
    );
    for endpoint in endpoints.iter().take(OVERVIEW_ROWS_MAX) {
        let name = endpoint.name.as_ref().unwrap_or(&endpoint.address);
        let needs = endpoint.rollout.as_ref().and_then(|rollout| rollout.needs.as_ref());
        let tell =
            |tell: fn(&Needs) -> Option<String>| needs.and_then(tell).unwrap_or_else(|| "–".to_owned());
        let cells = [
            cell(name),
            change(endpoint).to_owned(),
            versions(endpoint),
            tell(accelerators),
            tell(|needs| needs.least_ready.map(|least| format!("{least} of {}", needs.replicas))),
            tell(time),
            tell(|needs| needs.extra_accelerator_minutes.map(whole)),
            endpoint.risks.len().to_string(),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let more = endpoints.len().saturating_sub(OVERVIEW_ROWS_MAX);
    if more > 0 {
        let _ = writeln!(text, "\n… and {more} more endpoints.");
    }
    text
}

fn change(endpoint: &EndpointReport) -> &'static str {
    match endpoint.action {
        Action::Nothing => "none",
        Action::Create => "create",
        Action::Update if endpoint.rollout.is_some() || endpoint.from != endpoint.to => "rollout",
        Action::Update => "settings",
        Action::Replace => "**replace**",
        Action::Destroy => "**destroy**",
        Action::Forget => "forget",
    }
}

fn versions(endpoint: &EndpointReport) -> String {
    let after = match endpoint.action {
        Action::Destroy | Action::Forget => "nothing".to_owned(),
        _ => endpoint.to.map_or_else(|| "known after apply".to_owned(), |to| to.to_string()),
    };
    match endpoint.from {
        Some(from) if Some(from) == endpoint.to => after,
        Some(from) => format!("{from} → {after}"),
        None => after,
    }
}

fn accelerators(needs: &Needs) -> Option<String> {
    let peak = needs.peak_accelerators;
    let before = needs.accelerators_before.map(|before| format!(" (now {before})")).unwrap_or_default();
    (peak > 0).then(|| format!("{peak}{before}"))
}

fn time(needs: &Needs) -> Option<String> {
    let bound = needs.bound_seconds.map(|bound| format!(" (at best {})", span(bound))).unwrap_or_default();
    needs.expected_seconds.map(|expected| format!("{}{bound}", span(expected)))
}

fn endpoint_section(endpoint: &EndpointReport) -> String {
    let mut text =
        format!("\n### {}: {}, {}\n", code(&endpoint.address), change(endpoint), versions(endpoint));
    if endpoint.imported {
        text.push_str("\nTaken over by an import.\n");
    }
    if let Some(before) = &endpoint.moved_from {
        let _ = writeln!(text, "\nMoved from {}.", code(before));
    }
    if let Some(comment) = &endpoint.comment {
        let _ = writeln!(text, "\n> {}", code(comment));
    }
    if !endpoint.replaced_by.is_empty() {
        let paths: Vec<String> = endpoint.replaced_by.iter().map(|path| code(path)).collect();
        let _ = writeln!(text, "\nReplaced because of {}.", paths.join(", "));
    }
    let head =
        |side: Option<VersionNumber>, word: &str| side.map_or_else(|| word.to_owned(), |v| v.to_string());
    settings(&mut text, &endpoint.settings, &head(endpoint.from, "before"), &head(endpoint.to, "after"));
    told(&mut text, &endpoint.told);
    if let Some(hint) = &endpoint.hint {
        let _ = writeln!(text, "\nThe plan does not hold both versions: {} shows what differs.", code(hint));
    }
    settings(&mut text, &endpoint.own_settings, "endpoint before", "endpoint after");
    if let Some(rollout) = &endpoint.rollout {
        rollout_section(&mut text, rollout);
    }
    if !endpoint.risks.is_empty() {
        text.push_str("\n**Mind**\n\n");
        for risk in &endpoint.risks {
            let _ = writeln!(text, "- {}", risk.sentence());
        }
    }
    text
}

fn rollout_section(text: &mut String, rollout: &RolloutReport) {
    if let Some(needs) = &rollout.needs {
        let mut facts = vec![format!("at most {} replicas", needs.peak_replicas)];
        facts.extend(accelerators(needs).map(|accelerators| format!("accelerators: {accelerators}")));
        facts.extend(needs.least_ready.map(|least| format!("at least {least} of {} ready", needs.replicas)));
        facts.extend(time(needs).map(|time| format!("about {time}")));
        let extra = needs.extra_accelerator_minutes.filter(|extra| *extra > 0.0);
        facts.extend(extra.map(|extra| format!("extra accelerator-minutes: {}", whole(extra))));
        let _ = writeln!(text, "\n**Rollout**: {}.", facts.join(", "));
    }
    if let Some(cloud) = &rollout.paced_by {
        let _ = writeln!(text, "\n**Rollout**: {} paces it by itself.", code(cloud));
    }
    if rollout.steps.is_empty() {
        return;
    }
    text.push_str("\n<details><summary>Steps</summary>\n\n```text\n");
    for step in rollout.steps.iter().take(STEPS_MAX) {
        let _ = writeln!(text, "{}", fenced(step));
    }
    let more = rollout.steps.len().saturating_sub(STEPS_MAX);
    if more > 0 {
        let _ = writeln!(text, "… {more} more");
    }
    text.push_str("```\n\n</details>\n");
}

fn version_section(version: &VersionReport) -> String {
    let what = match version.action {
        Action::Destroy => "leaves the configuration; its snapshot stays in the ledger".to_owned(),
        Action::Forget => "leaves the state; its snapshot stays in the ledger".to_owned(),
        _ => match &version.id {
            Some(id) => format!("makes {}", code(id)),
            None => "is known after apply".to_owned(),
        },
    };
    let mut text = format!("\n### {}: {what}\n", code(&version.address));
    if version.action == Action::Update || version.action == Action::Replace {
        settings(&mut text, &version.settings, "before", "after");
    }
    text
}

fn policy_section(policy: &PolicyReport) -> String {
    let word = match policy.action {
        Action::Destroy => "destroyed",
        Action::Replace => "replaced",
        _ => "changes",
    };
    let mut text = format!("\n### {}: {word}\n", code(&policy.address));
    settings(&mut text, &policy.settings, "before", "after");
    if !policy.used_by.is_empty() {
        let users: Vec<String> = policy.used_by.iter().take(SETTINGS_MAX).map(|user| code(user)).collect();
        let _ = writeln!(text, "\nUsed by {}.", users.join(", "));
    }
    text
}

fn drifted(drift: &Drift) -> String {
    let mut text = format!("\n### {}: changed without Terraform\n", code(&drift.address));
    if drift.gone {
        text.push_str("\nIt is gone.\n");
    }
    settings(&mut text, &drift.settings, "in the state", "found");
    text
}

fn others(others: Others) -> String {
    let counts = [
        (others.created, "created"),
        (others.updated, "updated"),
        (others.replaced, "replaced"),
        (others.destroyed, "destroyed"),
    ];
    let told = counts.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, word)| format!("{count} {word}")).collect();
    format!("\nResources of other providers: {}.\n", told.join(", "))
}

fn settings(text: &mut String, settings: &[Setting], before: &str, after: &str) {
    if settings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n| setting | {before} | {after} |\n|---|---|---|");
    for setting in settings.iter().take(SETTINGS_MAX) {
        let [before, after] = [&setting.before, &setting.after].map(shown);
        let _ = writeln!(text, "| {} | {before} | {after} |", cell(&setting.path));
    }
    let more = settings.len().saturating_sub(SETTINGS_MAX);
    if more > 0 {
        let _ = writeln!(text, "\n… and {more} more settings.");
    }
}

fn told(text: &mut String, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push('\n');
    for line in lines.iter().take(SETTINGS_MAX) {
        let _ = writeln!(text, "- {}", code(line));
    }
    let more = lines.len().saturating_sub(SETTINGS_MAX);
    if more > 0 {
        let _ = writeln!(text, "\n… and {more} more settings.");
    }
}

fn shown(value: &Shown) -> String {
    match value {
        Shown::Nothing => "–".to_owned(),
        Shown::Value(Value::String(text)) => cell(&short_digest(text)),
        Shown::Value(value) => cell(&value.to_string()),
        Shown::Sensitive => "(sensitive)".to_owned(),
        Shown::Unknown => "(known after apply)".to_owned(),
    }
}

/// As much of a digest as people compare: the algorithm and twelve digits.
fn short_digest(text: &str) -> String {
    const LENGTH: usize = "sha256:".len() + 12;
    if text.starts_with("sha256:") { text.chars().take(LENGTH).collect() } else { text.to_owned() }
}

/// Text of others as a code span that a table can hold.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Text of others as a code span: one short line, and nothing that ends the span.
fn code(text: &str) -> String {
    let clean: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    let mut short: String = clean.chars().take(CELL_LENGTH_MAX).collect();
    if short.len() < clean.len() {
        short.push('…');
    }
    let longest = short.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    if longest == 0 && !short.trim().is_empty() {
        return format!("`{short}`");
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence} {short} {fence}")
}

/// A line of a fenced block, which it must not end.
fn fenced(text: &str) -> String {
    text.chars().filter(|c| !steers(*c)).collect::<String>().replace("```", "'''")
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX).as_secs();
    TimeSpan::from_seconds(seconds).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_inside_its_cell() {
        assert_eq!(cell("a|b\nc"), "`a\\|b c`");
        assert_eq!(code("x`y``z"), "``` x`y``z ```");
        assert_eq!(code("\u{202e}gnp.exe"), "` gnp.exe`");
        assert_eq!(code(&"é".repeat(200)).chars().count(), CELL_LENGTH_MAX + 3);
        assert_eq!(fenced("a```b"), "a'''b");
    }
}
