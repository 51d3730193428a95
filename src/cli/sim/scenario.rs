//! `chordal sim run`: a scenario from a file.

use std::fs;
use std::path::Path;

use crate::sim::Scenario;

use super::Failure;

/// A file of more bytes is no scenario that somebody wrote.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a scenario; `seed` replaces its own.
pub(super) fn read(path: &Path, seed: Option<u64>) -> Result<Scenario, Failure> {
    let name = path.display();
    let cannot = |why: String| Failure::Failed(format!("cannot read {name}: {why}"));
    let meta = fs::metadata(path).map_err(|error| cannot(format!("{error}; check the path")))?;
    if meta.len() > MAX_BYTES {
        return Err(cannot(format!("it has more than {MAX_BYTES} bytes; is it a scenario?")));
    }
    let text =
        fs::read_to_string(path).map_err(|error| cannot(format!("{error}; is it a scenario?")))?;
    let wrong = |error| Failure::Failed(format!("{name} is no scenario: {error}"));
    let mut scenario = Scenario::parse(&text).map_err(wrong)?;
    if let Some(seed) = seed {
        scenario.setup.seed = seed;
    }
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &Path) -> String {
        match read(path, None) {
            Err(Failure::Failed(said)) => said,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_file_is_named_with_its_line() {
        let home = tempfile::TempDir::new().expect("a directory");
        let path = home.path().join("bad.toml");
        fs::write(&path, "title = 'bad'\nuntil = '10s'\n[setup]\nhosts = 0\n").expect("a file");
        let error = said(&path);
        assert!(error.contains("bad.toml") && error.contains("line 4"), "{error}");
        assert!(said(&home.path().join("none.toml")).contains("check the path"));
    }

    #[test]
    fn the_seed_of_the_command_line_replaces_that_of_the_file() {
        let home = tempfile::TempDir::new().expect("a directory");
        let path = home.path().join("calm.toml");
        fs::write(&path, "title = 'calm'\nuntil = '10s'\n[setup]\nseed = 3\n").expect("a file");
        let seed = |seed| read(&path, seed).expect("a scenario").setup.seed;
        assert_eq!((seed(None), seed(Some(7))), (3, 7));
    }
}
