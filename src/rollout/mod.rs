//! The pure rollout core: limits, step, phases, preview.
