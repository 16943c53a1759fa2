//! The rollout engine against a simulated cloud: real engines, virtual time, faults drawn from seeds.
//!
//! `SLUICE_SIM_SEEDS=N` plays N seeds, `SLUICE_SIM_SEED=S` plays one of them again and tells everything.

#[cfg(test)]
mod clock;
#[cfg(test)]
mod cloud;
#[cfg(test)]
mod control;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod interrupts;
#[cfg(test)]
mod random;
#[cfg(test)]
mod referee;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod script;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod store;
#[cfg(test)]
mod world;
