//! Where an endpoint is: its id, which a create does not tell, and what the service shows of it.

use std::time::Duration;

use super::client::Client;
use super::judge::Sight;
use super::memory::{Memory, Note};
use super::types::Word;
use super::{FriendliCloud, failed};
use crate::cloud::{CloudError, CloudErrorKind, ObservedEndpoint, Retry};
use crate::spec::{EndpointName, FriendliProbe};

/// Looks for an endpoint that was just made, before the next try.
const FIND_TRIES: u32 = 5;
/// Looks for one that was just deleted.
const DELETE_TRIES: u32 = 120;
/// Longest pause between two such looks.
const PAUSE: Duration = Duration::from_secs(2);

impl FriendliCloud {
    /// Everything that was noted about an endpoint.
    pub(super) async fn recall(&self, endpoint: &EndpointName) -> Result<Memory, CloudError> {
        Ok(Memory::of(self.notes.all(endpoint).await?))
    }

    /// Notes something, for now and for later.
    pub(super) async fn note(
        &self,
        endpoint: &EndpointName,
        memory: &mut Memory,
        note: Note,
    ) -> Result<(), CloudError> {
        let json = serde_json::to_value(&note)
            .map_err(|error| failed("take a note", CloudErrorKind::Internal).with_source(error))?;
        self.notes.append(endpoint, json).await?;
        memory.take(note);
        Ok(())
    }

    /// What the service shows of an endpoint, and what is to be noted after it, noted in memory alone. Nothing if there
    /// is no such endpoint.
    pub(super) async fn sight(
        &self,
        endpoint: &EndpointName,
        memory: &Memory,
    ) -> Result<(Option<Sight>, Memory), CloudError> {
        let mut memory = memory.clone();
        let sight = self.sight_and_notes(endpoint, &memory).await?;
        let Some((sight, notes)) = sight else { return Ok((None, memory)) };
        for note in notes {
            memory.take(note);
        }
        Ok((Some(sight), memory))
    }

    /// Like [`FriendliCloud::sight`], and notes for good what follows.
    pub(super) async fn look_up(
        &self,
        endpoint: &EndpointName,
        memory: &mut Memory,
    ) -> Result<Option<Sight>, CloudError> {
        let Some((sight, notes)) = self.sight_and_notes(endpoint, memory).await? else {
            if let Some(id) = memory.id.clone() {
                self.note(endpoint, memory, Note::Gone { id }).await?;
            }
            return Ok(None);
        };
        for note in notes {
            self.note(endpoint, memory, note).await?;
        }
        Ok(Some(sight))
    }

    pub(super) async fn sight_and_notes(
        &self,
        endpoint: &EndpointName,
        memory: &Memory,
    ) -> Result<Option<(Sight, Vec<Note>)>, CloudError> {
        let mut notes = Vec::new();
        let id = match (&memory.id, &memory.creating) {
            (Some(id), _) => id.clone(),
            (None, creating) => {
                let Some(id) = self.find(endpoint, memory).await? else { return Ok(None) };
                if let Some(creating) = creating {
                    let (key, version) = (creating.key.clone(), creating.version);
                    // In this order: whoever dies in between is looking for the endpoint still.
                    notes.push(Note::Minted { key, native: 0, version, at: creating.at });
                    notes.push(Note::Found { id: id.clone() });
                }
                id
            }
        };
        let Some(status) = self.client.status(&id).await? else { return Ok(None) };
        let Some(spec) = self.client.spec(&id).await? else { return Ok(None) };
        let versions = self.client.versions(&id).await?;
        let sight = Sight { id, status, spec, versions };
        notes.extend(sight.resolve(memory, self.clock.now()));
        Ok(Some((sight, notes)))
    }

    /// The id of the endpoint with this name in the project. Those that were there before ours was made are not it.
    async fn find(&self, endpoint: &EndpointName, memory: &Memory) -> Result<Option<String>, CloudError> {
        let others = memory.creating.as_ref().map(|creating| &creating.known);
        let mut found = Vec::new();
        for id in self.client.list(&self.project).await?.into_keys() {
            if others.is_some_and(|others| others.contains(&id)) {
                continue;
            }
            let spec = self.client.spec(&id).await?;
            let in_project = |project: &Option<String>| project.as_ref().is_none_or(|of| *of == self.project);
            if spec.is_some_and(|spec| spec.name == endpoint.as_str() && in_project(&spec.project_id)) {
                found.push(id);
            }
        }
        if found.len() > 1 {
            let message = format!(
                "there are several of this name: {}. Delete those that nobody needs",
                found.join(", ")
            );
            let error = failed(format!("find endpoint `{endpoint}`"), CloudErrorKind::Conflict);
            return Err(error.with_message(message));
        }
        Ok(found.pop())
    }

    /// Looks for an endpoint that was just made, a few times. Notes its id.
    pub(super) async fn find_made(
        &self,
        endpoint: &EndpointName,
        memory: &mut Memory,
    ) -> Result<bool, CloudError> {
        for attempt in 1..=FIND_TRIES {
            if self.look_up(endpoint, memory).await?.is_some() {
                return Ok(true);
            }
            if attempt < FIND_TRIES {
                tokio::time::sleep(self.poll.min(PAUSE)).await;
            }
        }
        Ok(false)
    }

    /// What there is to see, in the words of every cloud.
    pub(super) fn observed(&self, sight: &Sight, memory: &Memory, silence: Option<&str>) -> ObservedEndpoint {
        let mut fleet = sight.fleet(memory, silence, self.clock.now());
        let serving = sight.serving(memory);
        let stranger = serving.filter(|native| !memory.natives.contains_key(native));
        let unmanaged = if memory.id.is_none() {
            fleet.replicas.clear();
            Some(format!("endpoint `{}`, which was made elsewhere", sight.id))
        } else {
            stranger.map(|native| {
                let made_by = sight.versions.get(&native).and_then(|entry| entry.creator_id.as_deref());
                let creator = made_by.map(|creator| format!(" of {creator}'s endpoint")).unwrap_or_default();
                format!("version {native}{creator} `{}`, which was made elsewhere", sight.id)
            })
        };
        ObservedEndpoint {
            url: self.client.url(&sight.id),
            deleting: false,
            fleet,
            unmanaged,
            settings: None,
        }
    }

    /// Whether an endpoint whose last update failed answers all the same; why not, if it does not. Asks only then:
    /// everybody else's word is good enough where no rollout runs.
    pub(super) async fn silence_of_failed(&self, sight: &Sight, memory: &Memory) -> Option<String> {
        match sight.status.word() {
            Word::Failed => self.silence(sight, memory).await,
            Word::Sleeping | Word::Terminated | Word::Terminating if !sight.sleeps_as_it_may(memory) => {
                Some(sight.status.described())
            }
            _ => None,
        }
    }

    /// Asks what serves; why it does not answer, if it does not.
    pub(super) async fn silence(&self, sight: &Sight, memory: &Memory) -> Option<String> {
        let serving = sight.serving(memory)?;
        let usual = FriendliProbe::default();
        let probe = memory.behind(serving).map_or(&usual, |published| &published.probe);
        if !probe.enabled || sight.sleeps_as_it_may(memory) {
            return None;
        }
        ask(&self.client, &sight.id, probe).await.err()
    }

    /// Deletes an endpoint of ours, and waits until it is gone.
    pub(super) async fn delete(&self, endpoint: &EndpointName) -> Result<(), CloudError> {
        let mut memory = self.recall(endpoint).await?;
        // An endpoint of this name that is not ours stays.
        if memory.id.is_none() && memory.creating.is_none() {
            return Ok(());
        }
        self.look_up(endpoint, &mut memory).await?;
        let Some(id) = memory.id.clone() else { return Ok(()) };
        self.client.delete(&id).await?;
        for _ in 0..DELETE_TRIES {
            if self.client.status(&id).await?.is_none() {
                return self.note(endpoint, &mut memory, Note::Gone { id }).await;
            }
            tokio::time::sleep(self.poll.min(PAUSE)).await;
        }
        let mut error = failed(format!("delete endpoint `{endpoint}`"), CloudErrorKind::Internal);
        error.retry = Retry::Backoff;
        Err(error.with_message("it is still there"))
    }
}

/// Asks an endpoint what its clients ask: the text of its answer, or why there is none.
pub(super) async fn ask(client: &Client, id: &str, probe: &FriendliProbe) -> Result<String, String> {
    client.probe(id, probe).await.map_err(|why| format!("it does not answer: {why}"))
}
