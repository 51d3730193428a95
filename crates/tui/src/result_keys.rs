//! How lists of results fill while a command runs, and the keys that take from them.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Position;

use chordal_view::command::{Command, parse_line, quote};
use chordal_view::{Behind, Level, Outcome, Snapshot};

use super::panel::{PAGE, moved};
use super::reducer::UiEffect;
use super::results::{Listed, Results, clean_scan, clean_search};
use super::state::{App, Focus, Overlay};

impl App {
    /// The results of the shown node, while they are open.
    pub fn open_results(&self) -> Option<&Results> {
        match self.overlay {
            Some(Overlay::Results) => self.nodes[self.shown].results.as_ref(),
            _ => None,
        }
    }

    /// Shows the last results once more.
    pub(super) fn reopen_results(&mut self) {
        if self.nodes[self.shown].results.is_some() {
            self.overlay = Some(Overlay::Results);
        } else {
            self.tell(Level::Warn, "no results yet: find and scan list some");
        }
    }

    /// A new snapshot of a node: the search or scan that runs for this
    /// dashboard shows what it has found so far.
    pub(super) fn results_changed(&mut self, node: usize, before: &Snapshot) {
        let now = &self.nodes[node].snapshot;
        let search = now.search.clone().filter(|row| match &before.search {
            Some(before) => !Arc::ptr_eq(before, row),
            None => true,
        });
        let scan = now.scan.clone().filter(|row| match &before.scan {
            Some(before) => !Arc::ptr_eq(before, row),
            None => true,
        });
        for of in [search.map(Listed::Search), scan.map(Listed::Scan)].into_iter().flatten() {
            if let Some(results) = &mut self.nodes[node].results
                && results.is_same(&of)
            {
                results.update(of);
            } else if self.was_started_here(node, &of, before) {
                self.nodes[node].results = Some(Results::new(of));
                if node == self.shown && self.has_room() {
                    self.overlay = Some(Overlay::Results);
                }
            }
        }
    }

    /// Whether a search or scan has begun since `before`, by a line that was
    /// typed here: clients of the node search and scan too.
    fn was_started_here(&self, node: usize, of: &Listed, before: &Snapshot) -> bool {
        let is_new = match of {
            Listed::Search(row) => {
                before.search.as_ref().is_none_or(|before| before.number != row.number)
            }
            Listed::Scan(row) => {
                before.scan.as_ref().is_none_or(|before| before.number != row.number)
            }
            Listed::Contents { .. } => false,
        };
        let asks = |line: &str| match (parse_line(line), of) {
            (Ok(Command::Find { pattern }), Listed::Search(row)) => pattern == row.pattern,
            (Ok(Command::Scan { .. }), Listed::Scan(_)) => true,
            _ => false,
        };
        let mut running = self.control.running.iter().filter(|running| running.node == node);
        is_new && running.any(|running| asks(&running.line))
    }

    /// Whether results may take the place over the panels.
    fn has_room(&self) -> bool {
        matches!(self.overlay, None | Some(Overlay::Output { .. } | Overlay::Results))
    }

    /// A command of a node ended: its results are listed. Gives an outcome back
    /// that is no list.
    pub(super) fn results_ended(
        &mut self,
        node: usize,
        line: &str,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let of = match outcome {
            Outcome::Found(mut row) => {
                clean_search(&mut row);
                Listed::Search(Arc::new(row))
            }
            Outcome::Scanned(mut row) => {
                clean_scan(&mut row);
                Listed::Scan(Arc::new(row))
            }
            Outcome::Ambiguous { name, contents } => {
                Listed::Contents { name, contents, options: options(line) }
            }
            other => return Some(other),
        };
        let tab = self.nodes.get_mut(node)?;
        let was_shown = match &mut tab.results {
            Some(results) if results.is_same(&of) => {
                results.update(of);
                true
            }
            results => {
                *results = Some(Results::new(of));
                false
            }
        };
        let summary = tab.results.as_ref().map(Results::summary).unwrap_or_default();
        let is_open = matches!(self.overlay, Some(Overlay::Results));
        if node == self.shown && !was_shown && self.has_room() {
            self.overlay = Some(Overlay::Results);
            self.prompt.message = None;
        } else if node != self.shown || !is_open {
            let keys = if self.focus == Focus::Prompt { "Esc, then r" } else { "r" };
            self.tell(Level::Info, format!("{summary}; {keys} shows them again"));
        }
        None
    }

    /// Handles a key while results are open. `None`: the key is meant for
    /// what is below them. At the prompt typing goes on meanwhile.
    pub(super) fn results_key(&mut self, key: KeyEvent) -> Option<Vec<UiEffect>> {
        self.open_results()?;
        let typing = self.focus == Focus::Prompt;
        let free = !typing || self.prompt.input.value().is_empty();
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return None;
        }
        match key.code {
            KeyCode::Esc => self.overlay = None,
            _ if !free => return None,
            KeyCode::Char('q') => {
                self.control.closed_by_q = typing;
                self.overlay = None;
            }
            KeyCode::Enter => return Some(self.take_result()),
            // No command starts with a y.
            KeyCode::Char('y') => return Some(self.copy_result()),
            KeyCode::Up => self.select_result(-1),
            KeyCode::Down => self.select_result(1),
            KeyCode::PageUp => self.select_result(-PAGE),
            KeyCode::PageDown => self.select_result(PAGE),
            KeyCode::Home => self.select_result(isize::MIN),
            KeyCode::End => self.select_result(isize::MAX),
            KeyCode::Right => self.choose_command(1),
            KeyCode::Left => self.choose_command(-1),
            // Letters begin a command at the prompt.
            _ if typing => return None,
            KeyCode::Char('r') => self.overlay = None,
            KeyCode::Char('k') => self.select_result(-1),
            KeyCode::Char('j') => self.select_result(1),
            KeyCode::Char('g') => self.select_result(isize::MIN),
            KeyCode::Char('G') => self.select_result(isize::MAX),
            KeyCode::Char('l') => self.choose_command(1),
            KeyCode::Char('h') => self.choose_command(-1),
            KeyCode::Char(':') => {
                self.overlay = None;
                self.focus = Focus::Prompt;
            }
            // The rest belongs to panels that are not in sight.
            KeyCode::Char('?') => return None,
            _ => {}
        }
        Some(Vec::new())
    }

    /// Moves the selection of the open results.
    pub(super) fn select_result(&mut self, rows: isize) {
        let Some(results) = &mut self.nodes[self.shown].results else { return };
        let before = results.table.selected;
        results.table.selected = moved(before, rows, results.rows());
        results.kept = true;
        if results.table.selected != before {
            results.choice = 0;
        }
        self.prompt.message = None;
    }

    /// A click selects the row under it.
    pub(super) fn click_result(&mut self, at: Position) {
        let Some(area) = self.memory.rows.filter(|area| area.contains(at)) else { return };
        let Some(offset) = self.open_results().map(|results| results.table.offset) else { return };
        let row = offset + usize::from(at.y - area.y);
        self.select_result(isize::MIN);
        self.select_result(isize::try_from(row).unwrap_or(isize::MAX));
    }

    fn choose_command(&mut self, step: isize) {
        let tab = &mut self.nodes[self.shown];
        let Some(results) = &mut tab.results else { return };
        let count = results.commands(&tab.snapshot).len();
        results.choice = moved(results.choice.min(count.saturating_sub(1)), step, count);
        results.kept = true;
    }

    /// Carries out what is shown for the selected row.
    fn take_result(&mut self) -> Vec<UiEffect> {
        let tab = &self.nodes[self.shown];
        let Some(results) = &tab.results else { return Vec::new() };
        let Some(line) = results.command(&tab.snapshot) else {
            let why = match results.port(results.table.selected).map(|port| &port.found) {
                Some(Behind::Registry) => "a registry: nodes started with --seed ask it for peers",
                Some(Behind::Me) => "this is the node that looked",
                Some(Behind::NotChordal(_)) => "this does not speak chordal; choose a node",
                Some(_) => "nobody answers there; choose a node",
                None => "there is nothing to take; Esc closes the list",
            };
            return self.refuse(why);
        };
        self.overlay = None;
        self.prompt.message = None;
        self.prompt.history.push(&line);
        let mut done = vec![UiEffect::Remember(line.clone())];
        done.extend(self.run_confirmed(&line));
        done
    }

    fn copy_result(&mut self) -> Vec<UiEffect> {
        let Some(results) = &self.nodes[self.shown].results else { return Vec::new() };
        let at = results.table.selected;
        let text = match results.content(at) {
            Some(content) => results.word(content).map(|word| quote(&word)),
            None => results.port(at).map(|port| port.address.to_string()),
        };
        let Some(text) = text else { return Vec::new() };
        self.tell(Level::Info, format!("copied {text}"));
        vec![UiEffect::Copy(text)]
    }
}

/// The options of a `get` as they would be typed, with a blank before each.
fn options(line: &str) -> String {
    let Ok(Command::Get { to, no_reshare, .. }) = parse_line(line) else {
        return String::new();
    };
    let mut options = String::new();
    if let Some(to) = to {
        options.push_str(" --to ");
        options.push_str(&quote(&to.to_string_lossy()));
    }
    if no_reshare {
        options.push_str(" --no-reshare");
    }
    options
}
