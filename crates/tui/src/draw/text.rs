//! Text that fits: widths in cells, ellipses, sizes, rates and times.

use std::borrow::Cow;
use std::time::Duration;

use unicode_truncate::UnicodeTruncateStr;
use unicode_width::UnicodeWidthStr;

use chordal_core::peer::Peer;
use chordal_view::text::scaled;
pub(super) use chordal_view::text::wrap;

/// Cells that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Shortens a text to `cells` by cutting out its middle: both the beginning
/// and the end of a name or an identifier tell it from others.
pub(super) fn middle(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    match cells {
        0 => Cow::Borrowed(""),
        1 => Cow::Borrowed("…"),
        _ => {
            let tail = (cells - 1) / 2;
            let (head, _) = text.unicode_truncate(cells - 1 - tail);
            let (tail, _) = text.unicode_truncate_start(tail);
            Cow::Owned(format!("{head}…{tail}"))
        }
    }
}

/// Shortens a text to `cells` by cutting off its end.
pub(super) fn end(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    match cells {
        0 => Cow::Borrowed(""),
        _ => Cow::Owned(format!("{}…", text.unicode_truncate(cells - 1).0)),
    }
}

/// The part of a text that begins `skip` cells from its start and takes at
/// most `cells`.
pub(super) fn window(text: &str, skip: usize, cells: usize) -> &str {
    let rest = text.unicode_truncate_start(width(text).saturating_sub(skip)).0;
    rest.unicode_truncate(cells).0
}

/// `2.4 MB`: decimal units, three figures.
pub(super) fn size(bytes: u64) -> String {
    // From 999.5 on no decimals would read "1000".
    match scaled(bytes, 999.5) {
        (value, unit) if unit != "B" && value < 9.95 => format!("{value:.1} {unit}"),
        (value, unit) => format!("{value:.0} {unit}"),
    }
}

/// `1.2 MB/s`.
pub(super) fn rate(bytes: u64) -> String {
    format!("{}/s", size(bytes))
}

/// `1.2M`: for a line that has room for nothing else.
pub(super) fn short_size(bytes: u64) -> String {
    let text = size(bytes);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    match unit.chars().next() {
        Some('B') | None => number.to_owned(),
        Some(letter) => format!("{number}{}", letter.to_ascii_uppercase()),
    }
}

/// `4s`, `2m 10s`, `3h 05m`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `just now`, `4s ago`.
pub(super) fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "just now".to_owned(),
        _ => format!("{} ago", span(duration)),
    }
}

/// A round trip: `420 µs`, `2.1 ms`, `1.3 s`.
pub(super) fn trip(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// `12:03:45`, in UTC: the standard library knows no time zones.
pub(super) fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// `0:12.413`, `75:03.001`: minutes of simulated time, as exact as single events
/// need it.
pub(super) fn stopwatch(millis: u64) -> String {
    format!("{}:{:02}.{:03}", millis / 60_000, millis / 1_000 % 60, millis % 1_000)
}

/// `1 node`, `8 nodes`.
pub(super) fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A peer's address; only its port when it is on the same host as `me`.
pub(super) fn short_address(peer: &Peer, me: &Peer) -> String {
    if peer.address().ip() != me.address().ip() {
        peer.to_string()
    } else if peer.index() == 0 {
        format!(":{}", peer.address().port())
    } else {
        format!(":{}#{}", peer.address().port(), peer.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(middle("holiday/2024/SkyShip.jpg", 12), "holida…p.jpg");
        assert_eq!(middle("short", 12), "short");
        assert_eq!(middle("日本語の名前", 6), "日…前");
        assert_eq!(middle("anything", 1), "…");
        assert_eq!(end("anything", 4), "any…");
    }

    #[test]
    fn sizes_have_decimal_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (340_000, "340 kB"),
            (999_600, "1.0 MB"),
            (2_437_120, "2.4 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(short_size(1_200_000), "1.2M");
        assert_eq!(short_size(512), "512");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(span(Duration::from_secs(4)), "4s");
        assert_eq!(span(Duration::from_secs(130)), "2m 10s");
        assert_eq!(span(Duration::from_secs(11_100)), "3h 05m");
        assert_eq!(ago(Duration::from_millis(400)), "just now");
        assert_eq!(ago(Duration::from_secs(4)), "4s ago");
        assert_eq!(trip(420), "420 µs");
        assert_eq!(trip(2_140), "2.1 ms");
        assert_eq!(clock(1_763_726_643_000), "12:04:03");
    }

    proptest! {
        #[test]
        fn shortened_text_fits(text in "\\PC*", cells in 0usize..40) {
            prop_assert!(width(&middle(&text, cells)) <= cells.max(width("")));
            prop_assert!(width(&end(&text, cells)) <= cells);
            prop_assert!(width(window(&text, cells / 2, cells)) <= cells);
        }

        #[test]
        fn wrapped_text_keeps_its_indentation(text in " {0,4}[a-z]{1,6}", cells in 12usize..40) {
            prop_assert_eq!(wrap(&text, cells), vec![text]);
        }

        #[test]
        fn wrapped_text_fits(text in "[a-z ]{0,80}", cells in 1usize..40) {
            prop_assert!(wrap(&text, cells).iter().all(|line| width(line) <= cells));
        }
    }
}
