//! Friendli Dedicated Endpoints.
