//! Free ports on the loopback.
//!
//! They lie below the range that the system gives to outgoing connections: a client that tries
//! again and again to reach a broker that is down would otherwise get that very port as its own
//! some day, and talk to itself.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// Where the search begins, and where it ends when the system does not say.
const LOWEST: u16 = 10_000;
const HIGHEST: u16 = 32_768;

/// How many ports in vain are enough.
const ATTEMPTS: u32 = 1_000;

/// Two ports that nobody listened on a moment ago. They may be taken before they are used: whoever
/// asks begins again then.
pub(crate) fn free_pair() -> Result<[u16; 2]> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let range = range(std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok());
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        let nth = ASKED.fetch_add(1, Ordering::Relaxed);
        let port = candidate(&range, std::process::id(), nth);
        if is_free(port) {
            found.push(port);
        }
        if let [first, second] = found[..] {
            return Ok([first, second]);
        }
    }
    bail!("no two free ports on 127.0.0.1 in {ATTEMPTS} tries; name one with --port")
}

/// A port that nobody listened on a moment ago, for one more listener of a broker.
///
/// # Errors
/// When none is found.
pub fn free_port() -> Result<u16> {
    Ok(free_pair()?[0])
}

/// Whether nobody listens on `port` of the loopback.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The ports to choose from, given what the system says of its own.
fn range(system: Option<String>) -> Range<u16> {
    let first = system.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let end: u16 = first.unwrap_or(HIGHEST);
    // A system that keeps nearly everything for itself leaves no better choice.
    if end < LOWEST + 1_000 { LOWEST..HIGHEST } else { LOWEST..end }
}

/// The `nth` port that this process tries: processes begin far from each other.
fn candidate(range: &Range<u16>, process: u32, nth: u32) -> u16 {
    let width = u32::from(range.end - range.start);
    let begin = process.wrapping_mul(2_654_435_761) >> 8;
    let step = u16::try_from(begin.wrapping_add(nth) % width).unwrap_or_default();
    range.start + step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_free_and_of_two() {
        let [first, second] = free_pair().unwrap();
        assert_ne!(first, second);
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert!(!is_free(first));
        assert!(is_free(second));
    }

    #[test]
    fn ports_lie_below_the_systems_own() {
        assert_eq!(range(Some("20000\t60999\n".to_owned())), 10_000..20_000);
        assert_eq!(range(Some("1024\t65535\n".to_owned())), 10_000..32_768);
        assert_eq!(range(None), 10_000..32_768);
        for (process, nth) in [(0, 0), (1, 7), (u32::MAX, u32::MAX), (4_711, 999)] {
            assert!((10_000..20_000).contains(&candidate(&(10_000..20_000), process, nth)));
        }
    }

    #[test]
    fn neighbours_begin_far_from_each_other() {
        let distance =
            candidate(&(10_000..30_000), 100, 0).abs_diff(candidate(&(10_000..30_000), 101, 0));
        assert!(distance > 50, "{distance}");
    }
}
