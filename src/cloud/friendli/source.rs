//! Where models come from, in the words of `model.source`.

/// The scheme of a version that somebody else made, and whose model the service does not tell.
const FOREIGN: &str = "friendli://versions/";

/// Where a model comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source<'a> {
    HuggingFace {
        repo: &'a str,
        revision: &'a str,
    },
    Uploaded(&'a str),
    /// A version of an artifact of Weights & Biases: `org/registry/name:v0`.
    Artifact(&'a str),
    /// What serves already as this version of the service, made by somebody else.
    Foreign(u32),
}

impl<'a> Source<'a> {
    /// Reads `model.source`; why it cannot be read, otherwise.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let found = if let Some(name) = text.strip_prefix("hf://") {
            hugging_face(name)
        } else if let Some(name) = text.strip_prefix("wandb://") {
            artifact(name)
        } else if let Some(id) = text.strip_prefix("uploaded://") {
            (!id.is_empty()).then_some(Self::Uploaded(id))
        } else {
            text.strip_prefix(FOREIGN).and_then(|number| number.parse().ok()).map(Self::Foreign)
        };
        found.ok_or_else(|| {
            let text: String = text.chars().take(200).collect();
            format!(
                "`{text}` is not understood. Use hf://OWNER/NAME@REVISION for a model on Hugging Face, uploaded://ID for \
                 one that was uploaded, or wandb://ORGANISATION/REGISTRY/NAME:v0 for a version of an artifact."
            )
        })
    }

    /// Stands for the model of a version that somebody else made.
    pub(super) fn foreign(native: u32) -> String {
        format!("{FOREIGN}{native}")
    }
}

fn hugging_face(name: &str) -> Option<Source<'_>> {
    let (repo, revision) = name.split_once('@').unwrap_or((name, "main"));
    let (owner, own) = repo.split_once('/')?;
    let revised = !revision.is_empty() && !revision.contains(|c: char| c.is_whitespace() || c.is_control());
    (is_name(owner) && is_name(own) && revised).then_some(Source::HuggingFace { repo, revision })
}

/// An alias such as `latest` moves, and a version does not: only numbers are taken.
fn artifact(name: &str) -> Option<Source<'_>> {
    let (path, version) = name.split_once(':')?;
    let is_number = version.strip_prefix('v').is_some_and(|number| {
        !number.is_empty() && number.len() <= 9 && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let parts: Vec<&str> = path.split('/').collect();
    (is_number && parts.len() == 3 && parts.into_iter().all(is_name)).then_some(Source::Artifact(name))
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_model_is_read() {
        for (text, source) in [
            ("hf://meta/llama", Source::HuggingFace { repo: "meta/llama", revision: "main" }),
            ("hf://meta/llama@abc", Source::HuggingFace { repo: "meta/llama", revision: "abc" }),
            ("uploaded://mdl", Source::Uploaded("mdl")),
            ("wandb://org/registry/chat:v0", Source::Artifact("org/registry/chat:v0")),
            ("friendli://versions/7", Source::Foreign(7)),
        ] {
            assert_eq!(Source::read(text), Ok(source));
        }
        assert_eq!(Source::read(&Source::foreign(7)), Ok(Source::Foreign(7)));
        for wrong in [
            "hf://llama",
            "hf://a/b@",
            "hf://a/b/c",
            "uploaded://",
            "friendli://versions/x",
            "llama",
            "wandb://a/b/c",
            "wandb://a/b/c:latest",
            "wandb://a/b/c:v",
            "wandb://a/b:v1",
            "wandb://a/b/c/d:v1",
            "wandb://a//c:v1",
        ] {
            assert!(Source::read(wrong).is_err(), "{wrong}");
        }
    }
}
