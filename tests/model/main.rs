//! The model checker over the production core.
mod heal;
mod ring;
mod scratch;
mod world;
