//! Alibaba Cloud PAI-EAS: the emulator of the service, its proof by the vendor's client, and the stories that the real
//! `terraform` tells against it.

mod acceptance;
mod conformance;
mod emulator;
