//! What the engine asks for: updates, plans, canaries, and the way back.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::document::{self, Place, autoscaler};
use super::judge::{by_itself, has_autoscaler, judge};
use super::memory::{Memory, Note};
use super::sight::{SHARE, Sight};
use super::{EasCloud, canary_name, failed, outline, service_name};
use crate::cloud::{CloudError, CloudErrorKind, DelegatedCloud, Look, ObservedEndpoint, Retry, Update};
use crate::fleet::{Fleet, Pacing, UpdateReport, UpdateState};
use crate::spec::{Batch, CloudName, DeploymentPolicy, Percent, PinnedVersion};

/// Descriptions after a change until it shows.
const READ_BACKS_MAX: u32 = 20;
/// Longest rest between two of them.
const READ_BACK_REST: Duration = Duration::from_secs(1);

#[async_trait]
impl DelegatedCloud for EasCloud {
    fn pacing(&self, policy: &DeploymentPolicy) -> Pacing {
        Pacing { bakes: false, canary: false, pauses: policy.batch.is_some(), turns_back: true }
    }

    fn outline(
        &self,
        from: Option<&PinnedVersion>,
        to: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Vec<String> {
        outline::outline(from, to, policy)
    }

    async fn look(&self, update: &Update) -> Result<Look, CloudError> {
        let now = self.clock.now();
        let Some(sight) = self.sight(&update.endpoint).await? else {
            let observed = ObservedEndpoint {
                url: String::new(),
                deleting: false,
                fleet: Fleet::empty(now),
                unmanaged: None,
                settings: None,
            };
            let report =
                UpdateReport { state: UpdateState::Absent, serving: None, canary: None, reason: None };
            return Ok(Look { observed, update: report });
        };
        let mut report = judge(&sight, update);
        self.hold_until_ready(update, &sight.memory, &mut report).await?;
        if report.state == UpdateState::Failed {
            // Best effort: the service's own words make the message better, not the judgement.
            let words = self.client.diagnosis(&service_name(&update.endpoint)).await.unwrap_or_default();
            let words = words.into_iter().chain(report.reason.take()).next();
            report.reason = words;
        }
        Ok(Look { observed: sight.observed(&update.endpoint, now), update: report })
    }

    async fn begin(&self, update: &Update) -> Result<(), CloudError> {
        let Some(sight) = self.sight(&update.endpoint).await? else {
            return self.create(update).await;
        };
        let is_asked = sight.main.target == Some(update.to.number);
        self.tend_autoscaler(&sight, update, &update.to).await?;
        if is_asked && sight.main.is_complete() && sight.canary.is_some() {
            return self.remove_canary(update).await;
        }
        if !is_asked {
            if let Some(stranger) =
                sight.canary.as_ref().filter(|canary| canary.target != Some(update.to.number))
            {
                self.client.delete(&stranger.service.service_name).await?;
            }
            if update.policy.batch.is_some() {
                self.arm_plan(update, &sight).await?;
            }
            self.replace(update, &sight, &update.to).await?;
        }
        self.release_plan(update).await
    }

    async fn reverse(&self, update: &Update) -> Result<(), CloudError> {
        let Some(sight) = self.sight(&update.endpoint).await? else { return Ok(()) };
        let Some(from) = &update.from else { return Ok(()) };
        if sight.canary.is_some() {
            self.remove_canary(update).await?;
        }
        self.tend_autoscaler(&sight, update, from).await?;
        if sight.main.target == Some(from.number) {
            return self.finish_plan(update, sight.plan.is_some()).await;
        }
        let native =
            sight.native(from.number).filter(|native| !native.is_broken()).map(|native| native.image_id);
        // The service's own way back takes only versions below the current one, and needs no plan.
        if let Some(native) = native.filter(|native| *native < sight.main.service.current_version) {
            match self.client.go_back(&service_name(&update.endpoint), native).await {
                Ok(()) => return self.await_document(update, from).await,
                Err(error) if error.kind == CloudErrorKind::Invalid => {}
                Err(error) => return Err(error),
            }
        }
        if sight.plan.is_some() {
            self.client.update_plan(&service_name(&update.endpoint), json!({ "Paused": true })).await?;
        }
        self.replace(update, &sight, from).await?;
        self.finish_plan(update, sight.plan.is_some()).await
    }

    async fn shift(&self, update: &Update, share: Percent) -> Result<(), CloudError> {
        let Some(sight) = self.sight(&update.endpoint).await? else {
            return Err(refuse(update, "there is nothing beside which a canary could serve"));
        };
        let (main, name) = (service_name(&update.endpoint), canary_name(&update.endpoint));
        let replicas = canary_replicas(update, share);
        let Some(canary) = &sight.canary else { return self.start_canary(update, share, replicas).await };
        if canary.target != Some(update.to.number) {
            self.client.delete(&name).await?;
            return Err(busy(update, "an earlier canary is on its way out"));
        }
        if sight.share_wanted() != Some(share) {
            self.client.set_labels(&name, json!({ SHARE: share.as_u8().to_string() })).await?;
        }
        if canary.service.total_instance < replicas {
            return self.client.scale(&name, replicas).await;
        }
        if !canary.is_complete() || sight.share() == Some(share) {
            return Ok(());
        }
        let Some(group) = &sight.main.service.service_group else {
            return Err(refuse(
                update,
                "its service belongs to no group: only services in a group can share requests",
            ));
        };
        // At each moment in between, requests have somewhere to go.
        let rest = 100 - share.as_u8();
        if !sight.weighted {
            self.client.release(&main, "grouping", 100).await?;
            self.client.release(&name, "standalone", 0).await?;
            self.client.set_group_mode(group, "customized").await?;
        }
        self.client.release(&name, "grouping", share.as_u8()).await?;
        self.client.release(&main, "grouping", rest).await
    }

    async fn hold(&self, update: &Update) -> Result<(), CloudError> {
        self.client.update_plan(&service_name(&update.endpoint), json!({ "Paused": true })).await
    }

    async fn go_on(&self, update: &Update) -> Result<(), CloudError> {
        if update.rolling_back {
            // The way back needs no plan.
            return Ok(());
        }
        let name = service_name(&update.endpoint);
        let Some(plan) = self.client.plan(&name).await? else { return Ok(()) };
        if plan.is_paused() {
            return self.client.update_plan(&name, json!({ "Paused": false })).await;
        }
        let Some(batch) = &update.policy.batch else { return Ok(()) };
        let strategy = match plan.keeps() {
            Some(_) if by_itself(update, true) => timed(batch),
            Some(kept) => kept_after(update, batch, kept),
            None => return Ok(()),
        };
        self.client.update_plan(&name, strategy).await
    }

    async fn adjust(&self, update: &Update) -> Result<(), CloudError> {
        let name = service_name(&update.endpoint);
        let Some(plan) = self.client.plan(&name).await? else { return Ok(()) };
        let strategy = match &update.policy.batch {
            None => json!({ "Partition": { "Partition": "0" } }),
            Some(batch) if by_itself(update, plan.status.updated_replicas > 0) => timed(batch),
            // From batches by time to batches by word: what is updated stays, the rest waits.
            Some(_) if plan.keeps().is_none() => {
                keep(plan.status.total_replicas.saturating_sub(plan.status.updated_replicas))
            }
            Some(_) => return Ok(()),
        };
        self.client.update_plan(&name, strategy).await
    }

    fn cloud(&self) -> CloudName {
        CloudName::Eas
    }
}

impl EasCloud {
    /// The service counts a replica as soon as its check passes. An update that is complete is done only once it has
    /// stayed so for `min_ready`.
    async fn hold_until_ready(
        &self,
        update: &Update,
        memory: &Memory,
        report: &mut UpdateReport,
    ) -> Result<(), CloudError> {
        let min_ready = update.policy.min_ready;
        if min_ready.is_zero() || update.asked_at.is_none() || update.rolling_back {
            return Ok(());
        }
        let (endpoint, name) = (&update.endpoint, update.revision.to_string());
        let since = memory.ready_since(&name);
        let now = self.clock.now();
        if report.state != UpdateState::Settled || report.serving != Some(update.to.number) {
            if since.is_some() && report.serving.is_none() {
                self.note(endpoint, &Note::Stumbled { update: name }).await?;
            }
            return Ok(());
        }
        if since.is_none() {
            self.note(endpoint, &Note::Ready { update: name, at: now }).await?;
        }
        let ends = since.unwrap_or(now).checked_add(min_ready.as_duration()).unwrap_or(jiff::Timestamp::MAX);
        if now < ends {
            report.state = UpdateState::Running;
            report.reason = Some(format!("all replicas are ready, and have to stay so for {min_ready}"));
        }
        Ok(())
    }

    async fn create(&self, update: &Update) -> Result<(), CloudError> {
        let settings = self.settings(&update.endpoint).await?;
        let document = self
            .document(update, &update.to, &service_name(&update.endpoint), update.to.spec.replicas())
            .await?;
        let labels = json!(settings.labels).to_string();
        let workspace = settings.eas.and_then(|eas| eas.workspace_id);
        match self.client.create(document, &labels, workspace.as_deref()).await {
            // It is there after all: the next look tells what it is.
            Err(error) if error.kind == CloudErrorKind::Conflict => {
                return Err(busy(update, "it was created meanwhile").with_source(error));
            }
            answer => answer?,
        }
        if let Some(autoscaler) = autoscaler(&update.to.spec) {
            self.client.create_autoscaler(&service_name(&update.endpoint), autoscaler).await?;
        }
        Ok(())
    }

    async fn document(
        &self,
        update: &Update,
        version: &PinnedVersion,
        service: &str,
        replicas: u32,
    ) -> Result<Value, CloudError> {
        let settings = self.settings(&update.endpoint).await?;
        let workspace = settings.eas.as_ref().and_then(|eas| eas.workspace_id.as_deref());
        let group = super::group_name(&update.endpoint);
        Ok(document::document(version, &update.policy, Place { service, group: &group, workspace, replicas }))
    }

    /// Replaces the whole document, and waits until that shows. The number of replicas that an autoscaler chose stays.
    async fn replace(
        &self,
        update: &Update,
        sight: &Sight,
        version: &PinnedVersion,
    ) -> Result<(), CloudError> {
        let name = service_name(&update.endpoint);
        let scaling = &version.spec.scaling;
        let max = scaling.max_replicas.unwrap_or(scaling.min_replicas);
        let chosen = sight.main.service.document().pointer("/metadata/instance").and_then(Value::as_u64);
        let chosen = chosen.and_then(|chosen| u32::try_from(chosen).ok()).unwrap_or(scaling.min_replicas);
        let replicas = chosen.clamp(scaling.min_replicas, max.max(scaling.min_replicas));
        let document = self.document(update, version, &name, replicas).await?;
        self.client.replace(&name, document).await?;
        self.await_document(update, version).await
    }

    /// Right after a change the service may still describe what was before.
    async fn await_document(&self, update: &Update, version: &PinnedVersion) -> Result<(), CloudError> {
        let memory = self.recall(&update.endpoint).await?;
        for _ in 0..READ_BACKS_MAX {
            let seen = self.client.service(&service_name(&update.endpoint)).await?;
            if seen.is_some_and(|service| memory.version_of(&service.document()) == Some(version.number)) {
                return Ok(());
            }
            tokio::time::sleep(self.poll.min(READ_BACK_REST)).await;
        }
        // It was accepted: later looks will show it.
        Ok(())
    }

    /// Makes sure of a plan that keeps every replica, so that a new document moves none. What a number means differs
    /// between creating and changing a plan: it is created paused, and then changed.
    async fn arm_plan(&self, update: &Update, sight: &Sight) -> Result<(), CloudError> {
        let name = service_name(&update.endpoint);
        if sight.plan.is_none() {
            let plan = json!({ "Partition": { "Partition": "50%" }, "Paused": true });
            self.client.create_plan(&name, plan).await?;
        }
        let plan = json!({ "Partition": { "Partition": "100%" }, "Paused": true });
        self.client.update_plan(&name, plan).await?;
        let told = self.client.plan(&name).await?;
        let strategy = told.and_then(|plan| plan.strategy.partition).map(|partition| partition.partition);
        if strategy.as_deref() == Some("100%") {
            return Ok(());
        }
        Err(refuse(update, "its update plan would not keep the replicas that serve"))
    }

    /// Lets the plan begin with its first batch; without batches, with everything.
    async fn release_plan(&self, update: &Update) -> Result<(), CloudError> {
        let name = service_name(&update.endpoint);
        let Some(plan) = self.client.plan(&name).await? else { return Ok(()) };
        if update.policy.batch.is_some() && !plan.is_paused() {
            // It has begun: to begin again would take replicas back.
            return Ok(());
        }
        let mut strategy = match &update.policy.batch {
            None => json!({ "Partition": { "Partition": "0" } }),
            Some(batch) if by_itself(update, false) => timed(batch),
            Some(batch) => kept_after(update, batch, plan.status.total_replicas),
        };
        if let Some(strategy) = strategy.as_object_mut() {
            strategy.insert("Paused".to_owned(), false.into());
        }
        self.client.update_plan(&name, strategy).await
    }

    async fn finish_plan(&self, update: &Update, is_there: bool) -> Result<(), CloudError> {
        if !is_there {
            return Ok(());
        }
        let plan = json!({ "Partition": { "Partition": "0" }, "Paused": false });
        self.client.update_plan(&service_name(&update.endpoint), plan).await
    }

    async fn tend_autoscaler(
        &self,
        sight: &Sight,
        update: &Update,
        version: &PinnedVersion,
    ) -> Result<(), CloudError> {
        let name = service_name(&update.endpoint);
        if has_autoscaler(sight.autoscaler.as_ref(), &version.spec) {
            return Ok(());
        }
        match (autoscaler(&version.spec), &sight.autoscaler) {
            (Some(wanted), None) => self.client.create_autoscaler(&name, wanted).await,
            (Some(wanted), Some(_)) => self.client.update_autoscaler(&name, wanted).await,
            (None, _) => self.client.delete_autoscaler(&name).await,
        }
    }

    async fn start_canary(&self, update: &Update, share: Percent, replicas: u32) -> Result<(), CloudError> {
        let name = canary_name(&update.endpoint);
        let document = self.document(update, &update.to, &name, replicas).await?;
        let labels = json!({ SHARE: share.as_u8().to_string() }).to_string();
        let workspace = self.settings(&update.endpoint).await?.eas.and_then(|eas| eas.workspace_id);
        self.client.create(document, &labels, workspace.as_deref()).await?;
        // It joins the group's traffic when its share is set.
        self.client.release(&name, "standalone", 0).await
    }

    /// Takes the canary out of the traffic first, then away.
    async fn remove_canary(&self, update: &Update) -> Result<(), CloudError> {
        let (main, name) = (service_name(&update.endpoint), canary_name(&update.endpoint));
        self.client.release(&main, "grouping", 100).await?;
        self.client.release(&name, "standalone", 0).await?;
        self.client.delete(&name).await
    }
}

fn refuse(update: &Update, why: &str) -> CloudError {
    failed(format!("update endpoint `{}`", update.endpoint), CloudErrorKind::Invalid).with_message(why)
}

fn busy(update: &Update, why: &str) -> CloudError {
    let error = failed(format!("update endpoint `{}`", update.endpoint), CloudErrorKind::Conflict);
    CloudError { retry: Retry::Backoff, ..error.with_message(why) }
}

/// As many replicas as the share needs, and at least as many as the policy wants.
fn canary_replicas(update: &Update, share: Percent) -> u32 {
    let desired = update.to.spec.replicas();
    let by_share = (u64::from(desired) * u64::from(share.as_u8())).div_ceil(100);
    let by_share = u32::try_from(by_share).unwrap_or(desired);
    let size = update.policy.canary.as_ref().and_then(|canary| canary.size);
    by_share.max(size.map_or(1, |size| size.rounded_up(desired))).max(1)
}

/// Batches that follow each other by the service's clock.
fn timed(batch: &Batch) -> Value {
    let bake = batch.bake.as_duration().as_secs();
    json!({ "Batch": { "BatchSize": batch.size.to_string(), "Interval": format!("{bake}s") } })
}

/// One batch fewer keeps the old version.
fn kept_after(update: &Update, batch: &Batch, kept: u32) -> Value {
    let size = batch.size.rounded_up(update.to.spec.replicas()).max(1);
    keep(kept.saturating_sub(size))
}

fn keep(replicas: u32) -> Value {
    json!({ "Partition": { "Partition": replicas.to_string() } })
}
