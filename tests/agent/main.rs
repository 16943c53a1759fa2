//! The agent with real processes: the program itself as agent and gateway, this test program as replicas.

mod access;
mod crashes;
mod idle;
mod machine;
mod replica;
mod serving;
mod versions;
