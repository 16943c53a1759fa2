//! Back to earlier settings, as after a `git revert`.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use super::build::Models;
use super::{Demo, ENDPOINT, VERSION, number};
use crate::story::{Failure, broken, line, show_command};
use crate::terraform::Show;

/// Rollouts so far: v0, v1, v2 that failed, v3, v4.
const ROLLOUTS: u32 = 5;

/// Applies the first configuration again: a new number with the old settings.
pub async fn to_the_first_settings(demo: &Demo<'_>, models: &Models, url: &str) -> Result<(), Failure> {
    let story = demo.story;
    story.heading("Roll back as after a git revert: the old settings become a new version");
    demo.release(models.first, "back to plain words")?;
    let ran = demo.apply().await?;
    demo.claim_success("the apply succeeds", &ran)?;

    for address in [VERSION, ENDPOINT] {
        show_command(&format!("terraform state show {address}"));
        let shown = demo.terraform.run(&["state", "show", address], Show::Nothing).await?;
        let wanted = ["number", "digest", "comment", "version", "live_version", "previous_version"];
        let attribute =
            |text: &&str| text.split('=').next().is_some_and(|name| wanted.contains(&name.trim()));
        shown.stdout.lines().filter(attribute).for_each(line);
    }
    let (version, endpoint) =
        (demo.terraform.resource(VERSION).await?, demo.terraform.resource(ENDPOINT).await?);
    let numbers = (
        number(&version, "number"),
        number(&endpoint, "live_version"),
        number(&endpoint, "previous_version"),
    );
    story.claim("it is v4, v4 is live, and v3 was before", numbers == (Some(4), Some(4), Some(3)), || {
        format!("{version:#}\n{endpoint:#}")
    })?;
    let first = first_digest(demo).await?;
    let digest = version.get("digest").and_then(Value::as_str);
    story.claim("v4 and v0 have the same digest", digest == Some(first.as_str()), || {
        format!("v0 {first}, v4 {digest:?}")
    })?;
    demo.claim_answers(url, "plain", 4).await?;
    demo.claim_nothing_to_do().await
}

/// Reads the history, and has every decision of every rollout made again from its journal.
pub async fn to_the_journals(demo: &Demo<'_>) -> Result<(), Failure> {
    demo.story.heading("Look back: the ledger tells what happened, and proves it");
    let history = sluice(demo, &["history", "chat"]).await?;
    demo.story.claim(
        "the history has all versions, v0 to v4",
        history.status.success() && has_all(&history),
        || said(&history),
    )?;
    for revision in 1..=ROLLOUTS {
        let verified = sluice(demo, &["verify", "chat", &format!("r{revision}")]).await?;
        let claim = format!("the journal of rollout r{revision} is whole, and every limit was kept");
        demo.story.claim(claim, verified.status.success(), || said(&verified))?;
    }
    Ok(())
}

/// Runs the command line on the demo's folder and shows its answer.
async fn sluice(demo: &Demo<'_>, arguments: &[&str]) -> Result<Output, Failure> {
    show_command(&format!("sluice {}", arguments.join(" ")));
    let mut command = Command::new(&demo.place.programs.provider);
    command.args(arguments).arg("--data-dir").arg(&demo.place.data_dir);
    command.arg("--ledger").arg(demo.ledger.url()).stdin(Stdio::null()).kill_on_drop(true);
    let ran = demo.stop.run_until_cancelled(command.output()).await.ok_or(Failure::Interrupted)?;
    let ran = ran.map_err(broken("run the command line"))?;
    String::from_utf8_lossy(&ran.stdout).lines().for_each(line);
    Ok(ran)
}

fn has_all(history: &Output) -> bool {
    let text = String::from_utf8_lossy(&history.stdout);
    (0..=4).all(|number| text.split_whitespace().any(|word| word == format!("v{number}")))
}

fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

/// The digest of v0, as the ledger keeps it.
async fn first_digest(demo: &Demo<'_>) -> Result<String, Failure> {
    use sluice::spec::{CloudName, VersionNumber};
    let found = demo.ledger.version(CloudName::Local, &demo.endpoint, VersionNumber(0)).await;
    let record = found.map_err(broken("read the ledger"))?;
    let record = record.ok_or_else(|| Failure::Broken("the ledger has no v0".to_owned()))?;
    Ok(record.digest.as_str().to_owned())
}
