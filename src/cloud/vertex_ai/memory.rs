//! What the adapter has to remember because the service does not: notes in the ledger, oldest first.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::types::{DeployedModel, Metric, Resources};
use crate::cloud::{CloudError, Notes};
use crate::spec::{EndpointName, RolloutRevision, VersionNumber};

/// One thing to remember of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub(super) enum Note {
    /// The model that a version serves: `projects/…/models/NAME@7`.
    Published { version: VersionNumber, model: String },
    /// A deployed model that somebody else made serves this version.
    Adopted { version: VersionNumber, deployed_model: String },
    /// A deployed model serves this version once it has this scaling.
    Scaled { version: VersionNumber, deployed_model: String, scaling: ScalingNote },
    /// A deployment is about to be asked for, on top of another one if it rolls. These operations were there before.
    Asking {
        revision: RolloutRevision,
        back: bool,
        deployed_model: String,
        previous: Option<String>,
        seen: Vec<String>,
    },
    /// A deployment was accepted, under this operation.
    Asked { revision: RolloutRevision, back: bool, operation: String },
}

/// How many replicas, and what their number follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ScalingNote {
    pub min: u32,
    pub max: u32,
    pub required: u32,
    pub metrics: Vec<(String, u32)>,
}

impl From<&Resources> for ScalingNote {
    fn from(resources: &Resources) -> Self {
        let metric = |metric: &Metric| (metric.metric_name.clone(), metric.target);
        Self {
            min: resources.min_replica_count,
            max: resources.max_replica_count.max(resources.min_replica_count),
            required: match resources.required_replica_count {
                // What is not said is all of them.
                required if required == resources.min_replica_count => 0,
                required => required,
            },
            metrics: resources.autoscaling_metric_specs.iter().map(metric).collect(),
        }
    }
}

/// The notes of one endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    notes: Vec<Note>,
}

/// What is known of a deployment that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub deployed_model: String,
    /// What it goes on top of, if it rolls.
    pub previous: Option<String>,
    /// Operations that were there before.
    pub seen: Vec<String>,
    /// Its own, once it was accepted.
    pub operation: Option<String>,
}

impl Memory {
    /// Reads all notes. What another version of this program noted and this one does not know is left alone.
    pub(super) async fn read(notes: &Arc<dyn Notes>, endpoint: &EndpointName) -> Result<Self, CloudError> {
        let all = notes.all(endpoint).await?;
        Ok(Self { notes: all.into_iter().filter_map(|note| serde_json::from_value(note).ok()).collect() })
    }

    /// Adds a note.
    pub(super) async fn note(
        notes: &Arc<dyn Notes>,
        endpoint: &EndpointName,
        note: &Note,
    ) -> Result<(), CloudError> {
        let json = serde_json::to_value(note).map_err(|error| {
            super::failure("take a note", crate::cloud::CloudErrorKind::Internal).with_source(error)
        })?;
        notes.append(endpoint, json).await
    }

    /// The model that a version serves.
    pub(super) fn model_of(&self, number: VersionNumber) -> Option<&str> {
        self.newest(|note| match note {
            Note::Published { version, model } if *version == number => Some(model.as_str()),
            _ => None,
        })
    }

    /// The version that a deployed model serves, where its name does not say so.
    pub(super) fn version_of(&self, deployed: &DeployedModel) -> Option<VersionNumber> {
        let now = deployed.dedicated_resources.as_ref().map(ScalingNote::from);
        self.newest(|note| match note {
            Note::Scaled { version, deployed_model, scaling } if *deployed_model == deployed.id => {
                (now.as_ref() == Some(scaling)).then_some(*version)
            }
            Note::Adopted { version, deployed_model } if *deployed_model == deployed.id => Some(*version),
            _ => None,
        })
    }

    /// The newest deployment that was asked for in this direction of a rollout.
    pub(super) fn request(&self, of: RolloutRevision, way_back: bool) -> Option<Request> {
        let mut found: Option<Request> = None;
        for note in &self.notes {
            match note {
                Note::Asking { revision, back, deployed_model, previous, seen }
                    if (*revision, *back) == (of, way_back) =>
                {
                    found = Some(Request {
                        deployed_model: deployed_model.clone(),
                        previous: previous.clone(),
                        seen: seen.clone(),
                        operation: None,
                    });
                }
                Note::Asked { revision, back, operation } if (*revision, *back) == (of, way_back) => {
                    if let Some(found) = &mut found {
                        found.operation = Some(operation.clone());
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// How many deployments were accepted in this direction of a rollout.
    pub(super) fn accepted(&self, of: RolloutRevision, way_back: bool) -> usize {
        let is_one = |note: &&Note| match note {
            Note::Asked { revision, back, .. } => (*revision, *back) == (of, way_back),
            _ => false,
        };
        self.notes.iter().filter(is_one).count()
    }

    fn newest<'a, T>(&'a self, pick: impl Fn(&'a Note) -> Option<T>) -> Option<T> {
        self.notes.iter().rev().find_map(pick)
    }
}
