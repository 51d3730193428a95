//! Runs as data: a setup, what goes wrong when, and what must hold.

use super::World;

/// Something that befalls the world at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {}

impl World {
    /// [`super::event::Event::Fault`]
    pub(super) fn fault(&mut self, number: u32) {
        let _ = self.faults.get(number as usize);
    }
}
