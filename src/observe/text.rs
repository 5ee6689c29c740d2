//! Values as bytes of text: escapes, numbers, addresses, times. Everything appends to what is there.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As nginx does: quotes, backslashes and whatever is not printable ASCII become `\xNN`.
pub fn escaped(bytes: &[u8], quoted: bool, out: &mut Vec<u8>) {
    let fine = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') && (quoted || *byte != b' ');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !fine(byte)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', b'x', hex(rest[at] >> 4), hex(rest[at])]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The inside of a JSON string. Bytes that are not UTF-8 become U+FFFD, and what a terminal or a viewer could obey (C1
/// controls, line separators, changes of direction) is escaped although JSON would let it stand.
pub fn json_text(bytes: &[u8], out: &mut Vec<u8>) {
    // Without a way out of the loop, so that it looks at many bytes at a time.
    let fine = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != b'"') & (*byte != b'\\');
    if bytes.iter().fold(true, |all, byte| all & fine(byte)) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
                '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => {
                    unicode_escape(character, out);
                }
                '\u{2066}'..='\u{2069}' | '\u{feff}' => unicode_escape(character, out),
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn unicode_escape(character: char, out: &mut Vec<u8>) {
    let code = character as u32;
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| hex((code >> shift) as u8)));
}

/// The low four bits as a digit.
const fn hex(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[(nibble & 15) as usize]
}

pub fn decimal(number: u64, out: &mut Vec<u8>) {
    padded(number, 1, out);
}

/// By hand, since `write!` costs several times as much and a line has a dozen numbers.
pub fn padded(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

pub fn millis(duration: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    decimal(micros / 1000, out);
    out.push(b'.');
    padded(micros % 1000, 3, out);
}

pub fn address(ip: IpAddr, out: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, rest @ ..] = ip.octets();
            decimal(a.into(), out);
            for octet in rest {
                out.push(b'.');
                decimal(octet.into(), out);
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}

/// A moment in UTC by the calendar.
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u64,
}

impl Moment {
    /// Times before 1970 count as its first moment: no request came then, a clock was wrong.
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let of_day = seconds % 86_400;
        Self {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            millisecond: since.subsec_millis().into(),
        }
    }
}

/// Year, month and day, given the days since 1970-01-01: Howard Hinnant's `civil_from_days` for days from then on.
/// Years start in March in it, so that the leap day is a year's last and months follow one formula.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + (month <= 2) as u64, month, day)
}

fn joined(parts: &[(u64, usize, u8)], out: &mut Vec<u8>) {
    for &(number, width, after) in parts {
        padded(number, width, out);
        out.push(after);
    }
}

/// `2026-11-24T11:05:00.123Z`
pub fn rfc3339(time: SystemTime, out: &mut Vec<u8>) {
    let Moment { year, month, day, hour, minute, second, millisecond } = Moment::of(time);
    joined(&[(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T')], out);
    joined(&[(hour, 2, b':'), (minute, 2, b':'), (second, 2, b'.'), (millisecond, 3, b'Z')], out);
}

/// `24/Nov/2026:11:05:00 +0000`
pub fn common_time(time: SystemTime, out: &mut Vec<u8>) {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let Moment { year, month, day, hour, minute, second, .. } = Moment::of(time);
    joined(&[(day, 2, b'/')], out);
    out.extend_from_slice(MONTHS[month as usize - 1]);
    out.push(b'/');
    joined(&[(year, 4, b':'), (hour, 2, b':'), (minute, 2, b':'), (second, 2, b' ')], out);
    out.extend_from_slice(b"+0000");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_781, (2026, 11, 24)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = date(0);
        for days in 1..400_000 {
            let next = date(days);
            let (year, month, day) = last;
            let follows = next == (year, month, day + 1)
                || (next == (year, month + 1, 1) && day >= 28)
                || (next == (year + 1, 1, 1) && (month, day) == (12, 31));
            assert!(follows, "{last:?} then {next:?}");
            last = next;
        }
    }

    #[test]
    fn times_are_those_of_humantime() {
        for millis in (0..4_102_444_800_000_u64).step_by(86_399_777_123 / 7) {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(text(|out| rfc3339(time, out)), humantime::format_rfc3339_millis(time).to_string());
        }
    }

    #[test]
    fn a_time_before_1970_is_its_first_moment() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(text(|out| rfc3339(before, out)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(text(|out| decimal(number, out)), number.to_string());
        }
        assert_eq!(text(|out| padded(7, 3, out)), "007");
        assert_eq!(text(|out| padded(1234, 3, out)), "1234");
    }

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        for (nanos, expected) in [(0, "0.000"), (999, "0.000"), (1000, "0.001"), (12_345_678, "12.345")] {
            assert_eq!(text(|out| millis(Duration::from_nanos(nanos), out)), expected);
        }
        assert!(text(|out| millis(Duration::MAX, out)).ends_with(".615"), "the longest does not overflow");
    }

    #[test]
    fn addresses_are_canonical() {
        for ip in ["0.0.0.0", "192.0.2.255", "2001:db8::1", "::1"] {
            assert_eq!(text(|out| address(ip.parse().expect(ip), out)), ip);
        }
        assert_eq!(text(|out| address("::ffff:192.0.2.1".parse().expect("mapped"), out)), "192.0.2.1");
    }

    #[test]
    fn json_text_replaces_what_is_not_utf8() {
        assert_eq!(text(|out| json_text(b"a\xffb\xe2\x82", out)), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(|out| json_text("ärger 🦀".as_bytes(), out)), "ärger 🦀");
    }
}
