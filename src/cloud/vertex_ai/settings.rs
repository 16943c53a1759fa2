//! How to reach Google Vertex AI.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::failure;
use crate::cloud::{CloudError, CloudErrorKind};
use crate::spec::TimeSpan;

/// Time between two looks at an update that runs.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
const MONITORING: &str = "https://monitoring.googleapis.com";

/// How to reach Google Vertex AI. Credentials come from the environment: `GOOGLE_OAUTH_ACCESS_TOKEN`,
/// `GOOGLE_CREDENTIALS`, or Google's application default credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VertexAiSettings {
    /// Project. By default `GOOGLE_PROJECT`, `GOOGLE_CLOUD_PROJECT`, `GCLOUD_PROJECT` or `CLOUDSDK_CORE_PROJECT`.
    pub project: Option<String>,
    /// Region, such as `us-central1`. By default `GOOGLE_REGION`, `GCLOUD_REGION` or `CLOUDSDK_COMPUTE_REGION`.
    pub region: Option<String>,
    /// Project that is charged for calls and whose quota counts. By default `GOOGLE_BILLING_PROJECT`, or that of the
    /// credentials.
    pub quota_project: Option<String>,
    /// E-mail of a service account to act as. By default `GOOGLE_IMPERSONATE_SERVICE_ACCOUNT`.
    pub impersonate_service_account: Option<String>,
    /// Address of the service, instead of its own: for private endpoints and for tests. By default
    /// `GOOGLE_VERTEX_AI_CUSTOM_ENDPOINT`.
    pub endpoint_url: Option<String>,
    /// Address of Cloud Monitoring, instead of its own.
    pub monitoring_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}

/// Where the calls go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub project: String,
    pub region: String,
    /// Address of the service, without a version of the API and without a slash at its end.
    pub base: String,
    pub monitoring: String,
    pub quota_project: Option<String>,
    pub impersonate: Option<String>,
    pub poll: Duration,
}

impl Place {
    /// From settings and the environment.
    pub(super) fn resolve(
        settings: VertexAiSettings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CloudError> {
        let first = |given: Option<String>, names: &[&str]| {
            given.or_else(|| names.iter().find_map(|name| variable(name)))
        };
        let project = first(
            settings.project,
            &["GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"],
        );
        let region = first(settings.region, &["GOOGLE_REGION", "GCLOUD_REGION", "CLOUDSDK_COMPUTE_REGION"]);
        let (Some(project), Some(region)) = (project, region) else {
            return Err(failure("connect", CloudErrorKind::Invalid).with_message(
                "project and region are needed: set vertex_ai = { project = \"…\", region = \"…\" } in the provider's \
                 block, or GOOGLE_PROJECT and GOOGLE_REGION",
            ));
        };
        let base = first(settings.endpoint_url, &["GOOGLE_VERTEX_AI_CUSTOM_ENDPOINT"]);
        let base = base.unwrap_or_else(|| format!("https://{}aiplatform.googleapis.com", prefix(&region)));
        Ok(Self {
            base: without_version(&base.replace("{{region}}", &region)),
            monitoring: without_version(&settings.monitoring_url.unwrap_or_else(|| MONITORING.to_owned())),
            project,
            region,
            quota_project: first(
                settings.quota_project,
                &["GOOGLE_BILLING_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"],
            ),
            impersonate: first(settings.impersonate_service_account, &["GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"]),
            poll: settings.poll_interval.map_or(POLL_INTERVAL, TimeSpan::as_duration),
        })
    }

    /// The path of everything in this place.
    pub(super) fn parent(&self) -> String {
        format!("projects/{}/locations/{}", self.project, self.region)
    }
}

fn prefix(region: &str) -> String {
    if region == "global" { String::new() } else { format!("{region}-") }
}

/// Other tools want the version of the API in this address. Both are taken.
fn without_version(address: &str) -> String {
    let address = address.trim_end_matches('/');
    let without = address.strip_suffix("/v1").or_else(|| address.strip_suffix("/v1beta1"));
    without.unwrap_or(address).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(settings: VertexAiSettings, environment: &[(&str, &str)]) -> Result<Place, CloudError> {
        Place::resolve(settings, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn settings_go_before_the_environment() {
        let settings = VertexAiSettings { project: Some("mine".to_owned()), ..VertexAiSettings::default() };
        let environment = [("GOOGLE_PROJECT", "other"), ("GOOGLE_REGION", "europe-west4")];
        let place = resolve(settings, &environment).unwrap();
        assert_eq!(place.parent(), "projects/mine/locations/europe-west4");
        assert_eq!(place.base, "https://europe-west4-aiplatform.googleapis.com");
        assert_eq!(place.poll, POLL_INTERVAL);
    }

    #[test]
    fn an_address_may_name_the_version_of_the_api_as_other_tools_want_it() {
        let place = resolve(
            VertexAiSettings::default(),
            &[
                ("GOOGLE_CLOUD_PROJECT", "p"),
                ("GOOGLE_REGION", "r"),
                ("GOOGLE_VERTEX_AI_CUSTOM_ENDPOINT", "http://{{region}}.local:1/v1beta1/"),
            ],
        );
        assert_eq!(place.unwrap().base, "http://r.local:1");
    }

    #[test]
    fn without_a_region_there_is_no_place_to_call() {
        let error = resolve(VertexAiSettings::default(), &[("GOOGLE_PROJECT", "p")]).unwrap_err();
        assert!(error.chain().contains("GOOGLE_REGION"), "{}", error.chain());
    }
}
