//! One binary: a Terraform plugin when Terraform starts it, a command line otherwise.

fn main() {}
