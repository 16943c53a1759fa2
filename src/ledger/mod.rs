//! The durable, append-only record of versions and rollouts.
