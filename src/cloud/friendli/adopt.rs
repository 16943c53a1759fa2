//! What somebody else made: an endpoint that is taken over, and versions that the console or a webhook made at ours. The
//! service tells all of it but the model.

use super::judge::{Sight, Standing};
use super::memory::{Memory, Note};
use super::types::Word;
use super::{FriendliCloud, convert, failed, published};
use crate::cloud::{Adopted, CloudError, CloudErrorKind};
use crate::spec::{EndpointName, PinnedVersion, Pins, VersionNumber};

impl FriendliCloud {
    /// Takes an endpoint over that somebody else made. It is ours from here on.
    pub(super) async fn take_over(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let mut memory = self.recall(endpoint).await?;
        let Some(sight) = self.look_up(endpoint, &mut memory).await? else { return Ok(None) };
        let Some(native) = sight.serving(&memory).or_else(|| sight.newest(&memory)) else { return Ok(None) };
        if memory.natives.contains_key(&native) {
            return Ok(None);
        }
        if sight.standing(&memory) != Standing::Serving && sight.status.word() != Word::Sleeping {
            let error = failed(format!("take over endpoint `{endpoint}`"), CloudErrorKind::Conflict);
            let message = format!("it does not serve: {}", sight.status.described());
            return Err(error.with_message(message));
        }
        if memory.id.is_none() {
            self.note(endpoint, &mut memory, Note::Found { id: sight.id.clone() }).await?;
        }
        Ok(Some(adopted(&sight, native, number)))
    }

    /// The version that somebody else made at an endpoint of ours and that serves now.
    ///
    /// Whatever was asked from here was noted before it was asked. So the notes are read after the look: what the look
    /// shows and the notes do not know is somebody else's.
    pub(super) async fn stranger(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let memory = self.recall(endpoint).await?;
        if memory.id.is_none() {
            return Ok(None);
        }
        let Some((sight, _)) = self.sight_and_notes(endpoint, &memory).await? else { return Ok(None) };
        let mut memory = self.recall(endpoint).await?;
        if let Some(note) = sight.resolve(&memory, self.clock.now()) {
            memory.take(note);
        }
        let may_be_ours = |memory: &Memory| {
            memory.asks.last().is_some_and(|ask| ask.native.is_none() && !self.has_settled(ask.at))
        };
        if may_be_ours(&memory) {
            return Ok(None);
        }
        Ok(sight.stranger(&memory).map(|native| adopted(&sight, native, number)))
    }

    /// Notes which of the service's numbers is which version.
    pub(super) async fn note_taken(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
    ) -> Result<(), CloudError> {
        let Some(native) = convert::foreign(&version.spec) else { return Ok(()) };
        let mut memory = self.recall(endpoint).await?;
        let number = version.number;
        if memory.natives.contains_key(&native) {
            return Ok(());
        }
        let published = Box::new(published(&version.spec, None));
        self.note(endpoint, &mut memory, Note::Published { version: number, published }).await?;
        self.note(endpoint, &mut memory, Note::Adopted { native, version: number }).await
    }
}

fn adopted(sight: &Sight, native: u32, number: VersionNumber) -> Adopted {
    let shown = sight.versions.get(&native).unwrap_or(&sight.spec);
    let version = PinnedVersion { number, spec: convert::adopted(native, shown), pins: Pins::default() };
    Adopted { version, creator: shown.creator_id.clone() }
}
