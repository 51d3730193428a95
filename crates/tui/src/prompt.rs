//! The keys of the command line: editing, history, completion, carrying out.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

use chordal_view::command::{Command, parse_line};
use chordal_view::{Level, Membership, text};

use super::action;
use super::complete::Completion;
use super::complete::{complete, expand_home};
use super::reducer::UiEffect;
use super::state::{App, Confirmed, Cycle, Focus, Found, Message, Overlay, Recall, Running};

/// Characters of a line: no command needs more, and a paste of a whole file
/// must not slow the prompt down.
const MAX_LINE: usize = 4_096;

/// Commands that may be under way at once.
const MAX_RUNNING: usize = 32;

impl App {
    /// A key while the prompt has the focus.
    pub(super) fn prompt_key(&mut self, key: KeyEvent) -> Vec<UiEffect> {
        let by_q = std::mem::take(&mut self.control.closed_by_q);
        if self.prompt.search.is_some() {
            return self.search_history_key(key);
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let empty = self.prompt.input.value().is_empty();
        // A simulation's clock; without one no key of a character acts here.
        let clock = action::action(self, key)
            .filter(|_| empty && !control && matches!(key.code, KeyCode::Char(_)));
        if let Some(action) = clock {
            return self.act(action);
        }
        match key.code {
            KeyCode::Enter => return self.enter(),
            // A line feed: what Enter sent before the terminal was in raw mode.
            KeyCode::Char('j') if control => return self.enter(),
            KeyCode::Esc => self.escape_prompt(),
            KeyCode::Tab | KeyCode::BackTab if empty => self.focus = Focus::Panels,
            KeyCode::Tab => self.complete_word(1),
            KeyCode::BackTab => self.complete_word(-1),
            KeyCode::Char('?') if empty => self.open_help(),
            KeyCode::F(1) => self.open_help(),
            KeyCode::Char('u') if by_q && empty && !control => self.insert("qu"),
            KeyCode::Char('d') if control && empty => return self.quit(),
            KeyCode::Char('r') if control => self.start_search(),
            KeyCode::Up => self.older(),
            KeyCode::Char('p') if control => self.older(),
            KeyCode::Down => self.newer(),
            KeyCode::Char('n') if control => self.newer(),
            KeyCode::Right | KeyCode::End if self.takes_ghost() => {}
            KeyCode::Char('f' | 'e') if control && self.takes_ghost() => {}
            _ => self.edit(key),
        }
        Vec::new()
    }

    /// Types text at the cursor; a search in the history is over then. Behind a
    /// line that was refused a letter begins the next line, as in a shell; a
    /// blank, like every key that moves or deletes, amends it. Ctrl-Y brings
    /// the refused line back.
    pub(super) fn insert(&mut self, text: &str) {
        if self.prompt.complaint && !text.starts_with(' ') {
            self.prompt.input.handle(InputRequest::GoToEnd);
            self.prompt.input.handle(InputRequest::DeleteFromStart);
        }
        self.prompt.search = None;
        self.prompt.found = None;
        let room = MAX_LINE.saturating_sub(self.prompt.input.value().chars().count());
        for c in text.chars().take(room) {
            self.prompt.input.handle(InputRequest::InsertChar(c));
        }
        self.edited();
    }

    /// Carries out a line whose consequence was accepted.
    pub(super) fn run_confirmed(&mut self, line: &str) -> Vec<UiEffect> {
        match parse_line(line) {
            Ok(command) => self.submit(command, line),
            Err(why) => {
                self.complain(why.to_string());
                Vec::new()
            }
        }
    }

    fn edit(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let request = match (key.code, control, alt) {
            (KeyCode::Char(c), false, false) => return self.insert(c.encode_utf8(&mut [0; 4])),
            (KeyCode::Backspace, false, false) | (KeyCode::Char('h'), true, _) => {
                InputRequest::DeletePrevChar
            }
            (KeyCode::Delete, false, _) | (KeyCode::Char('d'), true, _) => {
                InputRequest::DeleteNextChar
            }
            (KeyCode::Left, false, false) | (KeyCode::Char('b'), true, _) => {
                InputRequest::GoToPrevChar
            }
            (KeyCode::Right, false, false) | (KeyCode::Char('f'), true, _) => {
                InputRequest::GoToNextChar
            }
            (KeyCode::Left, _, _) | (KeyCode::Char('b'), _, true) => InputRequest::GoToPrevWord,
            (KeyCode::Right, _, _) | (KeyCode::Char('f'), _, true) => InputRequest::GoToNextWord,
            (KeyCode::Home, _, _) | (KeyCode::Char('a'), true, _) => InputRequest::GoToStart,
            (KeyCode::End, _, _) | (KeyCode::Char('e'), true, _) => InputRequest::GoToEnd,
            (KeyCode::Char('w'), true, _) | (KeyCode::Backspace, _, _) => {
                InputRequest::DeletePrevWord
            }
            (KeyCode::Delete, true, _) | (KeyCode::Char('d'), _, true) => {
                InputRequest::DeleteNextWord
            }
            (KeyCode::Char('u'), true, _) => InputRequest::DeleteFromStart,
            (KeyCode::Char('k'), true, _) => InputRequest::DeleteTillEnd,
            (KeyCode::Char('y'), true, _) => InputRequest::Yank,
            _ => return,
        };
        self.prompt.input.handle(request);
        self.edited();
    }

    /// After a change by typing: what was begun on the old line is over.
    fn edited(&mut self) {
        self.prompt.recall = None;
        self.prompt.cycle = None;
        self.line_changed();
    }

    /// After any change of the line: ghost, description and complaint follow.
    fn line_changed(&mut self) {
        if std::mem::take(&mut self.prompt.complaint) {
            self.prompt.message = None;
        }
        if self.prompt.cycle.is_none() {
            self.prompt.menu.clear();
            self.prompt.menu_selected = None;
        }
        let (before, after) = self.around_cursor();
        self.prompt.ghost.clear();
        if before.is_empty() && after.is_empty() {
            self.prompt.description.clear();
            return;
        }
        let prompt = &mut self.prompt;
        let snapshot = &self.nodes[self.shown].snapshot;
        let found = complete(&before, snapshot, &prompt.history, &mut prompt.directory);
        if after.is_empty() && prompt.cycle.is_none() {
            let remembered = prompt
                .history
                .newest_first()
                .find(|line| line.len() > before.len() && line.starts_with(before.as_str()));
            let typed = &before[found.start..];
            let first = found.items.first().filter(|_| !typed.is_empty());
            prompt.ghost = remembered
                .and_then(|line| line.strip_prefix(before.as_str()))
                .or_else(|| first.and_then(|item| item.text.strip_prefix(typed)))
                .unwrap_or_default()
                .to_owned();
        }
        prompt.description = found.description;
    }

    fn around_cursor(&self) -> (String, String) {
        let value = self.prompt.input.value();
        let cursor = self.prompt.input.cursor();
        let at = value.char_indices().nth(cursor).map_or(value.len(), |(at, _)| at);
        let (before, after) = value.split_at(at);
        (before.to_owned(), after.to_owned())
    }

    fn set_line(&mut self, before: String, after: &str) {
        let cursor = before.chars().count();
        self.prompt.input = Input::new(before + after).with_cursor(cursor);
    }

    fn takes_ghost(&mut self) -> bool {
        let at_end = self.around_cursor().1.is_empty();
        if self.prompt.ghost.is_empty() || !at_end {
            return false;
        }
        let ghost = std::mem::take(&mut self.prompt.ghost);
        self.insert(&ghost);
        true
    }

    fn escape_prompt(&mut self) {
        match self.prompt.cycle.take() {
            Some(cycle) => {
                self.set_line(cycle.before + &cycle.typed, &cycle.after);
                self.line_changed();
            }
            None => self.focus = Focus::Panels,
        }
    }

    /// Tab: completes as far as the candidates agree, then goes round them.
    fn complete_word(&mut self, step: isize) {
        if self.prompt.cycle.is_some() && !self.prompt.menu.is_empty() {
            self.next_candidate(step);
            return;
        }
        let (before, after) = self.around_cursor();
        let prompt = &mut self.prompt;
        let snapshot = &self.nodes[self.shown].snapshot;
        let found = complete(&before, snapshot, &prompt.history, &mut prompt.directory);
        let (start, typed) = before.split_at(found.start);
        match found.items.as_slice() {
            [] => {}
            [only] => {
                // A directory goes on; anything else is a finished word.
                let open = only.text.ends_with(['/', '=']) || only.text.ends_with("/\"");
                let space = if open || after.starts_with(' ') { "" } else { " " };
                self.set_line(format!("{start}{}{space}", only.text), &after);
                self.edited();
            }
            several => {
                let common = common_prefix(several);
                if common.len() > typed.len() && common.starts_with(typed) {
                    self.set_line(format!("{start}{common}"), &after);
                    self.edited();
                    return;
                }
                self.prompt.cycle =
                    Some(Cycle { before: start.to_owned(), typed: typed.to_owned(), after });
                self.prompt.menu = found.items;
                self.prompt.menu_selected = None;
                self.next_candidate(step);
            }
        }
    }

    fn next_candidate(&mut self, step: isize) {
        let count = self.prompt.menu.len();
        let at = match self.prompt.menu_selected {
            None if step < 0 => count - 1,
            None => 0,
            Some(at) if step < 0 => (at + count - 1) % count,
            Some(at) => (at + 1) % count,
        };
        let Some(cycle) = self.prompt.cycle.clone() else { return };
        self.set_line(cycle.before + &self.prompt.menu[at].text, &cycle.after);
        self.prompt.menu_selected = Some(at);
        self.line_changed();
    }

    fn older(&mut self) {
        let value = self.prompt.input.value().to_owned();
        let history = &self.prompt.history;
        let (typed, before) = match &self.prompt.recall {
            Some(recall) => (recall.typed.clone(), recall.at),
            None => (value.clone(), history.len()),
        };
        if let Some(at) = history.older(&typed, &value, before) {
            self.recall(Some(Recall { typed, at }));
        }
    }

    fn newer(&mut self) {
        let Some(recall) = self.prompt.recall.clone() else { return };
        let value = self.prompt.input.value();
        match self.prompt.history.newer(&recall.typed, value, recall.at) {
            Some(at) => self.recall(Some(Recall { at, ..recall })),
            None => {
                self.set_line(recall.typed, "");
                self.recall(None);
            }
        }
    }

    fn recall(&mut self, recall: Option<Recall>) {
        if let Some(line) = recall.as_ref().and_then(|r| self.prompt.history.line(r.at)) {
            let line = line.to_owned();
            self.set_line(line, "");
        }
        self.prompt.recall = recall;
        self.prompt.cycle = None;
        self.line_changed();
    }

    fn start_search(&mut self) {
        let before = self.prompt.input.value().to_owned();
        self.prompt.found = Some(Found { before, at: None });
        self.prompt.search = Some(String::new());
        self.prompt.ghost.clear();
        self.prompt.menu.clear();
        self.prompt.cycle = None;
        "search older lines; Enter runs, Esc edits, Ctrl-C gives up"
            .clone_into(&mut self.prompt.description);
    }

    fn search_history_key(&mut self, key: KeyEvent) -> Vec<UiEffect> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let from = self.prompt.found.as_ref().and_then(|found| found.at);
        let length = self.prompt.history.len();
        let needle = self.prompt.search.get_or_insert_default();
        match key.code {
            KeyCode::Char('r') if control => self.search_from(from.unwrap_or(length)),
            KeyCode::Char('c' | 'g') if control => {
                if let Some(found) = self.prompt.found.take() {
                    self.set_line(found.before, "");
                }
                self.end_search();
            }
            KeyCode::Enter => {
                self.end_search();
                return self.enter();
            }
            KeyCode::Backspace => {
                needle.pop();
                self.search_from(length);
            }
            KeyCode::Char(c) if !control => {
                needle.push(c);
                self.search_from(from.map_or(length, |at| at + 1));
            }
            KeyCode::Esc | KeyCode::Tab => self.end_search(),
            _ => {
                self.end_search();
                return self.prompt_key(key);
            }
        }
        Vec::new()
    }

    fn search_from(&mut self, before: usize) {
        let prompt = &mut self.prompt;
        let needle = prompt.search.as_deref().unwrap_or_default();
        if needle.is_empty() {
            return;
        }
        if let Some(at) = prompt.history.containing(needle, before) {
            let line = prompt.history.line(at).unwrap_or_default().to_owned();
            if let Some(found) = &mut prompt.found {
                found.at = Some(at);
            }
            self.set_line(line, "");
        }
    }

    fn end_search(&mut self) {
        self.prompt.search = None;
        self.prompt.found = None;
        self.edited();
    }

    fn enter(&mut self) -> Vec<UiEffect> {
        let line = text::clean(self.prompt.input.value().trim()).into_owned();
        if line.trim_start_matches(':').trim().is_empty() {
            self.prompt.input.reset();
            self.edited();
            return Vec::new();
        }
        let command = match parse_line(&line) {
            Ok(command) => command,
            Err(why) => {
                self.complain(why.to_string());
                return Vec::new();
            }
        };
        self.prompt.history.push(&line);
        self.prompt.input.reset();
        self.prompt.message = None;
        self.prompt.directory.forget();
        self.edited();
        if matches!(self.overlay, Some(Overlay::Output { .. } | Overlay::Results)) {
            self.overlay = None;
        }
        let mut done = vec![UiEffect::Remember(line.clone())];
        done.extend(self.carry_out(command, &line));
        done
    }

    fn carry_out(&mut self, command: Command, line: &str) -> Vec<UiEffect> {
        let question = match &command {
            Command::Help { command: None } => {
                self.open_help();
                return Vec::new();
            }
            Command::Help { command: Some(word) } => {
                let lines = text::help_lines(Some(word));
                self.overlay = Some(Overlay::Output { title: line.to_owned(), lines, scroll: 0 });
                return Vec::new();
            }
            Command::Quit => return self.quit(),
            Command::QuitNow => return vec![UiEffect::EndNow],
            Command::Leave => self.leave_question(),
            Command::Rm { name } => {
                Some(format!("rm {name}: every node of the ring drops its copy"))
            }
            _ => None,
        };
        match question {
            Some(question) => {
                let action = Confirmed::Run(line.to_owned());
                self.overlay = Some(Overlay::Confirm { question, action });
                Vec::new()
            }
            None => self.submit(command, line),
        }
    }

    fn submit(&mut self, command: Command, line: &str) -> Vec<UiEffect> {
        if self.nodes[self.shown].snapshot.membership == Membership::Down {
            let remedy =
                if self.lab { "Esc, then R starts it again" } else { "quit and start it again" };
            self.tell(Level::Error, format!("{line}: this node is down; {remedy}"));
            return Vec::new();
        }
        if self.control.running.len() >= MAX_RUNNING {
            let text = format!("{line}: {MAX_RUNNING} commands are under way; wait for one to end");
            self.tell(Level::Error, text);
            return Vec::new();
        }
        let command = match command {
            Command::Put { path, name, overwrite, min_copies } => {
                let path = expand_home(&path.to_string_lossy());
                Command::Put { path, name, overwrite, min_copies }
            }
            Command::Get { name, to: Some(to), no_reshare } => {
                let to = Some(expand_home(&to.to_string_lossy()));
                Command::Get { name, to, no_reshare }
            }
            Command::Request { name, peer, to: Some(to), no_reshare } => {
                let to = Some(expand_home(&to.to_string_lossy()));
                Command::Request { name, peer, to, no_reshare }
            }
            Command::Share { paths } => {
                let paths = paths.iter().map(|path| expand_home(&path.to_string_lossy()));
                Command::Share { paths: paths.collect() }
            }
            other => other,
        };
        let (node, ticket) = (self.shown, self.control.next_ticket);
        self.control.next_ticket += 1;
        self.control.running.push(Running { ticket, node, line: line.to_owned() });
        self.show_running();
        vec![UiEffect::Submit { node, ticket, command }]
    }

    fn complain(&mut self, text: String) {
        self.prompt.message = Some(Message { level: Level::Error, text });
        self.prompt.complaint = true;
    }
}

/// What all candidates start with.
fn common_prefix(items: &[Completion]) -> String {
    let Some((first, rest)) = items.split_first() else {
        return String::new();
    };
    let mut common: String = first.text.clone();
    for item in rest {
        let shared = common.char_indices().zip(item.text.chars()).find(|((_, a), b)| a != b);
        let end = match shared {
            Some(((at, _), _)) => at,
            None => common.len().min(item.text.len()),
        };
        common.truncate(end);
    }
    common
}
