//! The help as lines.

use crate::command::{self, Spec, TABLE};

use crate::format::{PARAGRAPH, clean, table, wrap};

/// The help as lines: the whole table, or one command's paragraph.
pub fn help_lines(word: Option<&str>) -> Vec<String> {
    match word {
        None => {
            let rows = TABLE.iter().map(|spec| vec![spec.usage(), spec.summary.to_owned()]);
            table(&["COMMAND", "WHAT IT DOES"], &[], rows.collect())
        }
        Some(word) => match command::spec(word) {
            Some(spec) => spec_lines(spec),
            None => vec![format!("there is no command '{}'; help lists all", clean(word))],
        },
    }
}

fn spec_lines(spec: &Spec) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", spec.usage(), spec.summary)];
    if !spec.aliases.is_empty() {
        lines.push(format!("also: {}", spec.aliases.join(", ")));
    }
    let arguments = spec.arguments.iter().map(|a| vec![a.name.to_owned(), a.help.to_owned()]);
    let flags = spec.flags.iter().map(|flag| {
        let word = match flag.value {
            Some((value, _)) => format!("{} {value}", flag.name),
            None => flag.name.to_owned(),
        };
        vec![word, flag.help.to_owned()]
    });
    let words: Vec<_> = arguments.chain(flags).collect();
    if !words.is_empty() {
        lines.extend(table(&["", ""], &[], words).split_off(1));
    }
    lines.extend(wrap(spec.details, PARAGRAPH));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_explained() {
        for spec in TABLE {
            let lines = help_lines(Some(spec.name));
            assert!(lines[0].starts_with(&spec.usage()), "{}", spec.name);
            let details = lines.join(" ");
            assert!(details.ends_with(spec.details), "{}", spec.name);
        }
        assert_eq!(help_lines(None).len(), TABLE.len() + 1);
        assert!(help_lines(Some("nonsense"))[0].contains("no command 'nonsense'"));
    }
}
