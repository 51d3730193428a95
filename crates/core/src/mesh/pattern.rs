//! Patterns for names: `*` stands for any characters, `?` for one, and a plain word matches
//! anywhere. Upper and lower case are equal, and so are the ways to encode an accent.

use unicode_normalization::UnicodeNormalization;
use wildmatch::WildMatch;

/// A pattern in lower case that can be compared with names.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// A part of a name.
    Word(String),
    /// A whole name, with a `*` or a `?`. Matching backtracks to the latest star only: it
    /// takes at most the product of the lengths.
    Glob(WildMatch),
}

impl Pattern {
    /// Reads a pattern. Every text is valid; the empty one matches every name.
    pub fn new(text: &str) -> Pattern {
        let text = small(text.nfc());
        if text.contains(['*', '?']) {
            Pattern::Glob(WildMatch::new(&text))
        } else {
            Pattern::Word(text)
        }
    }

    /// Whether this name, which is in normalisation form C, matches.
    pub fn matches(&self, name: &str) -> bool {
        let name = small(name.chars());
        match self {
            Pattern::Word(word) => name.contains(word),
            Pattern::Glob(glob) => glob.matches(&name),
        }
    }
}

/// In lower case, character by character: a word must not change because of what follows
/// it, as a Greek sigma would.
fn small(text: impl Iterator<Item = char>) -> String {
    text.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a glob means, by its definition.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], rest) => rest.is_empty(),
            (['*', more @ ..], rest) => (0..=rest.len()).any(|n| naive(more, &rest[n..])),
            (['?', more @ ..], [_, rest @ ..]) => naive(more, rest),
            ([c, more @ ..], [n, rest @ ..]) => c == n && naive(more, rest),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn a_glob_means_what_its_definition_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            let expected = naive(&chars(&pattern), &chars(&name));
            prop_assert_eq!(WildMatch::new(&pattern).matches(&name), expected);
        }

        #[test]
        fn a_plain_word_matches_wherever_it_stands(
            before in "[a-zA-ZΑ-Ωß-ž .]*",
            word in "[a-zA-ZΑ-Ωß-ž .]*",
            after in "[a-zA-ZΑ-Ωß-ž .]*",
        ) {
            let name = format!("{before}{word}{after}");
            prop_assert!(Pattern::new(&word).matches(&name));
            prop_assert!(Pattern::new(&word.to_uppercase()).matches(&name.to_uppercase()));
        }

        #[test]
        fn no_pattern_panics(pattern in ".*", name in ".*") {
            let _ = Pattern::new(&pattern).matches(&name);
        }
    }

    #[test]
    fn patterns_match_as_the_help_says() {
        for (pattern, name, expected) in [
            ("*.jpg", "SkyShip.jpg", true),
            ("*.JPG", "SkyShip.jpg", true),
            ("sky", "SkyShip.jpg", true),
            ("ship?jpg", "SkyShip.jpg", false),
            ("*ship?jpg", "SkyShip.jpg", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("", "anything", true),
            ("*", "", true),
            ("ΟΔΟΣ", "ΟΔΟΣΑ.txt", true),
            ("cafe\u{301}", "Café.txt", true),
            ("*CAFE\u{301}.*", "café.txt", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
