//! The integration tests: the real program in real processes, over loopback
//! TCP and in a pseudo-terminal.

mod attack;
mod chain;
mod cli;
mod cluster;
mod dashboard;
mod docs;
mod lab_tasks;
mod layers;
mod picture;
mod process;
mod pty;
mod sessions;
mod tape;
mod wire;
