//! Settings from a file: `config.toml`, below flags and `CHORDAL_*` variables.
//!
//! Every argument that has a `CHORDAL_*` variable is a setting, and its key is
//! the variable's name in small letters: one list for all three. A file's
//! values become the defaults of those arguments, so that they are checked by
//! the same rules as flags.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

use chordal_view::command::nearest_of;

use super::places;

/// The variable that names the file; empty for none.
const VARIABLE: &str = "CHORDAL_CONFIG";

/// Why a file's settings cannot be used: the file, the line, what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadSettings(String);

/// The argument with which the file is named.
pub(super) fn argument() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_hint(clap::ValueHint::FilePath)
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help_heading(None::<&str>)
        .help("A file of settings; 'chordal config' prints a template [env: CHORDAL_CONFIG]")
}

/// Puts the settings of the user's file into a command line's defaults.
/// `words` are only searched for the file's name: they are not parsed yet.
pub(super) fn apply(command: Command, words: &[OsString]) -> Result<Command, BadSettings> {
    let named = named(words).or_else(|| std::env::var_os(VARIABLE));
    let (path, must_exist) = match named {
        Some(name) if name.is_empty() => return Ok(command),
        Some(name) => (PathBuf::from(name), true),
        None => match places::settings() {
            Some(path) => (path, false),
            None => return Ok(command),
        },
    };
    match fs::read_to_string(&path) {
        Ok(text) => with(command, &path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => Ok(command),
        Err(error) => Err(BadSettings(format!(
            "cannot read {}: {error}; check the path, or start one with: chordal config > {}",
            path.display(),
            path.display()
        ))),
    }
}

/// A file with every setting as a comment.
pub(super) fn template(command: &Command) -> String {
    let mut text = String::from(
        "# Settings of chordal. A flag comes before its CHORDAL_ variable, and that\n\
         # before this file. Take away a # to set something.\n",
    );
    for arg in command.get_arguments() {
        let Some(key) = key(arg) else { continue };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = arg.get_default_values().first().map(|value| value.to_string_lossy());
        let default = default.unwrap_or_default();
        let value = match arg.get_action() {
            ArgAction::SetTrue => "false".to_owned(),
            ArgAction::Append => "[]".to_owned(),
            _ if default.parse::<u64>().is_ok() => default.into_owned(),
            _ => format!("{default:?}"),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# {help}\n# {key} = {value}\n");
    }
    text
}

/// The value of `--config` among words that are not parsed yet.
fn named(words: &[OsString]) -> Option<OsString> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().cloned();
        }
        if let Some(name) = word.as_bytes().strip_prefix(b"--config=") {
            return Some(OsStr::from_bytes(name).to_owned());
        }
    }
    None
}

/// The key of an argument that is a setting: `data-dir` for CHORDAL_DATA_DIR.
fn key(arg: &Arg) -> Option<String> {
    let variable = arg.get_env().and_then(OsStr::to_str)?;
    Some(variable.strip_prefix("CHORDAL_")?.to_ascii_lowercase().replace('_', "-"))
}

/// Every key, once.
fn keys(command: &Command) -> Vec<String> {
    let all = std::iter::once(command).chain(command.get_subcommands());
    let mut keys: Vec<String> = all.flat_map(Command::get_arguments).filter_map(key).collect();
    keys.sort();
    keys.dedup();
    keys
}

fn with(command: Command, path: &Path, text: &str) -> Result<Command, BadSettings> {
    let at = |place: usize, what: String| {
        let line = text.get(..place).map_or(1, |before| before.matches('\n').count() + 1);
        BadSettings(format!("{}:{line}: {what}", path.display()))
    };
    let table = DeTable::parse(text)
        .map_err(|error| at(error.span().map_or(0, |span| span.start), error.message().into()))?;
    let known = keys(&command);
    let mut command = command;
    for (name, value) in table.get_ref() {
        let place = name.span().start;
        let name: &str = name.get_ref();
        if !known.iter().any(|key| key == name) {
            let near = nearest_of(name, known.iter().map(String::as_str));
            let advice = near.map_or_else(
                || "'chordal config' lists all".to_owned(),
                |near| format!("did you mean '{near}'?"),
            );
            return Err(at(place, format!("unknown setting '{name}'; {advice}")));
        }
        let values = values(value.get_ref()).ok_or_else(|| {
            at(place, format!("'{name}' takes a text, a number, true or false, or a list of them"))
        })?;
        command = default(command, name, &values);
        check(&command).map_err(|why| at(place, format!("'{name}': {why}")))?;
    }
    Ok(command)
}

/// A value as the words that would be given to a flag.
fn values(value: &DeValue<'_>) -> Option<Vec<String>> {
    Some(match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Boolean(yes) => vec![yes.to_string()],
        DeValue::Integer(number) => vec![number.to_string()],
        DeValue::Array(members) => {
            let members: Option<Vec<_>> =
                members.iter().map(|member| values(member.get_ref())).collect();
            members?.concat()
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

/// Sets the default of a setting wherever it is an argument.
fn default(command: Command, name: &str, values: &[String]) -> Command {
    let set = |arg: Arg| {
        if key(&arg).as_deref() == Some(name) {
            arg.default_values(values.iter().map(clap::builder::OsStr::from).collect::<Vec<_>>())
        } else {
            arg
        }
    };
    command.mut_args(set).mut_subcommands(|sub| sub.mut_args(set))
}

/// Whether the defaults are values that the arguments take.
fn check(command: &Command) -> Result<(), String> {
    for words in [&["chordal"][..], &["chordal", "info"], &["chordal", "seed"]] {
        if let Err(error) = command.clone().try_get_matches_from(words) {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            return Err(line.trim_start_matches("error: ").to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::args;
    use super::*;

    fn read(text: &str) -> Result<Command, String> {
        with(args::command(), Path::new("config.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_sets_what_no_flag_does() {
        let text =
            "bits = 16\njoin = [\"127.0.0.1:2000\", \":2001\"]\nascii = true\nvia = \":7\"\n";
        let command = read(text).expect("good settings");
        let given = command.clone().get_matches_from(["chordal"]);
        assert_eq!(given.get_one::<u8>("bits"), Some(&16));
        assert_eq!(given.get_many::<std::net::SocketAddr>("join").map(Iterator::count), Some(2));
        assert!(given.get_flag("ascii"));
        let given = command.clone().get_matches_from(["chordal", "--bits", "12"]);
        assert_eq!(given.get_one::<u8>("bits"), Some(&12), "a flag comes first");
        let given = command.get_matches_from(["chordal", "info"]);
        let info = given.subcommand_matches("info").expect("the subcommand");
        let via: Option<&std::net::SocketAddr> = info.get_one("via");
        assert_eq!(via.map(|via| via.port()), Some(7));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, message) in [
            ("\nbit = 16", "config.toml:2: unknown setting 'bit'; did you mean 'bits'?"),
            ("xyzzy = 1", "config.toml:1: unknown setting 'xyzzy'; 'chordal config' lists all"),
            ("ring = \"a\"\nbits = 129", "config.toml:2: 'bits': invalid value '129'"),
            ("theme = \"plaid\"", "config.toml:1: 'theme': invalid value 'plaid'"),
            ("bits = 1.5", "config.toml:1: 'bits' takes a text"),
            ("ring = \"a\"\nbits =", "config.toml:2: "),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_template_names_every_setting_of_a_node_and_is_good() {
        let text = template(&args::command());
        for key in ["listen", "join", "data-dir", "bits", "stabilize", "theme", "headless"] {
            assert!(text.contains(&format!("\n# {key} = ")), "{key}: {text}");
        }
        assert!(read(&text).is_ok());
        // As good with the defaults taken at their word.
        let set: String = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(""))
            .filter(|line| !line.ends_with("= \"\""))
            .fold(String::new(), |all, line| all + line + "\n");
        assert!(set.contains("bits = 10"), "{set}");
        assert_eq!(read(&set).err(), None);
    }

    #[test]
    fn the_file_is_named_by_a_flag() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(named(&words("chordal --config a.toml")), Some("a.toml".into()));
        assert_eq!(named(&words("chordal lab --config=b.toml")), Some("b.toml".into()));
        assert_eq!(named(&words("chordal put -- --config c.toml")), None);
    }
}
