//! Tags: what versions and endpoints show of themselves in the service, and the endpoint's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::SagemakerCloud;
use super::memory::Note;
use super::settings::Service;
use super::types::{AddTags, DeleteTags, Nothing, Tag};
use crate::cloud::CloudError;
use crate::spec::{EndpointName, EndpointSpec, Origin, Problem, VersionNumber};

/// Most characters of a key.
const KEY_MAX: usize = 128;
/// Most characters of a value.
const VALUE_MAX: usize = 256;
/// Most tags of an endpoint besides the one that is set here.
const TAGS_MAX: usize = 49;
/// What keys of ours begin with.
const OURS: &str = "sluice:";
/// Stands at the end of a value that was cut.
const CUT: &str = "...";
/// Signs that the service takes in keys and values besides letters, digits and spaces.
const SIGNS: &str = "_.:/=+-@";
/// Letters beyond ASCII that the service surely takes for letters: Latin, Greek, Cyrillic, Japanese, Chinese, Korean.
const LETTERS: [std::ops::RangeInclusive<char>; 6] =
    ['À'..='ɏ', 'Ͱ'..='ԯ', 'ぁ'..='ゖ', 'ァ'..='ヺ', '一'..='\u{9fff}', '가'..='힣'];

/// The tags of what is made for a version.
pub(super) fn tags(endpoint: &EndpointName, number: VersionNumber, origin: Option<&Origin>) -> Vec<Tag> {
    let mut pairs = vec![("endpoint", endpoint.to_string()), ("version", number.0.to_string())];
    if let Some(origin) = origin {
        pairs.push(("digest", value(&origin.digest)));
        pairs.push(("creator", value(&origin.created_by)));
        pairs.extend(origin.comment.as_deref().map(|comment| ("comment", value(comment))));
    }
    pairs.into_iter().map(|(key, value)| Tag { key: format!("{OURS}{key}"), value }).collect()
}

/// The tags of an endpoint: whose it is, and those that its settings give it.
pub(super) fn of_endpoint(endpoint: &EndpointName, given: &BTreeMap<String, String>) -> Vec<Tag> {
    let own = Tag { key: format!("{OURS}endpoint"), value: endpoint.to_string() };
    let given = given.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
    std::iter::once(own).chain(given).collect()
}

/// A text as the service takes it. Bytes of what it does not take are written as in a mail (`=21` for an exclamation
/// mark), so that nothing is lost but what is too long.
fn value(text: &str) -> String {
    let mut written = String::new();
    // As far as it may go when more follows, and a mark has to fit.
    let mut fitting = 0;
    for sign in text.chars() {
        if takes(sign) && sign != '=' {
            written.push(sign);
        } else {
            for byte in sign.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(written, "={byte:02X}");
            }
        }
        match written.chars().count() {
            length if length <= VALUE_MAX - CUT.len() => fitting = written.len(),
            length if length <= VALUE_MAX => {}
            _ => {
                written.truncate(fitting);
                written.push_str(CUT);
                break;
            }
        }
    }
    written
}

fn takes(sign: char) -> bool {
    sign.is_ascii_alphanumeric()
        || sign == ' '
        || SIGNS.contains(sign)
        || (sign.is_alphanumeric() && LETTERS.iter().any(|letters| letters.contains(&sign)))
}

/// The tags that the settings of an endpoint give it: its labels, and what is for this service alone.
fn given(endpoint: &EndpointSpec) -> BTreeMap<String, String> {
    let own = endpoint.sagemaker.iter().flat_map(|own| own.tags.clone());
    endpoint.labels.clone().into_iter().chain(own).collect()
}

/// What of an endpoint's tags the service would refuse.
pub(super) fn check_endpoint(endpoint: &EndpointSpec) -> Vec<Problem> {
    let own = endpoint.sagemaker.as_ref().map(|own| ("sagemaker.tags", &own.tags));
    let mut problems = Vec::new();
    for (path, tags) in own.into_iter().chain([("labels", &endpoint.labels)]) {
        problems.extend(tags.iter().filter_map(|(key, value)| check_tag(path, key, value)));
    }
    let count = given(endpoint).len();
    if count > TAGS_MAX {
        let detail = format!("{count} given, and SageMaker takes {TAGS_MAX} besides that of Sluice.");
        problems.push(Problem::at("sagemaker.tags", "Too many tags", detail).related_to("labels"));
    }
    problems
}

fn check_tag(path: &str, key: &str, value: &str) -> Option<Problem> {
    let is_fine = |text: &str, longest: usize| {
        text.chars().count() <= longest
            && text.chars().all(|sign| sign.is_alphanumeric() || is_space(sign) || SIGNS.contains(sign))
    };
    let reserved = [OURS, "aws:"].into_iter().find(|prefix| key.to_lowercase().starts_with(prefix));
    let wrong = if let Some(prefix) = reserved {
        format!("keys that begin with `{prefix}` are not for you")
    } else if key.is_empty() || !is_fine(key, KEY_MAX) {
        format!("a key has 1 to {KEY_MAX} letters, digits, spaces and {SIGNS}")
    } else if !is_fine(value, VALUE_MAX) {
        format!("a value has up to {VALUE_MAX} letters, digits, spaces and {SIGNS}")
    } else {
        return None;
    };
    Some(Problem::at(path, "Unusable tag", format!("`{key}`: {wrong}.")))
}

/// A space as Unicode sees it: line breaks and tabulators are none.
fn is_space(sign: char) -> bool {
    sign.is_whitespace() && !sign.is_control()
}

impl SagemakerCloud {
    /// Gives an endpoint the tags of its settings and takes away those that they no longer have. Before there is an
    /// endpoint they are noted for its creation.
    pub(super) async fn tag(&self, endpoint: &EndpointSpec) -> Result<(), CloudError> {
        let name = &endpoint.name;
        let tags = given(endpoint);
        let before = self.memories.of(name).await?.tags;
        if let Some(found) = self.describe(name).await? {
            let resource_arn = found.endpoint_arn.as_str();
            let tag_keys: Vec<&str> =
                before.keys().filter(|key| !tags.contains_key(*key)).map(String::as_str).collect();
            let words = format!("tag endpoint `{name}`");
            if !tag_keys.is_empty() {
                let asked = DeleteTags { resource_arn, tag_keys };
                let _: Nothing = self.client.call(Service::Sagemaker, "DeleteTags", &words, &asked).await?;
            }
            if !tags.is_empty() {
                let tags = tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
                let asked = AddTags { resource_arn, tags: tags.collect() };
                let _: Nothing = self.client.call(Service::Sagemaker, "AddTags", &words, &asked).await?;
            }
        }
        if before != tags {
            self.memories.add(name, Note::Tags { tags }).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_tag_cannot_hold_is_encoded_and_what_is_too_long_is_cut() {
        for (text, expected) in [
            ("longer context", "longer context"),
            ("ops@build-7", "ops@build-7"),
            ("50% off!\nnow", "50=25 off=21=0Anow"),
            ("a=b", "a=3Db"),
            ("größer, 長い, 더 길게", "größer=2C 長い=2C 더 길게"),
            ("ⓐ क", "=E2=93=90 =E0=A4=95"),
            ("", ""),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        let whole = "x".repeat(256);
        assert_eq!(value(&whole), whole);
        let cut = value(&"é!".repeat(200));
        // No sign is cut in two: what is left of the last one would say something else.
        assert_eq!((cut.chars().count(), cut.ends_with("é=21é...")), (256, true), "{cut}");
        let cut = value(&"!".repeat(200));
        assert_eq!((cut.chars().count(), cut.ends_with("=21=21...")), (255, true), "{cut}");
    }

    #[test]
    fn a_version_without_a_comment_has_no_tag_for_it() {
        let endpoint = EndpointName::new("chat").unwrap();
        let keys = |comment: Option<&str>| -> Vec<String> {
            let origin = Origin {
                digest: "sha256:00".to_owned(),
                created_by: "me".to_owned(),
                comment: comment.map(str::to_owned),
            };
            tags(&endpoint, VersionNumber(1), Some(&origin)).into_iter().map(|tag| tag.key).collect()
        };
        let always = ["sluice:endpoint", "sluice:version", "sluice:digest", "sluice:creator"];
        assert_eq!(keys(None), always);
        assert_eq!(keys(Some("why")), [&always[..], &["sluice:comment"]].concat());
    }

    #[test]
    fn tags_that_the_service_would_refuse_are_refused_before() {
        let problems = |tags: serde_json::Value| {
            let spec = json!({ "name": "chat", "sagemaker": { "tags": tags } });
            let found = check_endpoint(&serde_json::from_value(spec).unwrap());
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems(json!({ "team": "search", "größe": "a b:c" })), [""; 0]);
        for (key, value, expected) in [
            ("sluice:endpoint", "other", "keys that begin with `sluice:`"),
            ("AWS:x", "y", "keys that begin with `aws:`"),
            ("", "y", "a key has 1 to 128"),
            ("team", "50%", "a value has up to 256"),
            ("team", "a\tb", "a value has up to 256"),
        ] {
            let found = problems(json!({ key: value }));
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
        let many: BTreeMap<String, &str> = (0..50).map(|index| (format!("k{index}"), "v")).collect();
        assert!(problems(json!(many))[0].contains("50 given"));
        let labelled = json!({ "name": "chat", "labels": { "a,b": "c" } });
        let found = check_endpoint(&serde_json::from_value(labelled).unwrap());
        assert!(found[0].to_string().starts_with("labels: "), "{found:?}");
    }
}
