//! Numbers, sizes, durations and moments in few letters.

use std::time::{Duration, UNIX_EPOCH};

use riverrun_engine::time::Timestamp;

/// Beyond this a watermark is shown as a moment: a lag of years says nothing.
const LAG_MAX: Duration = Duration::from_secs(24 * 3600);
/// The end of the year 9999.
const FORMATTED_MS_END: i64 = 253_402_300_800_000;

/// `9999`, `10.0k`, `1.23M`, `45.6G`.
pub(crate) fn count(n: f64) -> String {
    match n {
        n if n < 9_999.5 => format!("{n:.0}"),
        n if n < 999_950.0 => format!("{:.1}k", n / 1e3),
        n if n < 999_995_000.0 => format!("{:.2}M", n / 1e6),
        n => format!("{:.2}G", n / 1e9),
    }
}

/// `512 B`, `1.5 KiB`, `3.2 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"KiB");
    for next in units {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

/// `350ms`, `1.2s`, `3m 5s`, `2h 7m`, `3d 4h`.
pub(crate) fn duration(duration: Duration) -> String {
    let (ms, s) = (duration.as_millis(), duration.as_secs());
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{:.1}s", (ms / 100) as f64 / 10.0),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86400, s % 86400 / 3600),
    }
}

/// How far a watermark is behind the clock, or which moment it is when that is far.
pub(crate) fn lag(watermark: Timestamp, now: Timestamp) -> String {
    match watermark {
        Timestamp::MIN => "-".to_owned(),
        Timestamp::MAX => "end".to_owned(),
        watermark if now - watermark > LAG_MAX || watermark - now > LAG_MAX => moment(watermark),
        watermark if watermark > now => format!("-{}", duration(watermark - now)),
        watermark => duration(now - watermark),
    }
}

/// `2026-11-21T04:05:06Z`, or milliseconds outside of the years 1970 to 9999.
pub(crate) fn moment(at: Timestamp) -> String {
    match at.as_millis() {
        ms @ 0..FORMATTED_MS_END => {
            let at = UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
            humantime::format_rfc3339_seconds(at).to_string()
        }
        _ => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riverrun_engine::time::{at, secs};

    #[test]
    fn numbers() {
        let counts = [0.0, 9_999.0, 10_000.0, 999_949.0, 1_234_567.0, 45.6e9].map(count);
        assert_eq!(counts, ["0", "9999", "10.0k", "999.9k", "1.23M", "45.60G"]);
        let sizes = [0, 1023, 1024, 1536, 1_048_575, 1 << 20, u64::MAX].map(bytes);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "16777216.0 TiB"];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn durations_and_lags() {
        let all = [0, 59, 61, 7_620, 273_600].map(|s| duration(secs(s)));
        assert_eq!(all, ["0ms", "59.0s", "1m 1s", "2h 7m", "3d 4h"]);
        let now = at(1_000_000_000);
        let lags = [
            lag(now - secs(2), now),
            lag(now + secs(3), now),
            lag(at(0), now),
            lag(at(-1), now),
            lag(Timestamp::MIN, now),
            lag(Timestamp::MAX, now),
        ];
        assert_eq!(lags, ["2.0s", "-3.0s", "1970-01-01T00:00:00Z", "-1000", "-", "end"]);
        let year_9999 = Timestamp::from_millis(FORMATTED_MS_END - 1);
        assert_eq!(moment(year_9999), "9999-12-31T23:59:59Z");
        assert_eq!(moment(Timestamp::from_millis(FORMATTED_MS_END)), "253402300800000");
    }
}
