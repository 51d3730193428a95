//! Holds every source file to the layers of ARCHITECTURE.md: who may import
//! whom, which modules are pure, who prints, who knows bincode, and how long a
//! file may grow.
//!
//! The checker reads text, not a compiled program, so that it sees what is
//! behind `cfg` as well. It is a checker for honest mistakes: a macro that
//! makes up paths would escape it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code in one file, its tests not counted: a file that grows past
/// that has two jobs.
const MAX_LINES: usize = 700;

/// Layer 0.
const GROUND: &[&str] = &["id", "peer", "name", "record", "time", "limits"];

/// The layers: a module and what it may name of this crate besides itself and
/// layer 0. `a::b` allows only that module of `a`; a module that is not listed
/// has no place yet.
const LAYERS: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("peer", &[]),
    ("name", &[]),
    ("record", &[]),
    ("time", &[]),
    ("limits", &[]),
    ("wire", &[]),
    ("chord", &["wire"]),
    ("transfer", &["wire"]),
    ("mesh", &["wire"]),
    ("registry", &["wire"]),
    ("descriptors", &[]),
    ("view", &[]),
    ("store", &["descriptors", "transfer::manifest", "transfer::pieces"]),
    ("picture", &["chord", "view"]),
    (
        "engine",
        &[
            "wire",
            "chord",
            "transfer",
            "mesh",
            "registry",
            "descriptors",
            "view",
            "picture",
            "store",
        ],
    ),
    ("sim", &["wire", "chord", "transfer", "mesh", "view", "picture"]),
    ("ui", &["view"]),
    (
        "cli",
        &[
            "wire",
            "chord",
            "transfer",
            "mesh",
            "registry",
            "descriptors",
            "view",
            "store",
            "engine",
            "sim",
            "ui",
        ],
    ),
];

/// Files that open a pure module, which bans clocks, random numbers, I/O and
/// hash-ordered maps (clippy.toml).
const PURE: &[&str] = &[
    "id.rs",
    "peer.rs",
    "name.rs",
    "record.rs",
    "time.rs",
    "limits.rs",
    "wire/mod.rs",
    "chord/mod.rs",
    "transfer/mod.rs",
    "mesh/mod.rs",
    "registry/mod.rs",
    "picture/mod.rs",
    "sim/mod.rs",
];

/// The line that switches those bans on.
const BANS: &str = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";

/// One rule broken at one place.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn every_file_keeps_to_its_layer() {
    let files = sources();
    assert!(files.len() > 20, "the sources were not found: {files:?}");
    let found: Vec<_> =
        files.iter().flat_map(|(file, text)| check(file, text)).map(|v| v.to_string()).collect();
    assert!(found.is_empty(), "the layers are broken:\n{}", found.join("\n"));
}

#[test]
fn every_pure_module_and_every_module_of_the_crate_is_known() {
    let files: BTreeSet<String> = sources().into_iter().map(|(file, _)| file).collect();
    for file in PURE {
        assert!(files.contains(*file), "src/{file} is gone: name its successor in PURE");
    }
    let modules: BTreeSet<&str> = files.iter().map(|file| module(file)).collect();
    for (name, _) in LAYERS {
        assert!(modules.contains(name), "{name} is gone: take it out of LAYERS");
    }
}

/// Every source file, as its path below `src/` and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the sources can be read") {
            let path: PathBuf = entry.expect("the sources can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(&root).expect("it lies below").display().to_string();
                let text = fs::read_to_string(&path).expect("sources are text");
                found.push((name.replace('\\', "/"), text));
            }
        }
    }
    found.sort();
    found
}

/// Everything that is wrong with one file.
fn check(file: &str, text: &str) -> Vec<Violation> {
    let tokens = tokens(text);
    let own = module(file);
    let mut found = Vec::new();
    let mut wrong = |line: usize, what: String| {
        found.push(Violation { file: file.to_owned(), line, what });
    };

    let allowed = LAYERS.iter().find(|(name, _)| *name == own).map(|(_, allowed)| *allowed);
    if own == "lib" || own == "main" {
        // They open the layers and are none.
    } else if let Some(allowed) = allowed {
        for edge in edges(file, &tokens) {
            let fine = edge.to == own
                || GROUND.contains(&edge.to.as_str())
                || allowed.iter().any(|rule| edge.is_within(rule));
            if !fine {
                wrong(edge.line, format!("{own} may not import {}", edge.shown()));
            }
        }
    } else {
        wrong(1, format!("{own} has no place among the layers: add it to LAYERS"));
    }

    // A test's words are for whoever runs it; it may be as long as its story.
    let is_test = file.split('/').any(|part| part == "tests" || part == "tests.rs");
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", |next| next.text.as_str());
        let word = token.text.as_str();
        if word == "bincode" && file != "wire/codec.rs" {
            wrong(token.line, "only wire/codec.rs knows bincode".to_owned());
        }
        let macros = ["print", "println", "eprint", "eprintln", "dbg"];
        if macros.contains(&word) && next == "!" && own != "cli" && !is_test {
            wrong(token.line, format!("{word}! outside of cli"));
        }
        // The dashboard owns the terminal, and gives it back with a word when
        // it crashes.
        let streams = own == "cli" || file == "ui/terminal.rs" || file == "ui/screen.rs";
        if (word == "stdout" || word == "stderr") && next == "(" && !streams {
            wrong(token.line, format!("{word}() outside of cli"));
        }
    }

    if PURE.contains(&file) && !text.lines().any(|line| line == BANS) {
        wrong(1, format!("a pure module without {BANS}"));
    }
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if code > MAX_LINES && !is_test {
        wrong(code, format!("{code} lines: a file of more than {MAX_LINES} has two jobs"));
    }
    found
}

/// The top-level module that a file belongs to.
fn module(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// A piece of source text that matters here: a word, `::` or one character.
#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

/// A name of another top-level module in a file.
#[derive(Debug)]
struct Edge {
    to: String,
    /// The segment behind it.
    part: Option<String>,
    line: usize,
}

impl Edge {
    fn is_within(&self, rule: &str) -> bool {
        match rule.split_once("::") {
            Some((module, part)) => self.to == module && self.part.as_deref() == Some(part),
            None => self.to == rule,
        }
    }

    fn shown(&self) -> String {
        match &self.part {
            Some(part) => format!("{}::{part}", self.to),
            None => self.to.clone(),
        }
    }
}

/// Takes source text apart, without its comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let begin = at;
        match (c, next) {
            ('/', Some('/')) => at = until(&chars, at, |rest| rest[0] == '\n'),
            ('/', Some('*')) => at = after_block_comment(&chars, at),
            ('"', _) => at = after_string(&chars, at),
            ('r' | 'b', Some('"' | '#' | 'r' | '\'')) if is_literal(&chars, at) => {
                at = after_prefixed(&chars, at);
            }
            ('\'', _) => at = after_quote(&chars, at),
            (':', Some(':')) => {
                at += 2;
                found.push(Token { text: "::".to_owned(), line });
            }
            (c, _) if is_word(c) => {
                at = until(&chars, at, |rest| !is_word(rest[0]));
                found.push(Token { text: chars[begin..at].iter().collect(), line });
            }
            (c, _) => {
                at += 1;
                if !c.is_whitespace() {
                    found.push(Token { text: c.to_string(), line });
                }
            }
        }
        line += chars[begin..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first place from `at` on where `end` holds for the rest, or the end.
fn until(chars: &[char], at: usize, end: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|at| end(&chars[*at..])).unwrap_or(chars.len())
}

fn after_block_comment(chars: &[char], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The place behind a string whose opening mark is at `at`.
fn after_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Whether a literal with a prefix (`b"`, `r"`, `br#"`, `b'`) starts at `at`.
fn is_literal(chars: &[char], at: usize) -> bool {
    if at > 0 && is_word(chars[at - 1]) {
        return false;
    }
    let behind = until(chars, at, |rest| !matches!(rest[0], 'r' | 'b'));
    let marks = until(chars, behind, |rest| rest[0] != '#');
    let quote = chars.get(marks);
    // `r#word` is a raw identifier: no quotation mark behind its mark.
    behind - at <= 2 && (quote == Some(&'"') || (quote == Some(&'\'') && chars[at] == 'b'))
}

fn after_prefixed(chars: &[char], at: usize) -> usize {
    let raw = chars[at..].iter().take(2).any(|c| *c == 'r');
    let quote = until(chars, at, |rest| matches!(rest[0], '"' | '\''));
    if chars.get(quote) == Some(&'\'') {
        return after_quote(chars, quote);
    }
    if !raw {
        return after_string(chars, quote);
    }
    let marks = chars[at..quote].iter().filter(|c| **c == '#').count();
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest[1..].iter().take(marks).filter(|c| **c == '#').count() == marks
    };
    (until(chars, quote + 1, closes) + 1 + marks).min(chars.len())
}

/// The place behind a character, or behind the mark of a lifetime.
fn after_quote(chars: &[char], at: usize) -> usize {
    match chars[at + 1..] {
        // At least the escaped character itself, which may be a quotation mark.
        ['\\', ..] => until(chars, (at + 3).min(chars.len()), |rest| rest[0] == '\'') + 1,
        [_, '\'', ..] => at + 3,
        _ => at + 1,
    }
}

/// The names of top-level modules behind `crate::`, and behind as many
/// `super::` as lead out of the file's own top-level module.
fn edges(file: &str, tokens: &[Token]) -> Vec<Edge> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut found = Vec::new();
    let mut at = 0;
    let mut braces = 0_usize;
    // Inline modules that are open, by the braces around their own.
    let mut inline: Vec<usize> = Vec::new();
    while at < tokens.len() {
        let mut behind = at;
        if is(at, "{") {
            if is(at.wrapping_sub(2), "mod") {
                inline.push(braces);
            }
            braces += 1;
        } else if is(at, "}") {
            braces = braces.saturating_sub(1);
            inline.pop_if(|around| *around == braces);
        } else if is(at, "crate") && is(at + 1, "::") {
            behind = at + 2;
        } else if is(at, "super") && !is(at.wrapping_sub(1), "::") {
            let mut steps = 0;
            while is(behind, "super") && is(behind + 1, "::") {
                (behind, steps) = (behind + 2, steps + 1);
            }
            if steps != depth(file) + inline.len() {
                at = behind.max(at + 1);
                continue;
            }
        }
        if behind > at {
            at = first_segments(tokens, behind, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// How many `super` lead from a file to the root of the crate.
fn depth(file: &str) -> usize {
    let parts = file.split('/').count();
    if file.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Reads the path, or the group of paths, at `at`; gives back where it ends.
fn first_segments(tokens: &[Token], at: usize, found: &mut Vec<Edge>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    if text(at) != "{" {
        read_edge(tokens, at, found);
        return at + 1;
    }
    let (mut at, mut depth) = (at + 1, 1);
    let mut begins = true;
    while depth > 0 && at < tokens.len() {
        match text(at) {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => begins = true,
            _ if depth == 1 && begins => {
                begins = false;
                read_edge(tokens, at, found);
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// Reads one edge; a group behind the module gives one edge for each member.
fn read_edge(tokens: &[Token], at: usize, found: &mut Vec<Edge>) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (to, line) = (text(at).to_owned(), tokens.get(at).map_or(0, |token| token.line));
    if text(at + 1) != "::" {
        found.push(Edge { to, part: None, line });
    } else if text(at + 2) == "{" {
        let mut members = Vec::new();
        first_segments(tokens, at + 2, &mut members);
        let edge = |member: Edge| Edge { to: to.clone(), part: Some(member.to), line };
        found.extend(members.into_iter().map(edge));
    } else {
        found.push(Edge { to, part: Some(text(at + 2).to_owned()), line });
    }
}

/// The checker must be able to fail: each rule broken once on made-up text.
mod checker {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<(usize, String)> {
        check(file, text).into_iter().map(|violation| (violation.line, violation.what)).collect()
    }

    fn one(line: usize, what: &str) -> Vec<(usize, String)> {
        vec![(line, what.to_owned())]
    }

    #[test]
    fn an_import_from_a_higher_layer_is_found() {
        let text = "use crate::id::Id;\nuse crate::engine::Node;\n";
        assert_eq!(found("ui/draw.rs", text), one(2, "ui may not import engine::Node"));
        assert_eq!(found("cli/node.rs", text), []);
    }

    #[test]
    fn an_import_is_found_in_groups_in_expressions_and_through_super() {
        let group = "use crate::{\n    id::{Id, Space},\n    view::Level, store::Store,\n};";
        assert_eq!(found("ui/mod.rs", group), one(3, "ui may not import store::Store"));
        let inline = "fn f() {\n    crate::engine::client::run()\n}";
        assert_eq!(found("view/text.rs", inline), one(2, "view may not import engine::client"));
        let upward = "use super::super::engine::Node;\nuse super::state::App;";
        assert_eq!(found("ui/loop.rs", upward), one(1, "ui may not import engine::Node"));
        let tests = "mod tests {\n    use super::*;\n    use super::super::engine::Node;\n}";
        let all = found("view.rs", &format!("fn f() {{}}\n{tests}"));
        assert_eq!(all, one(4, "view may not import engine::Node"));
    }

    #[test]
    fn the_store_sees_only_the_manifest_of_the_planning() {
        let fine = "use crate::transfer::manifest::{Manifest, Piece};";
        assert_eq!(found("store/blobs.rs", fine), []);
        for text in ["use crate::transfer::plan::Plan;", "use crate::transfer::{manifest, plan};"] {
            let expected = found("store/blobs.rs", text);
            assert_eq!(expected.len(), 1, "{expected:?}");
            assert!(expected[0].1.starts_with("store may not import transfer::plan"));
        }
    }

    #[test]
    fn comments_strings_and_characters_import_nothing() {
        let text = r##"
            //! See [`crate::engine`].
            /* crate::engine /* nested */ crate::cli */
            const A: &str = "crate::engine \" crate::cli";
            const B: &str = r#"crate::engine " println!("#;
            const C: [char; 3] = ['"', '\'', 'x'];
            fn d<'a>(r#type: &'a str) {}
            pub(crate) fn e() {}
        "##;
        assert_eq!(found("view/mod.rs", text), []);
        // What comes behind them is seen again.
        let text = format!("{text}\nuse crate::engine::Node;");
        assert_eq!(found("view/mod.rs", &text).len(), 1);
    }

    #[test]
    fn printing_is_for_the_command_line() {
        let text = "fn f() {\n    println!(\"x\");\n    std::io::stderr().flush();\n}";
        let all = [(2, "println! outside of cli".into()), (3, "stderr() outside of cli".into())];
        assert_eq!(found("engine/mod.rs", text), all);
        assert_eq!(found("cli/mod.rs", text), []);
        assert_eq!(found("ui/terminal.rs", "fn f() { std::io::stdout() }"), []);
        assert_eq!(found("ui/draw.rs", "fn f() { std::io::stdout() }").len(), 1);
    }

    #[test]
    fn bincode_is_for_the_codec() {
        let text = "use bincode::config;";
        assert_eq!(found("store/catalogue.rs", text), one(1, "only wire/codec.rs knows bincode"));
        assert_eq!(found("wire/codec.rs", text), []);
    }

    #[test]
    fn a_pure_module_bans_clocks_and_chance() {
        assert_eq!(found("id.rs", "//! Ids.\n"), one(1, &format!("a pure module without {BANS}")));
        assert_eq!(found("id.rs", &format!("//! Ids.\n\n{BANS}\n")), []);
    }

    #[test]
    fn a_file_that_grew_too_long_is_found_but_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(MAX_LINES + 1);
        assert_eq!(found("ui/draw.rs", &long).len(), 1);
        let tested = format!("fn f() {{}}\n#[cfg(test)]\n{long}");
        assert_eq!(found("ui/draw.rs", &tested), []);
        assert_eq!(found("chord/tests/traps.rs", &long), []);
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        assert_eq!(found("extra/mod.rs", "").len(), 1);
    }
}
