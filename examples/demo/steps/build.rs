//! Models to serve, and the first version.

use std::process::Stdio;

use tokio::process::Command;

use super::Demo;
use crate::fleet::tell;
use crate::story::{Failure, broken, line, show_command};

/// Models by what the demo does with them. Paths as in the configuration; names as the models answer.
pub struct Models {
    pub first: &'static str,
    pub second: &'static str,
    pub damaged: &'static str,
    pub repaired: &'static str,
}

const MODELS: Models = Models {
    first: "models/plain.bin",
    second: "models/technical.bin",
    damaged: "models/damaged.bin",
    repaired: "models/technical-2.bin",
};

/// Trains three models, and damages a copy of one of them.
pub async fn train_models(demo: &Demo<'_>) -> Result<Models, Failure> {
    demo.story
        .heading("Train models to serve: small ones that count words, in place of large ones that need GPUs");
    train(demo, "models/plain.txt", MODELS.first, "plain", "3").await?;
    train(demo, "models/technical.txt", MODELS.second, "technical", "3").await?;
    train(demo, "models/technical.txt", MODELS.repaired, "technical-2", "2").await?;
    let path = |model: &str| demo.place.configuration.join(model);
    let mut bytes = std::fs::read(path(MODELS.second)).map_err(broken("read a model"))?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x01;
    }
    std::fs::write(path(MODELS.damaged), bytes).map_err(broken("write a model"))?;
    line(format!("{} is {} with one bit flipped", MODELS.damaged, MODELS.second));
    Ok(MODELS)
}

/// Applies v0 and returns the address of the endpoint.
pub async fn first_version(demo: &Demo<'_>, models: &Models) -> Result<String, Failure> {
    demo.story.heading("Apply the first version: 4 replicas of model plain behind one address");
    demo.release(models.first, "first version")?;
    let ran = demo.apply().await?;
    demo.claim_success("the apply succeeds", &ran)?;
    let url = demo.terraform.output("url").await?;
    line(format!("url = {url}"));
    let status = demo.cloud.endpoint(&demo.endpoint).await.map_err(broken("observe the endpoint"))?;
    let fleet = status.map(|status| status.fleet);
    let shown = || fleet.as_ref().map_or_else(|| "no endpoint".to_owned(), tell);
    demo.story.claim(format!("the fleet is: {}", shown()), shown() == "v0 4 ready", shown)?;
    demo.claim_answers(&url, "plain", 0).await?;
    demo.claim_nothing_to_do().await?;
    Ok(url)
}

async fn train(demo: &Demo<'_>, text: &str, model: &str, name: &str, order: &str) -> Result<(), Failure> {
    let arguments = ["train", "--text", text, "--output", model, "--name", name, "--order", order];
    show_command(&format!("model-server {}", arguments.join(" ")));
    let mut command = Command::new(&demo.place.programs.model_server);
    command.args(arguments).current_dir(&demo.place.configuration).stdin(Stdio::null()).kill_on_drop(true);
    let training = command.output();
    let ran = demo.stop.run_until_cancelled(training).await.ok_or(Failure::Interrupted)?;
    let ran = ran.map_err(broken("run model-server"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(Failure::Broken(format!("failed to train {model}: {}", String::from_utf8_lossy(&ran.stderr))))
}
