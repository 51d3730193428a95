//! Whole rings on a virtual clock: the traps of ARCHITECTURE.md ("The rules of
//! the ring") as stories, each under many seeds.

// The driver is what draws random numbers; the core still draws none.
#![allow(clippy::disallowed_types)]

mod churn;
mod crowds;
mod driver;
mod files;
mod growing;
mod hosts;
mod leaving;
mod lookups;
mod merging;
mod providers;
