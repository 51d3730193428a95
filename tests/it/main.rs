//! The integration tests: the real program in real processes, over loopback
//! TCP and in a pseudo-terminal.

mod cluster;
mod dashboard;
mod lab_tasks;
mod picture;
mod process;
mod pty;
mod tape;
