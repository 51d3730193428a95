//! The keys of a simulation: its time, its network, and which of its nodes is
//! shown.

use chordal_view::{Membership, SimulationRow};

use super::SimulationRequest;
use super::action::Action;
use super::reducer::UiEffect;
use super::state::App;

impl App {
    /// Carries out an action on a simulation, or says why not.
    pub(super) fn simulate(&mut self, action: Action, simulation: &SimulationRow) -> Vec<UiEffect> {
        let down = self.nodes[self.shown].snapshot.membership == Membership::Down;
        let refused = match action {
            Action::Step if simulation.running => "time passes; Space stops it, then . goes by one",
            Action::Kill if down => "this host is down already; R starts it again",
            Action::Restart if !down => "this host runs; K kills it first",
            Action::Part if simulation.parts > 1 => "the network is cut already; H heals it",
            Action::Heal if simulation.parts <= 1 => "the network is whole; P cuts it",
            Action::Visit if self.selected_node().is_none() => {
                "select a node first: 1, 2 and 3 show some"
            }
            _ => "",
        };
        if !refused.is_empty() {
            return self.refuse(refused);
        }
        let request = match action {
            Action::Run => SimulationRequest::Run(!simulation.running),
            Action::Step => SimulationRequest::Step,
            Action::Faster => SimulationRequest::Faster,
            Action::Slower => SimulationRequest::Slower,
            Action::Kill => SimulationRequest::Kill,
            Action::Restart => SimulationRequest::Restart,
            Action::Add => SimulationRequest::Add,
            Action::Part => SimulationRequest::Part,
            Action::Heal => SimulationRequest::Heal,
            Action::NextNode => SimulationRequest::Next,
            Action::PreviousNode => SimulationRequest::Previous,
            Action::Visit => match self.selected_node() {
                Some(peer) => SimulationRequest::Show(peer),
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        vec![UiEffect::Simulate(request)]
    }
}
