//! Which operation a method and a path stand for.

use super::server::decode;

/// An operation and what it is about.
#[derive(Debug, Clone)]
pub struct Operation {
    pub name: &'static str,
    /// Parameters that its query may have.
    pub parameters: &'static [&'static str],
    /// The service or group, and the replica, in the path.
    pub subject: String,
    pub replica: String,
}

const PAGES: &[&str] = &["PageNumber", "PageSize"];
const LIST: &[&str] =
    &["ServiceName", "Filter", "GroupName", "WorkspaceId", "Label", "PageNumber", "PageSize"];

impl Operation {
    pub fn of(method: &str, path: &str) -> Option<Self> {
        let parts: Vec<String> = path.split('/').map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let ["", "api", "v2", kind, rest @ ..] = parts.as_slice() else { return None };
        let found = |name, parameters, subject: &str, replica: &str| {
            Some(Self { name, parameters, subject: subject.into(), replica: replica.into() })
        };
        match (*kind, method, rest) {
            ("services", "POST", []) => found("CreateService", &["Develop", "Labels", "WorkspaceId"], "", ""),
            ("services", "GET", []) => found("ListServices", LIST, "", ""),
            ("groups", "GET", []) => found("ListGroups", &["Filter", "PageNumber", "PageSize"], "", ""),
            (_, _, [region, ..]) if *region != super::REGION => None,
            ("groups", "GET", [_, group]) => found("DescribeGroup", &[], group, ""),
            ("groups", "PUT", [_, group]) => found("UpdateGroup", &[], group, ""),
            ("services", method, [_, service, rest @ ..]) => {
                let (name, parameters) = of_service(method, rest)?;
                let replica = rest.get(1).copied().unwrap_or_default();
                found(name, parameters, service, replica)
            }
            _ => None,
        }
    }
}

fn of_service(method: &str, rest: &[&str]) -> Option<(&'static str, &'static [&'static str])> {
    Some(match (method, rest) {
        ("GET", []) => ("DescribeService", &[]),
        ("PUT", []) => ("UpdateService", &["UpdateType"]),
        ("DELETE", []) => ("DeleteService", &[]),
        ("PUT", ["version"]) => ("UpdateServiceVersion", &[]),
        ("GET", ["versions"]) => ("ListServiceVersions", PAGES),
        ("GET", ["instances"]) => ("ListServiceInstances", PAGES),
        ("GET", ["instances", _, "containers"]) => ("ListServiceContainers", &[]),
        ("PUT", ["start"]) => ("StartService", &[]),
        ("PUT", ["stop"]) => ("StopService", &[]),
        ("PUT", ["scale"]) => ("ScaleService", &[]),
        ("PUT", ["release"]) => ("ReleaseService", &[]),
        ("POST", ["autoscaler"]) => ("CreateServiceAutoScaler", &[]),
        ("PUT", ["autoscaler"]) => ("UpdateServiceAutoScaler", &[]),
        ("GET", ["autoscaler"]) => ("DescribeServiceAutoScaler", &[]),
        ("DELETE", ["autoscaler"]) => ("DeleteServiceAutoScaler", &[]),
        ("PUT", ["label"]) => ("UpdateServiceLabel", &[]),
        ("DELETE", ["label"]) => ("DeleteServiceLabel", &["Keys"]),
        ("PUT", ["lock"]) => ("UpdateServiceSafetyLock", &[]),
        ("GET", ["diagnosis"]) => ("DescribeServiceDiagnosis", &[]),
        ("POST", ["rollout"]) => ("CreateServiceRollout", &[]),
        ("PUT", ["rollout"]) => ("UpdateServiceRollout", &[]),
        ("GET", ["rollout"]) => ("DescribeServiceRollout", &[]),
        ("DELETE", ["rollout"]) => ("DeleteServiceRollout", &[]),
        _ => return None,
    })
}
