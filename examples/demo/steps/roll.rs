//! A rolling update that no client notices.

use super::build::Models;
use super::{Demo, ENDPOINT, VERSION, number, show_rollout};
use crate::story::Failure;
use crate::terraform::{Change, Show};

/// Replaces v0 by v1, as the plan says, under load.
pub async fn to_the_second_model(demo: &Demo<'_>, models: &Models, url: &str) -> Result<(), Failure> {
    let story = demo.story;
    story.heading("Plan the next version: the plan tells its number and every step of the rollout");
    demo.release(models.second, "technical words")?;
    let plan = demo.plan("v1.tfplan", Show::Diff).await?;
    let (version, endpoint) = (Change::of(&plan, VERSION)?, Change::of(&plan, ENDPOINT)?);
    let steps = endpoint.rollout_plan();
    show_rollout(&endpoint);
    let planned = (
        number(&version.after, "number"),
        number(&endpoint.before, "version"),
        number(&endpoint.after, "version"),
    );
    story.claim(
        "the plan mints v1 and moves the endpoint from v0 to v1",
        planned == (Some(1), Some(0), Some(1)),
        || format!("number, version before, version after: {planned:?}"),
    )?;
    let count = |text: &str| steps.iter().filter(|step| step.contains(text)).count();
    let counted = (count("start 1 of v1"), count("stop 1 of v0"));
    story.claim("the plan lists 4 starts of v1 and 4 stops of v0", counted == (4, 4), || steps.join("\n"))?;

    story.heading("Apply that plan under load: max_surge = 1, max_unavailable = 0");
    let rolled = demo.under_load(url, "v1", &["apply", "v1.tfplan"]).await?;
    demo.claim_success("the apply succeeds", &rolled.ran)?;
    rolled.claim_unnoticed(story)?;
    let answered: Vec<&str> = rolled.report.models.keys().map(String::as_str).collect();
    story.claim("both models answered while the rollout ran", answered == ["plain", "technical"], || {
        rolled.report.evidence()
    })?;
    demo.claim_answers(url, "technical", 1).await?;
    demo.claim_nothing_to_do().await
}
