//! The only place that knows the Terraform plugin protocol.
