//! Bytes as text, both ways: `0x` and two digits a byte.

use std::fmt::Write as _;

/// `0x` and two digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes that [`hex`] made `text` of; `None` for any other text.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_other_text_does_not() {
        for bytes in [&[][..], &[0], &[1, 0xab, 0xff]] {
            assert_eq!(from_hex(&hex(bytes)).as_deref(), Some(bytes));
        }
        assert_eq!(hex(&[1, 0xab]), "0x01ab");
        for text in ["", "01", "0x1", "0xzz", "0x+1", "x01"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
