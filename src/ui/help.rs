//! The help screen's lines: every live key and every command, searchable.

use crate::view::command::TABLE;

use super::action;
use super::state::App;

/// A line of the help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A heading.
    Heading(&'static str),
    /// A key or a command, and what it does.
    Entry(String, String),
}

/// The lines that contain `filter` (case-insensitive; a leading `/` is
/// ignored), headings without entries left out.
pub fn lines(app: &App, filter: &str) -> Vec<Line> {
    let filter = filter.trim_start_matches('/').trim().to_lowercase();
    let keys: Vec<_> = action::list(app.lab, app.control.can_add)
        .into_iter()
        .map(|(keys, help)| (keys, help.to_owned()))
        .collect();
    let commands: Vec<_> = TABLE
        .iter()
        .map(|spec| {
            let mut help = spec.summary.to_owned();
            if !spec.aliases.is_empty() {
                help.push_str(&format!(" (also {})", spec.aliases.join(", ")));
            }
            (spec.usage(), help)
        })
        .collect();
    let mut lines = Vec::new();
    for (heading, entries) in [("Commands", commands), ("Keys", keys)] {
        let fits = |(what, help): &(String, String)| {
            what.to_lowercase().contains(&filter) || help.to_lowercase().contains(&filter)
        };
        let mut found = entries.into_iter().filter(fits).peekable();
        if found.peek().is_some() {
            lines.push(Line::Heading(heading));
            lines.extend(found.map(|(what, help)| Line::Entry(what, help)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;
    use std::sync::Arc;

    fn app() -> App {
        App::new(vec![Arc::new(sample::snapshot())], Default::default(), Default::default())
    }

    #[test]
    fn every_command_and_every_live_key_is_listed() {
        let lines = lines(&app(), "");
        for spec in TABLE {
            let usage = spec.usage();
            assert!(
                lines.iter().any(|line| matches!(line, Line::Entry(what, _) if *what == usage)),
                "{usage}"
            );
        }
        let kill = |lines: &[Line]| {
            lines.iter().any(|line| matches!(line, Line::Entry(what, _) if what == "K"))
        };
        assert!(!kill(&lines));
        let mut lab = app();
        lab.lab = true;
        assert!(kill(&super::lines(&lab, "")));
    }

    #[test]
    fn a_search_keeps_what_fits_and_its_heading() {
        let found = lines(&app(), "/DOWNLOAD");
        assert_eq!(found[0], Line::Heading("Commands"));
        assert_eq!(found.len(), 2);
        assert!(lines(&app(), "no such thing").is_empty());
    }
}
