//! What people are told: lines of the events panel and rows of the dashboard.

use tokio::sync::mpsc;

use chordal_view::{Level, Step};

use super::Input;
use super::demand::Demand;
use super::ui_rows::{Rows, UiRows};
use crate::clock::Clock;

/// Where a node's tasks say what people should know. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    /// To the hub, which publishes.
    pub(super) hub: mpsc::Sender<Input>,
    /// The node's time of day.
    pub(crate) clock: Clock,
    /// What else a snapshot shows.
    pub(crate) ui_rows: UiRows,
    /// What others want of this node.
    pub(crate) demand: Demand,
}

impl Notes {
    pub(crate) fn new(hub: mpsc::Sender<Input>, clock: Clock) -> Notes {
        Notes { hub, clock, ui_rows: UiRows::default(), demand: Demand::default() }
    }

    /// A line for the events panel.
    pub(crate) async fn event(&self, level: Level, text: String) {
        let _ = self.hub.send(Input::Event(level, text)).await;
    }

    /// The same. Never waits; `false`: the hub is too busy to be told.
    pub(crate) fn event_now(&self, level: Level, text: String) -> bool {
        self.hub.try_send(Input::Event(level, text)).is_ok()
    }

    /// The same, with the step of the protocol behind it.
    pub(crate) async fn step(&self, step: Step, level: Level, text: String) {
        let _ = self.hub.send(Input::Step(step, level, text)).await;
    }

    /// The same. Never waits.
    pub(crate) fn step_now(&self, step: Step, level: Level, text: String) {
        let _ = self.hub.try_send(Input::Step(step, level, text));
    }

    /// A warning that a stranger may cause again and again.
    pub(crate) async fn stranger(&self, text: String) {
        let _ = self.hub.send(Input::Stranger(text)).await;
    }

    /// The same. Never waits.
    pub(crate) fn stranger_now(&self, text: String) {
        let _ = self.hub.try_send(Input::Stranger(text));
    }

    /// Something that a snapshot shows changed outside the core.
    pub(crate) async fn changed(&self) {
        let _ = self.hub.send(Input::Changed).await;
    }

    /// Changes what is shown and publishes it. Never waits.
    pub(crate) fn show(&self, change: impl FnOnce(&mut Rows)) {
        self.ui_rows.change(change);
        // A hub that is too busy to hear this publishes soon anyhow.
        let _ = self.hub.try_send(Input::Changed);
    }
}
