//! `chordal sim run`: a scenario from a file.

use std::fs::{self, File, FileType};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use chordal_sim::Scenario;
use chordal_view::text::bytes;

use super::super::failure::Failure;

/// A file of more bytes is no scenario that somebody wrote.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a scenario; `seed` replaces its own.
pub(super) fn read(path: &Path, seed: Option<u64>) -> Result<Scenario, Failure> {
    let name = path.display();
    let cannot = |why: String| Failure::Failed(format!("cannot read {name}: {why}"));
    let meta = fs::metadata(path).map_err(|error| cannot(format!("{error}; check the path")))?;
    // Before it is opened: whoever opens a pipe waits for its other end.
    if !meta.is_file() {
        return Err(cannot(format!("it is {}, not a file", kind(meta.file_type()))));
    }
    let large = |size| {
        let (size, most) = (bytes(size), bytes(MAX_BYTES));
        cannot(format!("it has {size}; a scenario has at most {most}"))
    };
    if meta.len() > MAX_BYTES {
        return Err(large(meta.len()));
    }
    let mut text = String::new();
    // A file may be longer than it says, as those of the system are.
    let read = File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| cannot(format!("{error}; is it a scenario?")))?;
    if read as u64 > MAX_BYTES {
        return Err(large(read as u64));
    }
    let wrong = |error| Failure::Failed(format!("{name} is no scenario: {error}"));
    let mut scenario = Scenario::parse(&text).map_err(wrong)?;
    if let Some(seed) = seed {
        scenario.setup.seed = seed;
    }
    Ok(scenario)
}

/// What is there instead of a file.
fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
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
    fn what_is_no_file_of_sensible_size_is_not_read() {
        let home = tempfile::TempDir::new().expect("a directory");
        assert!(said(home.path()).ends_with("it is a directory, not a file"));
        assert!(said(Path::new("/dev/zero")).ends_with("it is a device, not a file"));
        let pipe = home.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo is there").success());
        assert!(said(&pipe).ends_with("it is a pipe, not a file"));
        let large = home.path().join("large");
        File::create(&large).expect("a file").set_len(6 << 30).expect("it may have holes");
        let error = said(&large);
        assert!(error.ends_with("it has 6.4 GB; a scenario has at most 4.2 MB"), "{error}");
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
