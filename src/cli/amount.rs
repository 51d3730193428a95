//! Amounts of bytes as people type them: `500k`, `10M`, `1.5MiB`.

use bytesize::ByteSize;

/// Bytes a second that a limit allows at least: below, whoever waits for a byte
/// would think that the other side is dead.
pub(super) const LEAST_RATE: u64 = 5_000;

/// Reads an amount of bytes: a number, perhaps with a point, and a unit (k, M, G,
/// T by the thousand, Ki, Mi, Gi, Ti by 1024), with or without a B.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let ByteSize(bytes) = text.parse().map_err(|_| {
        format!("'{text}' is no amount of bytes; write one like 500k, 10M or 1.5GiB")
    })?;
    // Beyond that a float counts no single bytes; no disk has as many.
    if bytes > 1 << 53 {
        return Err(format!("'{text}' is too much; no disk has as many bytes"));
    }
    Ok(bytes)
}

/// Reads a limit in bytes a second, with or without `/s`; 0 is none.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let amount = text.trim().strip_suffix("/s").unwrap_or(text);
    match bytes(amount) {
        Ok(rate) if rate == 0 || rate >= LEAST_RATE => Ok(rate),
        Ok(_) => Err(format!(
            "{} bytes a second are too few to get anywhere; choose at least {}k, or 0 for no limit",
            text.trim(),
            LEAST_RATE / 1_000
        )),
        Err(_) => Err(format!(
            "'{}' is no rate; write bytes a second like 500k, 10M or 1.5MiB, or 0 for no limit",
            text.trim()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("500k", 500_000),
            ("500K", 500_000),
            ("10M", 10_000_000),
            ("10MB", 10_000_000),
            ("1.5MiB", 3 << 19),
            ("1.5 MiB", 3 << 19),
            (" 2gi ", 2 << 30),
            ("20T", 20_000_000_000_000),
            ("123b", 123),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_an_example() {
        for text in ["", "k", "10X", "-1", "1e9", "10 M B", "1.2.3M", "ten", "NaN", "inf", "١"] {
            let why = bytes(text).expect_err(text);
            assert!(why.contains("1.5GiB"), "{why}");
        }
        assert!(bytes("99999999T").expect_err("too much").contains("too much"));
    }

    #[test]
    fn a_rate_may_say_so_and_must_get_somewhere() {
        assert_eq!(rate("10M/s"), Ok(10_000_000));
        assert_eq!(rate("1.5MiB/s"), Ok(3 << 19));
        assert_eq!((rate("0"), rate("5k")), (Ok(0), Ok(5_000)));
        assert!(rate("10").expect_err("a mistake").contains("at least 5k"));
        assert!(rate("fast").expect_err("a word").contains("500k"));
    }
}
