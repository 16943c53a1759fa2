//! The loop around the pure core: observe, step, record, act.
