//! How a service moves to its version: replica by replica, within its limits and its plan.

use super::document;
use super::knobs::{Flip, Knobs, WayBack};
use super::plan::Plan;
use super::replica::{Replica, Stage};
use super::service::{Life, Service};
use super::state::Images;

/// What one second does to a service.
pub fn tick(service: &mut Service, now: u64, images: &Images, knobs: &Knobs) {
    let documents: Vec<_> = service.versions.iter().map(|v| (v.number, v.document.clone())).collect();
    for replica in &mut service.replicas {
        let document = documents.iter().find(|(number, _)| *number == replica.version);
        let image = document.map_or("", |(_, document)| document::image(document));
        replica.live_on(now, &images.get(image));
    }
    service.replicas.retain(|replica| replica.stage != Stage::Gone);
    if service.life == Life::On {
        let goals = goals(service, knobs);
        while steer(service, goals, now) {}
        finish(service, now, knobs);
    } else {
        for replica in &mut service.replicas {
            replica.terminate(now);
        }
    }
    watch(service);
}

/// How many replicas should run the new version, and how many an old one.
fn goals(service: &Service, knobs: &Knobs) -> (u32, u32) {
    let wanted = service.wanted;
    let updated = service.updated_replicas().min(wanted);
    let plan = service.plan.as_ref().filter(|_| service.planned && service.target != service.settled);
    let new = match plan {
        Some(plan) if plan.paused => updated,
        Some(plan) if knobs.way_back == WayBack::Ignored => (wanted - plan.keep(wanted)).max(updated),
        Some(plan) => wanted - plan.keep(wanted),
        None => service.frozen.map_or(wanted, |count| count.min(wanted)),
    };
    (new, wanted - new)
}

/// Makes one move, if there is one to make.
fn steer(service: &mut Service, (new_goal, old_goal): (u32, u32), now: u64) -> bool {
    let target = service.target;
    let (surge, unavailable) = document::limits(service.document(), service.wanted);
    let new = service.updated_replicas();
    let old = service.live() - new;
    let is_surplus = |replica: &Replica| {
        replica.is_live() && if replica.version == target { new > new_goal } else { old > old_goal }
    };
    let unready = service.replicas.iter().position(|replica| is_surplus(replica) && !replica.is_ready());
    if let Some(index) = unready {
        service.replicas[index].terminate(now);
        return true;
    }
    // A service that has nothing to lose needs no surge.
    let room = if service.live() < service.wanted { service.wanted } else { service.wanted + surge };
    if service.live() < room && (new < new_goal || old < old_goal) {
        let version = if new < new_goal { target } else { service.settled };
        give_birth(service, version, now);
        return true;
    }
    let ready = service.replicas.iter().position(|replica| is_surplus(replica) && replica.is_ready());
    if let Some(index) = ready.filter(|_| service.ready() > service.wanted.saturating_sub(unavailable)) {
        service.replicas[index].terminate(now);
        return true;
    }
    false
}

fn give_birth(service: &mut Service, version: u32, now: u64) {
    service.born += 1;
    let name = format!("{}-{version:010x}-{:05}", service.name.replace('_', "-"), service.born);
    let grace = service.document_of(version).map_or(30, document::grace);
    service.replicas.push(Replica::new(name, version, now, grace));
}

/// Takes note of batches and updates that are complete.
fn finish(service: &mut Service, now: u64, knobs: &Knobs) {
    let (new_goal, _) = goals(service, knobs);
    let has_batch = service.updated_replicas() == new_goal && service.ready() == service.wanted;
    let is_done = service.planned && has_batch && service.live() == service.wanted;
    let wanted = service.wanted;
    let follows = |plan: &&mut Plan| is_done && !plan.paused && plan.keep(wanted) > 0;
    if let Some(plan) = service.plan.as_mut().filter(follows) {
        plan.batch_is_done(now);
    }
    if service.is_settled() && !service.is_held() {
        service.settled = service.target;
        service.planned = false;
        if knobs.flip == Flip::Completed {
            service.current = service.target;
        }
    }
}

fn watch(service: &mut Service) {
    let ready = service.ready();
    if ready >= service.wanted || service.least_ready.is_some() {
        service.least_ready = Some(service.least_ready.map_or(ready, |least| least.min(ready)));
    }
    service.most = service.most.max(service.live());
}
