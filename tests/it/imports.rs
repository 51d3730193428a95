//! Which file of a crate imports which, read from its text, for [`super::layers`].
//!
//! A file is named by its module, `data::fetch` for `data/fetch/mod.rs`. The crate's root
//! is left out as an importee: it wires everything. A path in code (`below::run()`) counts
//! like a `use`; a declaration (`mod below;`) does not. Tests are not read.

use std::collections::{BTreeMap, BTreeSet};

/// The files of a crate, and which files each imports.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Who imports whom below this directory, of `files` by their paths.
pub(crate) fn graph(files: &BTreeMap<String, String>, below: &str) -> Graph {
    let below = format!("{below}/");
    let texts: BTreeMap<Vec<&str>, &str> = files
        .iter()
        .filter_map(|(file, text)| Some((module(file.strip_prefix(&below)?)?, text.as_str())))
        .collect();
    let modules: BTreeSet<Vec<&str>> = texts.keys().cloned().collect();
    texts
        .iter()
        .map(|(file, text)| {
            let (own, code) = (file.join("::"), code(text));
            let imported = paths(&code).into_iter();
            let imported = imported.filter_map(|path| resolve(&modules, file, &path));
            let imported = imported.filter(|other| !other.is_empty() && *other != own).collect();
            (own, imported)
        })
        .collect()
}

/// The module of a file; `None`: it is a test's.
fn module(file: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<&str> = file.strip_suffix(".rs")?.split('/').collect();
    if parts.contains(&"tests") {
        return None;
    }
    if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
        parts.pop();
    }
    Some(parts)
}

/// A file's text without its tests and comments, and without the paths of `pub(in …)`, which
/// say who may see an item.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = text.lines().filter(|line| !line.starts_with("#[cfg(test)]"));
    let code = lines.map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>();
    let code = code.join("\n");
    let mut parts = code.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + part.split_once(')').map_or(part, |(_, rest)| rest))
}

/// Every path in the code of a file, those of `use` with braces opened.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for statement in code.split_inclusive(';') {
        let begins = statement.rfind("use ").filter(|at| {
            statement[..*at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_')
        });
        let (before, tree) = match begins {
            Some(at) if statement.ends_with(';') => statement.split_at(at),
            _ => (statement, ""),
        };
        if let Some(tree) = tree.strip_prefix("use ") {
            open("", tree.trim_end_matches(';'), &mut found);
        }
        let part = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
        let paths = before.split(part).filter(|path| path.contains("::"));
        found.extend(paths.filter(|path| !path.starts_with("::")).map(str::to_owned));
    }
    found
}

/// The paths of a `use`: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn open(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, body)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        return found.push(format!("{prefix}{name}"));
    };
    let (prefix, body) = (format!("{prefix}{}", head.trim()), body.trim_end());
    let body = body.strip_suffix('}').unwrap_or(body);
    let (mut depth, mut begins) = (0_i32, 0);
    for (at, c) in body.char_indices().chain([(body.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !body[begins..at].trim().is_empty() {
                    open(&prefix, &body[begins..at], found);
                }
                begins = at + 1;
            }
            _ => {}
        }
    }
}

/// The file that a path in a file leads to; `None`: one of another crate.
fn resolve<'a>(modules: &BTreeSet<Vec<&'a str>>, own: &[&'a str], path: &'a str) -> Option<String> {
    let mut parts = path.split("::").filter(|part| !part.is_empty()).peekable();
    let mut base: Vec<&str> = match parts.peek()? {
        &"crate" => Vec::new(),
        _ => own.to_vec(),
    };
    let relative = matches!(parts.peek(), Some(&("crate" | "self" | "super")));
    while let Some(part) = parts.next_if(|part| matches!(*part, "crate" | "self" | "super")) {
        if part == "super" {
            base.pop()?;
        }
    }
    let begins = base.len();
    let mut at = modules.get(&base)?;
    for part in parts {
        base.push(part);
        let Some(deeper) = modules.get(&base) else { break };
        at = deeper;
    }
    (relative || at.len() > begins).then(|| at.join("::"))
}

/// The files that import each other in a circle, each group of them in order.
pub(crate) fn circles(graph: &Graph) -> Vec<Vec<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|file| (file.as_str(), reach(graph, file))).collect();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for file in graph.keys().map(String::as_str) {
        let back = |other: &&str| reached.get(other).is_some_and(|set| set.contains(file));
        let circle: Vec<&str> = reached[file].iter().copied().filter(back).collect();
        if circle.len() > 1 && seen.insert(circle.clone()) {
            found.push(circle);
        }
    }
    found
}

/// Every file that one imports, also by way of others.
fn reach<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for other in graph.get(file).into_iter().flatten() {
            if found.insert(other.as_str()) {
                open.push(other);
            }
        }
    }
    found
}
