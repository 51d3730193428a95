//! Whole rings by hand: the traps of [`chordal_core::chord::rules`] as stories, each under
//! many seeds.

mod churn;
mod crowds;
mod files;
mod growing;
mod hosts;
mod leaving;
mod lookups;
mod merging;
mod net;
mod providers;
