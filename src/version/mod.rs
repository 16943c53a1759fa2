//! What changed between versions, and the canonical digest.
