//! Updates: what is asked of the service, and how it stands.

use async_trait::async_trait;

use super::client::Command;
use super::judge::{Sight, Standing};
use super::memory::{Ask, Memory, Note};
use super::place::ask;
use super::send::busy;
use super::source::Source;
use super::types::Word;
use super::{FriendliCloud, convert, failed};
use crate::cloud::{CloudError, CloudErrorKind, DelegatedCloud, Look, ObservedEndpoint, Update};
use crate::fleet::{Fleet, Pacing, UpdateReport, UpdateState};
use crate::spec::{CloudName, DeploymentPolicy, FriendliAtRest, PinnedVersion, VersionNumber};

/// Looks that must pass before what the service shows of a request is believed.
const SETTLING_LOOKS: u32 = 2;

#[async_trait]
impl DelegatedCloud for FriendliCloud {
    fn pacing(&self, _: &DeploymentPolicy) -> Pacing {
        Pacing { bakes: false, canary: false, pauses: false, turns_back: true }
    }

    fn outline(
        &self,
        from: Option<&PinnedVersion>,
        to: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Vec<String> {
        let new = to.number;
        let bake = policy.batch.as_ref().map(|batch| batch.bake).filter(|bake| !bake.is_zero());
        let serve = format!("wait until {new} answers, and goes on answering for {}", policy.min_ready);
        let Some(old) = from.map(|from| from.number).filter(|old| *old != new) else {
            return vec![format!("start {new} with {} replicas", to.spec.replicas()), serve];
        };
        let is_artifact = matches!(Source::read(&to.spec.model.source), Ok(Source::Artifact(_)));
        let what = if is_artifact { "the artifact" } else { "the whole request" };
        let mut lines = vec![
            format!("send Friendli {what} of {new}: it replaces {old} by itself"),
            format!("ask {old} all the while whether it answers"),
            serve,
        ];
        lines.extend(bake.map(|bake| format!("let {new} bake for {bake}")));
        let is_known = from.is_some_and(|from| convert::foreign(&from.spec).is_none());
        lines.push(if policy.rollback.auto && is_known {
            format!("on failure: see whether {old} serves still, else send its whole request")
        } else if policy.rollback.auto {
            format!("on failure: see whether {old} serves still; only Friendli knows its model, nobody can send it again")
        } else {
            "on failure: stand still".to_owned()
        });
        lines
    }

    async fn look(&self, update: &Update) -> Result<Look, CloudError> {
        let endpoint = &update.endpoint;
        let mut memory = self.recall(endpoint).await?;
        let was_there = memory.id.is_some();
        let Some(sight) = self.look_up(endpoint, &mut memory).await? else {
            let report = self.nothing_there(update, &memory, was_there);
            let observed = ObservedEndpoint {
                url: self.client.address(),
                deleting: false,
                fleet: Fleet::empty(self.clock.now()),
                unmanaged: None,
                settings: None,
            };
            return Ok(Look { observed, update: report });
        };
        let silence = match sight.status.word() {
            Word::Running | Word::Moving | Word::Failed => self.silence(&sight, &memory).await,
            _ => self.silence_of_failed(&sight, &memory).await,
        };
        let report = self.report(update, &sight, &mut memory, silence.as_deref()).await?;
        Ok(Look { observed: self.observed(&sight, &memory, silence.as_deref()), update: report })
    }

    async fn begin(&self, update: &Update) -> Result<(), CloudError> {
        self.ask_for(update).await
    }

    async fn reverse(&self, update: &Update) -> Result<(), CloudError> {
        self.ask_for(update).await
    }

    fn cloud(&self) -> CloudName {
        CloudName::Friendli
    }
}

/// The name of an update for good: its rollout and its direction.
pub(super) fn key(update: &Update) -> String {
    format!("{}{}", update.revision, if update.rolling_back { " back" } else { "" })
}

fn told(state: UpdateState, serving: Option<VersionNumber>, reason: Option<String>) -> UpdateReport {
    UpdateReport { state, serving, canary: None, reason }
}

impl FriendliCloud {
    /// How an update stands while there is no endpoint.
    fn nothing_there(&self, update: &Update, memory: &Memory, was_there: bool) -> UpdateReport {
        let fresh = memory.creating.as_ref().is_some_and(|creating| !self.has_settled(creating.at));
        if update.from.is_some() || (was_there && update.asked_at.is_some()) {
            let reason = "somebody has deleted the endpoint".to_owned();
            return told(UpdateState::Failed, None, Some(reason));
        }
        told(if fresh { UpdateState::Running } else { UpdateState::Absent }, None, None)
    }

    pub(super) fn has_settled(&self, at: jiff::Timestamp) -> bool {
        let settling = self.poll * SETTLING_LOOKS;
        at.checked_add(settling).is_ok_and(|settled| self.clock.now() >= settled)
    }

    /// How an update stands. Notes what is learnt about it.
    async fn report(
        &self,
        update: &Update,
        sight: &Sight,
        memory: &mut Memory,
        silence: Option<&str>,
    ) -> Result<UpdateReport, CloudError> {
        let Some(ask) = memory.ask(&key(update)).cloned() else {
            return Ok(before(update, sight, memory, silence));
        };
        let Some(native) = ask.native else { return self.unseen(update, &ask, sight, memory).await };
        if !memory.failed.contains_key(&native) {
            if !sight.versions.contains_key(&native) {
                let reason = format!("version {native} was taken out of the history");
                return self.has_failed(update, native, reason, sight, memory, silence).await;
            }
            if sight.newest(memory) != Some(native) {
                let reason = format!("somebody else made a version after {native}");
                return Ok(told(UpdateState::Settled, None, Some(reason)));
            }
            return self.standing(update, &ask, native, sight, memory, silence).await;
        }
        let reason = memory.failed.get(&native).cloned();
        Ok(after_failure(sight, memory, silence, reason))
    }

    /// It was asked for, and no version shows for it.
    async fn unseen(
        &self,
        update: &Update,
        ask: &Ask,
        sight: &Sight,
        memory: &mut Memory,
    ) -> Result<UpdateReport, CloudError> {
        if !self.has_settled(ask.at) {
            return Ok(told(UpdateState::Running, None, Some("no version shows yet".to_owned())));
        }
        // Settings that were there already may need no new version.
        let newest = sight.newest(memory).filter(|_| ask.answered && sight.status.word() == Word::Running);
        let same = memory.request(ask.version).is_some_and(|request| convert::fits(request, &sight.spec));
        if let Some(native) = newest.filter(|_| same) {
            let note = Note::Minted { key: key(update), native, version: ask.version, at: self.clock.now() };
            self.note(&update.endpoint, memory, note).await?;
            return Ok(told(UpdateState::Running, None, None));
        }
        let state =
            if sight.standing(memory) == Standing::Moving { UpdateState::Busy } else { UpdateState::Absent };
        Ok(told(state, None, Some("the request was lost".to_owned())))
    }

    /// A version was made of it: how that stands.
    async fn standing(
        &self,
        update: &Update,
        ask: &Ask,
        native: u32,
        sight: &Sight,
        memory: &mut Memory,
        silence: Option<&str>,
    ) -> Result<UpdateReport, CloudError> {
        let described = sight.status.described();
        let running = |reason: String| Ok(told(UpdateState::Running, None, Some(reason)));
        match sight.standing(memory) {
            Standing::Moving => match silence.filter(|_| update.from.is_some()) {
                Some(why) => running(format!("{described}; the prior version: {why}")),
                None => running(described),
            },
            Standing::Serving | Standing::Failed(_) if !self.has_settled(ask.at) => running(described),
            Standing::Failed(reason) => self.has_failed(update, native, reason, sight, memory, silence).await,
            Standing::Serving => match self.unproven(update, native, sight, memory, silence).await? {
                Some(why) => running(why),
                None => Ok(told(UpdateState::Settled, Some(ask.version), None)),
            },
            Standing::Resting if sight.sleeps_as_it_may(memory) => {
                Ok(told(UpdateState::Settled, Some(ask.version), None))
            }
            Standing::Resting if sight.status.word() == Word::Sleeping => {
                Ok(told(UpdateState::Absent, None, Some(described)))
            }
            Standing::Resting => Ok(told(UpdateState::Failed, None, Some(described))),
        }
    }

    async fn has_failed(
        &self,
        update: &Update,
        native: u32,
        reason: String,
        sight: &Sight,
        memory: &mut Memory,
        silence: Option<&str>,
    ) -> Result<UpdateReport, CloudError> {
        let note = Note::Failed { native, reason: reason.clone() };
        self.note(&update.endpoint, memory, note).await?;
        Ok(after_failure(sight, memory, silence, Some(reason)))
    }

    /// What keeps a version that serves from being counted on; nothing once it has answered for long enough.
    async fn unproven(
        &self,
        update: &Update,
        native: u32,
        sight: &Sight,
        memory: &mut Memory,
        silence: Option<&str>,
    ) -> Result<Option<String>, CloudError> {
        if memory.proven.contains(&native) {
            return Ok(silence.map(str::to_owned));
        }
        let wrong = match silence {
            Some(silence) => Some(silence.to_owned()),
            None => self.wrong_answer(native, sight, memory).await,
        };
        if let Some(wrong) = wrong {
            if memory.ready.contains_key(&native) {
                self.note(&update.endpoint, memory, Note::Stumbled { native }).await?;
            }
            return Ok(Some(wrong));
        }
        let now = self.clock.now();
        let since = memory.ready.get(&native).copied();
        if since.is_none() {
            self.note(&update.endpoint, memory, Note::Ready { native, at: now }).await?;
        }
        let min_ready = update.policy.min_ready;
        let ends = since.unwrap_or(now).checked_add(min_ready.as_duration()).unwrap_or(jiff::Timestamp::MAX);
        if now < ends {
            return Ok(Some(format!("it answers, and has to go on for {min_ready}")));
        }
        self.note(&update.endpoint, memory, Note::Proven { native }).await?;
        Ok(None)
    }

    /// What is wrong with the answer of a version that has to give a certain one.
    async fn wrong_answer(&self, native: u32, sight: &Sight, memory: &Memory) -> Option<String> {
        let probe = &memory.behind(native)?.probe;
        let expected = probe.contains.as_ref()?;
        match ask(&self.client, &sight.id, probe).await {
            Ok(answer) if answer.contains(expected) => None,
            Ok(_) => Some(format!("its answer does not hold `{expected}`: another model may serve")),
            Err(why) => Some(why),
        }
    }

    /// Asks for the version that is wanted, unless it was asked for or serves already.
    async fn ask_for(&self, update: &Update) -> Result<(), CloudError> {
        let endpoint = &update.endpoint;
        let operation = format!("update endpoint `{endpoint}`");
        let mut memory = self.recall(endpoint).await?;
        let was_there = memory.id.is_some();
        let Some(sight) = self.look_up(endpoint, &mut memory).await? else {
            if was_there {
                return Err(
                    failed(operation, CloudErrorKind::NotFound).with_message("somebody has deleted it")
                );
            }
            return self.create(update, memory).await;
        };
        if memory.id.is_none() {
            let message =
                format!("there is one of this name already, `{}`, which was made elsewhere", sight.id);
            return Err(failed(operation, CloudErrorKind::Conflict).with_message(message));
        }
        let made = memory.ask(&key(update)).and_then(|ask| ask.native);
        let is_made = made.is_some_and(|native| !memory.failed.contains_key(&native));
        let wanted = update.wanted().number;
        let newest = sight.newest(&memory).and_then(|native| memory.natives.get(&native).copied());
        match sight.status.word() {
            Word::Sleeping => self.start(&sight, &memory, Command::Wake).await,
            Word::Terminated => self.start(&sight, &memory, Command::Restart).await,
            Word::Failed if newest == Some(wanted) => self.start(&sight, &memory, Command::Restart).await,
            _ if is_made => Ok(()),
            Word::Moving | Word::Terminating => Err(busy(operation, &sight.status.described())),
            Word::Running | Word::Failed => {
                let is_there = sight.standing(&memory) == Standing::Serving && newest == Some(wanted);
                if is_there { Ok(()) } else { self.send(update, &sight, &mut memory).await }
            }
        }
    }

    /// Starts an endpoint at rest, if that is wanted. What was wanted of it waits until that is done.
    async fn start(&self, sight: &Sight, memory: &Memory, command: Command) -> Result<(), CloudError> {
        let operation = format!("update `{}`", sight.id);
        let described = sight.status.described();
        if memory.settings.at_rest == FriendliAtRest::Refuse {
            let message = format!(
                "it is at rest ({described}), and at_rest = \"refuse\": {} it first",
                command.as_str()
            );
            return Err(failed(operation, CloudErrorKind::Invalid).with_message(message));
        }
        self.client.command(&sight.id, command).await?;
        Err(busy(operation, &format!("it was at rest ({described}) and is being started")))
    }
}

/// Nothing was asked for yet.
fn before(update: &Update, sight: &Sight, memory: &Memory, silence: Option<&str>) -> UpdateReport {
    let serving = sight.serving(memory).filter(|_| silence.is_none());
    let serving = serving.and_then(|native| memory.natives.get(&native).copied());
    let reason = silence.map(str::to_owned);
    match sight.standing(memory) {
        Standing::Moving => told(UpdateState::Busy, serving, Some(sight.status.described())),
        Standing::Resting if sight.status.word() == Word::Terminating => {
            told(UpdateState::Busy, None, Some(sight.status.described()))
        }
        // On the way back one answer that failed is no reason to give up.
        Standing::Serving if update.rolling_back && silence.is_some() => {
            told(UpdateState::Busy, None, reason)
        }
        Standing::Resting | Standing::Serving | Standing::Failed(_) => {
            told(UpdateState::Settled, serving, reason)
        }
    }
}

/// What is known after an update has failed: the prior version, if it answers.
fn after_failure(
    sight: &Sight,
    memory: &Memory,
    silence: Option<&str>,
    reason: Option<String>,
) -> UpdateReport {
    let serving = sight.serving(memory).and_then(|native| memory.natives.get(&native).copied());
    match silence {
        None if sight.standing(memory) == Standing::Moving => told(UpdateState::Running, serving, reason),
        None => told(UpdateState::Settled, serving, reason),
        Some(silence) => {
            let why = reason.map_or_else(|| silence.to_owned(), |reason| format!("{reason}; {silence}"));
            told(UpdateState::Failed, None, Some(why))
        }
    }
}
