//! A version that cannot start, and its repair.

use super::build::Models;
use super::{Demo, ENDPOINT, UnderLoad, VERSION, number, show_rollout};
use crate::story::{Failure, Story, line};
use crate::terraform::{Change, Show};

/// Tries to replace v1 by a damaged v2: the apply fails, v1 serves on, and the plan still wants v2.
pub async fn with_a_damaged_model(demo: &Demo<'_>, models: &Models, url: &str) -> Result<(), Failure> {
    let story = demo.story;
    story.heading("Apply a damaged model under load: the apply fails, the version before it serves on");
    demo.release(models.damaged, "damaged on the way")?;
    let planned = Change::of(&demo.plan("v2.tfplan", Show::Progress).await?, ENDPOINT)?;
    let failed = demo.under_load(url, "v2", &["apply", "v2.tfplan"]).await?;
    claim_told(story, &failed)?;
    failed.claim_unnoticed(story)?;
    let answered: Vec<&str> = failed.report.models.keys().map(String::as_str).collect();
    story.claim("model technical, version v1, answered everything", answered == ["technical"], || {
        failed.report.evidence()
    })?;
    demo.claim_answers(url, "technical", 1).await?;

    let state = demo.terraform.resource(ENDPOINT).await?;
    let versions = (number(&state, "version"), number(&state, "live_version"));
    story.claim("the state says version 1, live version 1", versions == (Some(1), Some(1)), || {
        state.to_string()
    })?;
    let again = Change::of(&demo.plan("again.tfplan", Show::Progress).await?, ENDPOINT)?;
    show_rollout(&again);
    let moves = |change: &Change| (number(&change.before, "version"), number(&change.after, "version"));
    let same = moves(&again) == moves(&planned) && again.rollout_plan() == planned.rollout_plan();
    story.claim("the next plan shows the same change, v1 to v2 (exit code 2)", same, || {
        format!("planned before: {:#}\nplanned now: {:#}", planned.after, again.after)
    })
}

/// Replaces the damaged model by a good one, which becomes v3.
pub async fn then_repair(demo: &Demo<'_>, models: &Models, url: &str) -> Result<(), Failure> {
    demo.story.heading("Repair it: a good model becomes the next version");
    demo.release(models.repaired, "repaired")?;
    let ran = demo.apply().await?;
    demo.claim_success("the apply succeeds", &ran)?;
    let version = demo.terraform.resource(VERSION).await?;
    let minted = number(&version, "number");
    demo.story.claim(
        "it is v3: the number of a failed version is not used again",
        minted == Some(3),
        || version.to_string(),
    )?;
    demo.claim_answers(url, "technical-2", 3).await?;
    demo.claim_nothing_to_do().await
}

/// The message names the cause and what serves.
fn claim_told(story: &Story, failed: &UnderLoad) -> Result<(), Failure> {
    let ran = &failed.ran;
    if let Some(code) = ran.code {
        line(format!("exit code {code}"));
    }
    story.claim("the apply fails", ran.code.is_some_and(|code| code != 0), || ran.evidence())?;
    story.claim(
        "the message names the cause: checksum mismatch",
        ran.complains_of("checksum mismatch"),
        || ran.evidence(),
    )?;
    let serves = ran.complains_of("v1 still serves with 4 ready replicas");
    story.claim("the message says what serves: v1 with 4 ready replicas", serves, || ran.evidence())
}
