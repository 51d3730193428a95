//! The integration tests: the real program in real processes, over loopback
//! TCP and in a pseudo-terminal.

mod cli;
mod layers;
