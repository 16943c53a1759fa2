//! The files of the vendor's tools that hold keys or say where they are: `~/.aliyun/config.json` of the command line, and
//! `~/.alibabacloud/credentials.ini` of the libraries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::credentials::{Key, Role, Source, denied, is_true, key};
use super::settings::{EasSettings, variable};
use crate::cloud::CloudError;

/// Profiles that may name each other, one after another.
const CHAIN_MAX: usize = 8;

/// The source of keys that a profile names; nothing where there is no file.
pub(super) fn source(settings: &EasSettings) -> Result<Option<Source>, CloudError> {
    let named = settings.profile.clone().or_else(|| variable("ALIBABA_CLOUD_PROFILE"));
    let named = named.or_else(|| variable("ALICLOUD_PROFILE"));
    let of_command_line =
        if is_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED") { None } else { Profiles::read()? };
    if let Some(file) = of_command_line {
        let name = named.clone().unwrap_or_else(|| file.current.clone());
        if let Some(source) = file.source(&name, CHAIN_MAX)? {
            return Ok(Some(source));
        }
    }
    if let Some(sections) = read_sections()? {
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        if let Some(section) = sections.get(&name) {
            return of_section(&name, section).map(Some);
        }
    }
    named.map_or(Ok(None), |name| {
        Err(denied(format!(
            "neither ~/.aliyun/config.json nor the file of credentials has a profile `{name}`"
        )))
    })
}

#[derive(Deserialize)]
struct Profiles {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Clone, Deserialize)]
struct Profile {
    name: String,
    #[serde(default)]
    mode: String,
    access_key_id: Option<String>,
    access_key_secret: Option<String>,
    sts_token: Option<String>,
    ram_role_name: Option<String>,
    ram_role_arn: Option<String>,
    ram_session_name: Option<String>,
    expired_seconds: Option<u32>,
    #[serde(rename = "source_profile")]
    source: Option<String>,
    oidc_provider_arn: Option<String>,
    oidc_token_file: Option<PathBuf>,
}

impl Profiles {
    fn read() -> Result<Option<Self>, CloudError> {
        let Some(text) = at_home(".aliyun/config.json").and_then(|path| std::fs::read_to_string(path).ok())
        else {
            return Ok(None);
        };
        let file = serde_json::from_str(&text);
        file.map(Some).map_err(|_| denied("~/.aliyun/config.json is not a file of profiles"))
    }

    /// The source that a profile names, perhaps by another one.
    fn source(&self, name: &str, chain: usize) -> Result<Option<Source>, CloudError> {
        let Some(profile) = self.profiles.iter().find(|profile| profile.name == name) else {
            return Ok(None);
        };
        let Some(chain) = chain.checked_sub(1) else {
            return Err(denied(format!("the profile `{name}` leads to itself")));
        };
        let source = match profile.mode.as_str() {
            "AK" => Source::Key(profile.key(None)?),
            "StsToken" => Source::Key(profile.key(profile.sts_token.clone())?),
            "EcsRamRole" => Source::Machine(profile.ram_role_name.clone()),
            "RamRoleArn" => {
                let by = Box::new(Source::Key(profile.key(profile.sts_token.clone())?));
                Source::Assumed { by, role: profile.role()? }
            }
            "ChainableRamRoleArn" => {
                let of = profile.needed(profile.source.as_ref(), "source_profile")?;
                let missing = || denied(format!("the profile `{name}` names `{of}`, which does not exist"));
                let by = Box::new(self.source(&of, chain)?.ok_or_else(missing)?);
                Source::Assumed { by, role: profile.role()? }
            }
            "OIDC" => Source::Token {
                provider: profile.needed(profile.oidc_provider_arn.as_ref(), "oidc_provider_arn")?,
                file: profile.needed(profile.oidc_token_file.as_ref(), "oidc_token_file")?,
                role: profile.role()?,
            },
            mode => {
                return Err(denied(format!(
                    "the profile `{name}` is of mode `{mode}`, which is not supported: use AK, StsToken, RamRoleArn, \
                     ChainableRamRoleArn, OIDC or EcsRamRole"
                )));
            }
        };
        Ok(Some(source))
    }
}

impl Profile {
    fn key(&self, token: Option<String>) -> Result<Key, CloudError> {
        key(self.access_key_id.clone(), self.access_key_secret.clone(), token)?
            .ok_or_else(|| denied(format!("the profile `{}` holds no key", self.name)))
    }

    fn role(&self) -> Result<Role, CloudError> {
        Ok(Role {
            arn: self.needed(self.ram_role_arn.as_ref(), "ram_role_arn")?,
            session: self.ram_session_name.clone().filter(|name| !name.is_empty()),
            seconds: self.expired_seconds.filter(|seconds| *seconds > 0),
        })
    }

    fn needed<T: Clone>(&self, field: Option<&T>, name: &str) -> Result<T, CloudError> {
        field.cloned().ok_or_else(|| denied(format!("the profile `{}` has no {name}", self.name)))
    }
}

type Section = BTreeMap<String, String>;

fn read_sections() -> Result<Option<BTreeMap<String, Section>>, CloudError> {
    let named = variable("ALIBABA_CLOUD_CREDENTIALS_FILE").map(PathBuf::from);
    let usual = || at_home(".alibabacloud/credentials.ini").filter(|path| path.exists());
    let Some(path) = named.or_else(usual) else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        denied(format!("the file of credentials `{}` cannot be read", path.display())).with_source(error)
    })?;
    Ok(Some(sections(&text)))
}

fn sections(text: &str) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = Some(name.trim().to_owned());
            sections.entry(name.trim().to_owned()).or_default();
        } else if let Some((name, value)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
            && let Some(section) = current.as_ref().and_then(|name| sections.get_mut(name))
        {
            section.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    sections
}

fn of_section(name: &str, section: &Section) -> Result<Source, CloudError> {
    let field = |field: &str| section.get(field).filter(|value| !value.is_empty()).cloned();
    let needed = |wanted: &str| {
        field(wanted)
            .ok_or_else(|| denied(format!("the section `{name}` of the file of credentials has no {wanted}")))
    };
    let own_key =
        || Ok(Key { id: needed("access_key_id")?, secret: needed("access_key_secret")?, token: None });
    let role = || Ok(Role { arn: needed("role_arn")?, session: field("role_session_name"), seconds: None });
    Ok(match needed("type")?.as_str() {
        "access_key" => Source::Key(own_key()?),
        "ecs_ram_role" => Source::Machine(field("role_name")),
        "ram_role_arn" => Source::Assumed { by: Box::new(Source::Key(own_key()?)), role: role()? },
        "oidc_role_arn" => Source::Token {
            provider: needed("oidc_provider_arn")?,
            file: needed("oidc_token_file_path")?.into(),
            role: role()?,
        },
        other => {
            return Err(denied(format!(
                "the section `{name}` of the file of credentials is of type `{other}`, which is not supported: use \
                 access_key, ram_role_arn, oidc_role_arn or ecs_ram_role"
            )));
        }
    })
}

fn at_home(path: &str) -> Option<PathBuf> {
    variable("HOME").map(|home| PathBuf::from(home).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles(json: serde_json::Value) -> Profiles {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_mode_of_a_profile_is_read() {
        let file = profiles(serde_json::json!({ "current": "a", "profiles": [
            { "name": "a", "mode": "AK", "access_key_id": "id", "access_key_secret": "secret", "sts_token": "old" },
            { "name": "t", "mode": "StsToken", "access_key_id": "id", "access_key_secret": "secret", "sts_token": "t" },
            { "name": "m", "mode": "EcsRamRole", "ram_role_name": "r" },
            { "name": "c", "mode": "ChainableRamRoleArn", "source_profile": "a", "ram_role_arn": "arn" },
            { "name": "loop", "mode": "ChainableRamRoleArn", "source_profile": "loop", "ram_role_arn": "arn" },
            { "name": "o", "mode": "OIDC", "oidc_provider_arn": "p", "oidc_token_file": "/f", "ram_role_arn": "arn" },
            { "name": "x", "mode": "CloudSSO" },
            { "name": "empty", "mode": "AK" },
        ] }));
        let own = |token: Option<&str>| {
            Source::Key(Key { id: "id".into(), secret: "secret".into(), token: token.map(str::to_owned) })
        };
        let role = Role { arn: "arn".into(), session: None, seconds: None };
        for (name, source) in [
            ("a", own(None)),
            ("t", own(Some("t"))),
            ("m", Source::Machine(Some("r".into()))),
            ("c", Source::Assumed { by: Box::new(own(None)), role: role.clone() }),
            ("o", Source::Token { provider: "p".into(), file: "/f".into(), role }),
        ] {
            assert_eq!(file.source(name, CHAIN_MAX).unwrap(), Some(source), "{name}");
        }
        assert_eq!(file.source("nobody", CHAIN_MAX).unwrap(), None);
        for (name, why) in [("loop", "leads to itself"), ("x", "CloudSSO"), ("empty", "holds no key")] {
            let error = file.source(name, CHAIN_MAX).unwrap_err();
            assert!(error.chain().contains(why), "{}", error.chain());
        }
    }

    #[test]
    fn every_type_of_a_section_is_read() {
        let text = "# a comment\n[default]\ntype = access_key\naccess_key_id = id\naccess_key_secret = a=b\n; another\n\
                    [m]\ntype=ecs_ram_role\n[bad]\ntype = rsa_key_pair\n[r]\ntype = ram_role_arn\nrole_arn = arn\n";
        let sections = sections(text);
        let own = of_section("default", &sections["default"]).unwrap();
        assert_eq!(own, Source::Key(Key { id: "id".into(), secret: "a=b".into(), token: None }));
        assert_eq!(of_section("m", &sections["m"]).unwrap(), Source::Machine(None));
        assert!(of_section("bad", &sections["bad"]).unwrap_err().chain().contains("rsa_key_pair"));
        assert!(of_section("r", &sections["r"]).unwrap_err().chain().contains("access_key_id"));
    }
}
