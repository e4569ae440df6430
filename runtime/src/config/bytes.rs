//! [`Bytes`]: an amount of memory, written with its unit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes; shown in the largest unit that says it exactly.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Units, largest first; what is written in tens of tens is read, not shown.
const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Bytes {
    /// So many times 1024 * 1024.
    #[must_use]
    pub const fn mib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(1 << 20))
    }

    /// Reads `2GiB`, `1.5 GiB`, `800MB`; `None` without a unit, or for more than 64 bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Bytes> {
        let text = text.trim();
        let named = |(unit, size): &(&str, u64)| Some((text.strip_suffix(unit)?, *size));
        let (number, size) = UNITS.iter().find_map(named)?;
        let number = number.trim_end();
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(size).map(Bytes);
        }
        let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
        let number: f64 = number.parse().ok().filter(|_| plain)?;
        let bytes = number * size as f64;
        (bytes < u64::MAX as f64).then_some(Bytes(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary =
            UNITS.iter().take(4).find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        let (unit, size) = binary.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        let good = [
            ("2GiB", 2 << 30),
            (" 512 MiB ", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("800MB", 800_000_000),
            ("1kB", 1000),
            ("17B", 17),
            ("0B", 0),
        ];
        for (text, bytes) in good {
            assert_eq!(Bytes::parse(text), Some(Bytes(bytes)), "{text}");
        }
        for bad in ["", "2", "GiB", "-1GiB", "1e3MiB", "nanB", "2GiBs", "99999999TiB", "1..5B"] {
            assert_eq!(Bytes::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for bytes in [0, 1, 1000, 1023, 1024, 3 << 20, (3 << 20) + 1, 5 << 40, u64::MAX] {
            let shown = Bytes(bytes).to_string();
            assert_eq!(Bytes::parse(&shown), Some(Bytes(bytes)), "{shown}");
        }
        assert_eq!(Bytes(1536 << 20).to_string(), "1536MiB");
        assert_eq!(Bytes::mib(2048).to_string(), "2GiB");
    }
}
