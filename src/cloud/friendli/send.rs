//! What is sent: the request of a version to an endpoint that is there, or the endpoint with its first version.

use serde_json::Value;

use super::drive::key;
use super::judge::Sight;
use super::memory::{Memory, Note};
use super::types::{ArtifactRequest, Request, WholeRequest, Word};
use super::{FriendliCloud, artifact, convert, failed};
use crate::cloud::{CloudError, CloudErrorKind, Retry, Update};

impl FriendliCloud {
    /// Sends the request of a version.
    pub(super) async fn send(
        &self,
        update: &Update,
        sight: &Sight,
        memory: &mut Memory,
    ) -> Result<(), CloudError> {
        let (endpoint, key) = (&update.endpoint, key(update));
        let version = update.wanted().number;
        let request = request_of(update, memory)?;
        let before = sight.versions.keys().next_back().copied();
        let note = Note::Asked { key: key.clone(), version, before, at: self.clock.now() };
        self.note(endpoint, memory, note).await?;
        let answer = match request {
            Request::Whole(whole) => self.send_whole(update, sight, &whole).await,
            Request::Artifact(artifact) => self.send_artifact(update, sight, memory, &artifact).await,
        };
        match answer {
            Ok(()) => self.note(endpoint, memory, Note::Answered { key }).await,
            Err(error) if error.retry == Retry::Never => {
                self.note(endpoint, memory, Note::Refused { key }).await?;
                let status = self.client.status(&sight.id).await?;
                let moving = status.filter(|status| status.word() == Word::Moving);
                Err(moving
                    .map_or(error, |status| busy(format!("update `{}`", sight.id), &status.described())))
            }
            // Whether it arrived shows in the versions.
            Err(error) => Err(error),
        }
    }

    async fn send_whole(
        &self,
        update: &Update,
        sight: &Sight,
        whole: &WholeRequest,
    ) -> Result<(), CloudError> {
        let mut body = json(whole)?;
        set(&mut body, "newVersionComment", comment(update));
        self.client.update(&sight.id, &body).await
    }

    async fn send_artifact(
        &self,
        update: &Update,
        sight: &Sight,
        memory: &Memory,
        artifact: &ArtifactRequest,
    ) -> Result<(), CloudError> {
        let (endpoint, version) = (&update.endpoint, update.wanted().number);
        let operation = format!("give {version} to endpoint `{endpoint}`");
        let Some(key) = &memory.artifact_key else {
            let message = "it was not made from an artifact, and the service would make a second endpoint";
            return Err(failed(operation, CloudErrorKind::Invalid).with_message(message));
        };
        let given = self.client.give_artifact(&self.keyed(artifact, key)?).await?;
        if given.endpoint_id == sight.id {
            return Ok(());
        }
        let message = artifact::strayed(&sight.id, &given.endpoint_id, version);
        Err(failed(operation, CloudErrorKind::Invalid).with_message(message))
    }

    /// The body of the call for artifacts.
    fn keyed(&self, artifact: &ArtifactRequest, key: &str) -> Result<Value, CloudError> {
        let mut body = json(artifact)?;
        set(&mut body, "projectId", self.project.clone());
        set(&mut body, "idempotencyKey", key.to_owned());
        Ok(body)
    }

    /// Makes the endpoint. Its id is not always told, so it is looked for by its name; one that was there before is not
    /// it.
    pub(super) async fn create(&self, update: &Update, mut memory: Memory) -> Result<(), CloudError> {
        let (endpoint, version) = (&update.endpoint, update.wanted().number);
        let request = request_of(update, &memory)?;
        let is_repeated = memory.creating.is_some();
        let known = match &memory.creating {
            // One of those that came since may be ours.
            Some(creating) => creating.known.clone(),
            None => self.client.list(&self.project).await?.into_keys().collect(),
        };
        let artifact_key = matches!(request, Request::Artifact(_)).then(|| artifact::key(endpoint, &memory));
        let note = Note::Creating {
            key: key(update),
            version,
            known,
            at: self.clock.now(),
            artifact_key: artifact_key.clone(),
        };
        self.note(endpoint, &mut memory, note).await?;
        let answer = match &request {
            Request::Whole(whole) => self.create_whole(update, whole).await,
            Request::Artifact(artifact) => {
                let body = self.keyed(artifact, &artifact_key.unwrap_or_default())?;
                self.client.give_artifact(&body).await.map(|given| Some(given.endpoint_id))
            }
        };
        match answer {
            Ok(Some(id)) => return self.note_created(update, id, is_repeated, &mut memory).await,
            Ok(None) => {}
            // The first call may have made it, and it cannot take a second one yet.
            Err(error) if error.retry == Retry::Never && !(is_repeated && memory.artifact_key.is_some()) => {
                return Err(error);
            }
            Err(error) => {
                return if self.find_made(endpoint, &mut memory).await? {
                    Ok(())
                } else {
                    Err(retried(error))
                };
            }
        }
        if self.find_made(endpoint, &mut memory).await? {
            return Ok(());
        }
        let error = failed(format!("create endpoint `{endpoint}`"), CloudErrorKind::Internal);
        Err(retried(error.with_message("it was accepted and cannot be found yet")))
    }

    async fn create_whole(
        &self,
        update: &Update,
        whole: &WholeRequest,
    ) -> Result<Option<String>, CloudError> {
        let mut body = json(whole)?;
        set(&mut body, "projectId", self.project.clone());
        set(&mut body, "initialVersionComment", comment(update));
        let created = self.client.create(&body).await?;
        Ok(created.id.or(created.endpoint_id))
    }

    /// Notes the endpoint that was just made. A call that came twice has rolled out the same version twice.
    async fn note_created(
        &self,
        update: &Update,
        id: String,
        is_repeated: bool,
        memory: &mut Memory,
    ) -> Result<(), CloudError> {
        let (endpoint, version) = (&update.endpoint, update.wanted().number);
        let mut natives = vec![0];
        if is_repeated {
            natives.extend(self.client.versions(&id).await?.into_keys().filter(|native| *native > 0));
        }
        for native in natives {
            let minted = Note::Minted { key: key(update), native, version, at: self.clock.now() };
            self.note(endpoint, memory, minted).await?;
        }
        self.note(endpoint, memory, Note::Found { id }).await
    }
}

/// The request of the wanted version as it was noted when it was published.
fn request_of(update: &Update, memory: &Memory) -> Result<Request, CloudError> {
    let wanted = update.wanted();
    let noted = memory.request(wanted.number).cloned();
    let request = noted.or_else(|| convert::request(&update.endpoint, &wanted.spec));
    let operation = format!("bring {} to endpoint `{}`", wanted.number, update.endpoint);
    request.ok_or_else(|| {
        let message = "somebody else made it, and the service does not tell its model";
        failed(operation, CloudErrorKind::Artifact).with_message(message)
    })
}

/// The note that goes with a version into the vendor's history.
fn comment(update: &Update) -> String {
    convert::comment(update.wanted().number, update.revision, update.rolling_back)
}

fn json(request: &impl serde::Serialize) -> Result<Value, CloudError> {
    serde_json::to_value(request)
        .map_err(|error| failed("write a request", CloudErrorKind::Internal).with_source(error))
}

pub(super) fn busy(operation: String, why: &str) -> CloudError {
    retried(failed(operation, CloudErrorKind::Conflict).with_message(why))
}

fn retried(error: CloudError) -> CloudError {
    let retry = if error.retry == Retry::Never { Retry::Backoff } else { error.retry };
    CloudError { retry, ..error }
}

fn set(body: &mut Value, name: &str, value: String) {
    if let Some(object) = body.as_object_mut() {
        object.insert(name.to_owned(), Value::from(value));
    }
}
