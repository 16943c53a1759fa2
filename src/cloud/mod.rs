//! Cloud adapters: calls that change or observe one cloud. Knows `spec` and `fleet`, never `rollout`.
