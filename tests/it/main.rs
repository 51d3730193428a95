//! The integration tests: the real program in real processes, over loopback
//! TCP and in a pseudo-terminal.

mod attack;
mod chain;
mod cli;
mod cluster;
mod dashboard;
mod docs;
mod durability;
mod full;
mod hostile;
mod lab_tasks;
mod layers;
mod limits;
mod links;
mod missing;
mod partition;
mod picture;
mod process;
mod providers;
mod proxy;
mod pty;
mod registry;
mod registry_dashboard;
mod resume;
mod scan;
mod scenarios;
mod search;
mod sessions;
mod shares;
mod sizes;
mod small;
mod sources;
mod swarm;
mod tape;
mod trees;
mod wire;
