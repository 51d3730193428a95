//! Which names a pattern means: `*` stands for any characters, `?` for one, a
//! plain word matches anywhere; upper and lower case are alike.

/// A pattern, ready to be compared with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// In small letters.
    chars: Vec<char>,
    /// It has a `*` or a `?`: it must match the whole name.
    whole: bool,
}

impl Pattern {
    /// Reads a pattern. Every text is one; an empty one matches every name.
    pub fn new(text: &str) -> Pattern {
        let chars: Vec<char> = text.to_lowercase().chars().collect();
        let whole = chars.iter().any(|c| matches!(c, '*' | '?'));
        Pattern { chars, whole }
    }

    /// Whether it means this name.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        if self.whole {
            glob(&self.chars, &name)
        } else {
            self.chars.is_empty() || name.windows(self.chars.len()).any(|part| part == self.chars)
        }
    }
}

/// Matching with one step back to the latest star: linear in practice, never
/// worse than the product of the lengths.
fn glob(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
