//! Names of files: one relative path of normal components, on every platform.
//!
//! A name travels between machines and becomes a path on some disk, so only what is
//! harmless on every platform is allowed. A [`FileName`] can only be made by checking, also
//! when it is decoded from the wire.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::id::{Id, Space};

/// Bytes in one component of a name: what common file systems allow.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// Bytes in a whole name: well below the path limit of every platform, with room for the
/// download directory before it, and small enough that a page of records fits into one
/// frame.
pub const MAX_NAME_BYTES: usize = 1024;

/// Components of a name.
pub const MAX_COMPONENTS: usize = 32;

/// A file's name on the ring: `holiday/SkyShip.jpg`.
///
/// Slash-separated, in Unicode normalisation form C, without `.`, `..`, an
/// absolute start, a drive, a backslash, control or bidirectional characters,
/// trailing dots or spaces, or a device name that some system reserves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// Why a text is not a file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// An empty name, or an empty part between two slashes.
    #[error("a name may not be empty or have an empty part")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the name has {0} bytes; at most {MAX_NAME_BYTES} are allowed")]
    TooLong(usize),
    /// A component longer than [`MAX_COMPONENT_BYTES`].
    #[error("a part of the name has {0} bytes; at most {MAX_COMPONENT_BYTES} are allowed")]
    ComponentTooLong(usize),
    /// More than [`MAX_COMPONENTS`] components.
    #[error("the name has {0} parts; at most {MAX_COMPONENTS} are allowed")]
    TooDeep(usize),
    /// It starts with a slash, or names a drive.
    #[error("the name is an absolute path; use a relative one")]
    Absolute,
    /// A `.` or `..` component.
    #[error("the name steps through '{0}'; use plain parts")]
    Step(String),
    /// A character that some systems or terminals misunderstand.
    #[error("the name holds the character U+{0:04X}, which is not allowed")]
    Character(u32),
    /// A component ends in a dot or a space.
    #[error("the part '{0}' ends in a dot or a space")]
    Ending(String),
    /// A device name on some systems, such as `CON` or `nul.txt`.
    #[error("'{0}' is a device's name on some systems")]
    Reserved(String),
    /// Not in normalisation form C (only from a peer: local names are normalised instead).
    #[error("the name is not in Unicode normalisation form C")]
    NotNormal,
}

impl FileName {
    /// Checks a name that a user typed or that a local path gave; converts it into
    /// normalisation form C.
    pub fn new(text: &str) -> Result<FileName, BadName> {
        let normal: String = text.nfc().collect();
        check(&normal)?;
        Ok(FileName(normal))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component, which names a download.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The name as a relative path on this machine.
    pub fn to_path(&self) -> PathBuf {
        self.0.split('/').collect()
    }

    /// The key of the file on the ring: the hash of its name.
    pub fn key(&self, space: Space) -> Id {
        space.hash(&self.0)
    }
}

impl TryFrom<String> for FileName {
    type Error = BadName;

    /// Checks a name from outside, which must already be in normalisation form C.
    fn try_from(text: String) -> Result<FileName, BadName> {
        check(&text)?;
        if !unicode_normalization::is_nfc(&text) {
            return Err(BadName::NotNormal);
        }
        Ok(FileName(text))
    }
}

impl FromStr for FileName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<FileName, BadName> {
        FileName::new(text)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> String {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text in normalisation form C: two local names with the same form are one name on the
/// ring.
pub fn in_form_c(text: &str) -> Cow<'_, str> {
    if unicode_normalization::is_nfc(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// A text in which every non-ASCII character is replaced by its number, so that two
/// encodings of one name can be told apart.
pub fn spelled(text: &str) -> String {
    let mut spelled = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            spelled.push(c);
        } else {
            spelled.extend(c.escape_unicode());
        }
    }
    spelled
}

fn check(text: &str) -> Result<(), BadName> {
    if text.len() > MAX_NAME_BYTES {
        return Err(BadName::TooLong(text.len()));
    }
    if text.starts_with('/') || has_drive(text) {
        return Err(BadName::Absolute);
    }
    if let Some(c) = text.chars().find(|&c| is_refused(c)) {
        return Err(BadName::Character(u32::from(c)));
    }
    let depth = text.split('/').count();
    if depth > MAX_COMPONENTS {
        return Err(BadName::TooDeep(depth));
    }
    text.split('/').try_for_each(check_component)
}

fn check_component(part: &str) -> Result<(), BadName> {
    match part {
        "" => return Err(BadName::Empty),
        "." | ".." => return Err(BadName::Step(part.to_owned())),
        _ => {}
    }
    if part.len() > MAX_COMPONENT_BYTES {
        return Err(BadName::ComponentTooLong(part.len()));
    }
    if part.ends_with(['.', ' ']) {
        return Err(BadName::Ending(part.to_owned()));
    }
    if is_device(part) {
        return Err(BadName::Reserved(part.to_owned()));
    }
    Ok(())
}

fn has_drive(text: &str) -> bool {
    let mut chars = text.chars();
    matches!((chars.next(), chars.next()), (Some(letter), Some(':')) if letter.is_ascii_alphabetic())
}

/// Control characters, characters that reorder or hide text, and those that Windows forbids
/// in names.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(c,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{FFFD}')
}

/// Names that Windows reserves for devices, with any extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let upper = stem.to_ascii_uppercase();
    match upper.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        _ => {
            let digit = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
            matches!(
                digit,
                Some("0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            )
        }
    }
}

/// The beginning of a text, at most so many bytes of it.
pub fn first_bytes(text: &str, at_most: usize) -> &str {
    let mut end = text.len().min(at_most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_pass() {
        for name in ["SkyShip.jpg", "a/b/c.txt", ".hidden", "naïve résumé.pdf", "…", "console.log"]
        {
            assert!(FileName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn harmful_names_are_refused_with_the_reason() {
        let cases: [(&str, BadName); 14] = [
            ("", BadName::Empty),
            ("a//b", BadName::Empty),
            ("a/", BadName::Empty),
            ("/etc/passwd", BadName::Absolute),
            ("C:x", BadName::Absolute),
            ("../x", BadName::Step("..".into())),
            ("a/./b", BadName::Step(".".into())),
            ("a\\b", BadName::Character(0x5C)),
            ("a\u{1b}[2J", BadName::Character(0x1B)),
            ("a\u{202e}gpj.exe", BadName::Character(0x202E)),
            ("x.", BadName::Ending("x.".into())),
            ("x /y", BadName::Ending("x ".into())),
            ("NUL.txt", BadName::Reserved("NUL.txt".into())),
            ("d/com1", BadName::Reserved("com1".into())),
        ];
        for (name, why) in cases {
            assert_eq!(FileName::new(name), Err(why), "{name:?}");
        }
        assert_eq!(FileName::new(&"x".repeat(256)), Err(BadName::ComponentTooLong(256)));
        assert_eq!(FileName::new(&"x/".repeat(600)), Err(BadName::TooLong(1200)));
        assert_eq!(FileName::new(&["x"; 33].join("/")), Err(BadName::TooDeep(33)));
    }

    #[test]
    fn a_typed_name_is_normalised_and_a_received_one_must_be_normal() {
        let decomposed = "e\u{301}.txt";
        assert_eq!(FileName::new(decomposed).expect("allowed").as_str(), "é.txt");
        assert_eq!(FileName::try_from(decomposed.to_owned()), Err(BadName::NotNormal));
    }

    proptest! {
        #[test]
        fn an_accepted_name_stays_below_the_directory_it_is_joined_to(text in ".{0,64}") {
            if let Ok(name) = FileName::new(&text) {
                let path = name.to_path();
                prop_assert!(path.is_relative());
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(FileName::new(name.as_str()), Ok(name));
            }
        }
    }
}
