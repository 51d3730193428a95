//! `leave` and `quit`: how far a node is, and what stayed on its disk.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::{HandedOver, HandingOver, KeptFiles};
use crate::format::{age, bytes, files, quoted};

/// `3 files, 40 MB left, 1.0 MB/s, about 40 s`.
pub fn handing_over(row: &HandingOver) -> String {
    if row.files == 0 {
        return "saying goodbye".to_owned();
    }
    let mut text = format!("{}, {} left", files(row.files), bytes(row.bytes));
    if row.rate > 0 {
        let _ = write!(text, ", {}/s", bytes(row.rate));
    }
    if let Some(seconds) = row.seconds {
        let _ = write!(text, ", about {}", age(Duration::from_secs(seconds)));
    }
    text
}

/// What stayed on the disk of a node that left, as one sentence; `None`: nothing
/// did. `ended`: its process has ended, too.
pub fn left_behind(kept: &KeptFiles, ended: bool) -> Option<String> {
    let KeptFiles { files: count, bytes: size, sole, named, directory, alone, together } = kept;
    if *count == 0 {
        return None;
    }
    let stay = if *count == 1 { "stays" } else { "stay" };
    let what = format!("{} ({}) {stay} in {directory}", files(*count), bytes(*size));
    let back = if ended {
        "starting the node again with the same address brings them back"
    } else {
        "join takes them back to a ring"
    };
    if *alone {
        return Some(format!("{what}: no other node was there to take them; {back}"));
    }
    if *together && *sole == 0 {
        return Some(format!(
            "{what}: every other node left at the same time, and other disks have copies of all of \
             them; {back}"
        ));
    }
    let others = match sole {
        0 => "others hold copies of all of them, but not as many as are wanted".to_owned(),
        sole => {
            let mut names: Vec<String> = named.iter().map(|name| quoted(name)).collect();
            if *sole > names.len() {
                names.push(format!("{} more", sole - names.len()));
            }
            format!("no other copy is known of {sole} of them ({})", names.join(", "))
        }
    };
    let why = if *together { ": every other node left at the same time" } else { "" };
    Some(format!("{what}, not handed over{why}: {others}; {back}"))
}

/// `leave`.
pub(super) fn lines(HandedOver { handed, kept }: &HandedOver) -> Vec<String> {
    let mut lines = vec![format!("left the ring; {} handed over", files(*handed))];
    lines.extend(left_behind(kept, false));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_told_with_what_has_no_other_copy() {
        let kept = KeptFiles {
            files: 3,
            bytes: 40_000_000,
            sole: 2,
            named: vec!["a".into()],
            directory: "/d".into(),
            alone: false,
            together: false,
        };
        assert_eq!(
            left_behind(&kept, true).as_deref(),
            Some(
                "3 files (40.0 MB) stay in /d, not handed over: no other copy is known of 2 of \
                 them ('a', 1 more); starting the node again with the same address brings them \
                 back"
            )
        );
        let safe = KeptFiles { sole: 0, ..kept.clone() };
        assert!(left_behind(&safe, true).is_some_and(|text| text.contains("others hold copies")));
        let together = KeptFiles { together: true, ..kept.clone() };
        assert!(together.is_failure(), "no other disk has one of them");
        let text = left_behind(&together, true).expect("files stay");
        assert!(text.contains("every other node left at the same time: no other copy"), "{text}");
        let together = KeptFiles { together: true, ..safe.clone() };
        assert!(safe.is_failure() && !together.is_failure());
        let text = left_behind(&together, true).expect("files stay");
        assert!(text.contains("other disks have copies of all of them"), "{text}");
        let alone = KeptFiles { alone: true, ..kept };
        let alone = left_behind(&alone, false).expect("files stay");
        assert!(alone.contains("no other node was there") && alone.contains("join"), "{alone}");
        assert_eq!(left_behind(&KeptFiles::default(), true), None);
    }

    #[test]
    fn what_is_left_is_told_with_the_time_that_it_takes() {
        let row = HandingOver { files: 1, bytes: 40_000_000, rate: 1_000_000, seconds: Some(40) };
        assert_eq!(handing_over(&row), "1 file, 40.0 MB left, 1.0 MB/s, about 40 s");
        let stands = HandingOver { rate: 0, seconds: None, ..row };
        assert_eq!(handing_over(&stands), "1 file, 40.0 MB left");
    }
}
