//! `google.protobuf.Timestamp` and `Duration` as text, both ways.

use super::super::wire::{Corrupt, Records, VARINT, put_varint};
use super::scalar::Rule;

/// Writes the fields of the Timestamp that RFC 3339 text names: upper-case `T` and `Z`, any offset, up to nine digits of a
/// second.
pub(super) fn put_timestamp(text: &str, out: &mut Vec<u8>) -> Result<(), Rule> {
    let (seconds, nanos) = parse_timestamp(text.as_bytes()).ok_or(TIMESTAMP)?;
    put_pair(seconds, nanos, out);
    Ok(())
}

/// Writes the fields of the Duration that text like `1.5s` names.
pub(super) fn put_duration(text: &str, out: &mut Vec<u8>) -> Result<(), Rule> {
    let (seconds, nanos) = parse_duration(text).ok_or(DURATION)?;
    put_pair(seconds, nanos, out);
    Ok(())
}

/// Writes a Timestamp as a JSON string.
pub(super) fn write_timestamp(wire: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let (seconds, nanos) = read_pair(wire)?;
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return Err(Corrupt);
    }
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let time = seconds.rem_euclid(86_400);
    out.push(b'"');
    digits(out, year, 10_000);
    for (separator, part) in
        [(b'-', month), (b'-', day), (b'T', time / 3600), (b':', time / 60 % 60), (b':', time % 60)]
    {
        out.push(separator);
        digits(out, part, 100);
    }
    fraction(out, nanos);
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// Writes a Duration as a JSON string.
pub(super) fn write_duration(wire: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let (seconds, nanos) = read_pair(wire)?;
    let mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if mixed || seconds.abs() > MAX_DURATION || nanos.abs() >= NANOS {
        return Err(Corrupt);
    }
    out.push(b'"');
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds.abs()).as_bytes());
    fraction(out, nanos.abs());
    out.extend_from_slice(b"s\"");
    Ok(())
}

fn parse_timestamp(text: &[u8]) -> Option<(i64, i64)> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let shape = *b"....-..-..T..:..:..";
    if shape.iter().zip(date_time).any(|(shape, byte)| *shape != b'.' && shape != byte) {
        return None;
    }
    let part = |from: usize, to: usize| number(&date_time[from..to]);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (parse_fraction(&rest[..length])?, &rest[length..])
        }
        None => (0, rest),
    };
    let offset = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = 3600 * hours + 60 * minutes;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    (MIN_SECONDS..=MAX_SECONDS).contains(&seconds).then_some((seconds, nanos))
}

fn parse_duration(text: &str) -> Option<(i64, i64)> {
    let text = text.strip_suffix('s')?;
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let (seconds, nanos) = match text.split_once('.') {
        Some((seconds, fraction)) => (seconds, parse_fraction(fraction.as_bytes())?),
        None => (text, 0),
    };
    let seconds = number(seconds.as_bytes())?;
    (seconds <= MAX_DURATION).then_some((sign * seconds, sign * nanos))
}

/// Up to nine digits of a second, as nanoseconds.
fn parse_fraction(digits: &[u8]) -> Option<i64> {
    let missing = 9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    Some(number(digits)? * 10_i64.pow(missing))
}

/// One to twelve digits, as a number.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| 10 * sum + i64::from(digit - b'0')))
}

/// Both types have the fields `seconds` (1) and `nanos` (2).
fn put_pair(seconds: i64, nanos: i64, out: &mut Vec<u8>) {
    if seconds != 0 {
        out.push(0x08);
        put_varint(out, seconds as u64);
    }
    if nanos != 0 {
        out.push(0x10);
        put_varint(out, nanos as u64);
    }
}

fn read_pair(wire: &[u8]) -> Result<(i64, i64), Corrupt> {
    let mut records = Records::new(wire);
    let (mut seconds, mut nanos) = (0, 0);
    while !records.is_empty() {
        match records.tag()? {
            (1, VARINT) => seconds = records.varint()? as i64,
            (2, VARINT) => nanos = i64::from(records.varint()? as i32),
            (_, wire_type) => records.skip(wire_type)?,
        }
    }
    Ok((seconds, nanos))
}

/// A number with leading zeros, which is below this power of ten and has as many digits as that has zeros.
fn digits(out: &mut Vec<u8>, number: i64, power: i64) {
    out.extend_from_slice(&itoa::Buffer::new().format(power + number).as_bytes()[1..]);
}

/// Nothing, or three, six or nine digits.
fn fraction(out: &mut Vec<u8>, nanos: i64) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    if nanos % 1_000_000 == 0 {
        digits(out, nanos / 1_000_000, 1_000);
    } else if nanos % 1_000 == 0 {
        digits(out, nanos / 1_000, 1_000_000);
    } else {
        digits(out, nanos, NANOS);
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. The year is counted from March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * DAYS_OF_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH
}

/// Undoes [`days`]: year, month, day.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (era, day_of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(super) const TIMESTAMP: &str = "must be an RFC 3339 time such as 2030-01-31T12:00:00Z";
pub(super) const DURATION: &str = "must be seconds such as 3600s or 1.5s";

const NANOS: i64 = 1_000_000_000;
const MAX_DURATION: i64 = 315_576_000_000;
/// 0001-01-01T00:00:00Z.
const MIN_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const MAX_SECONDS: i64 = 253_402_300_799;
const DAYS_OF_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use prost_types::{Duration, Timestamp};

    use super::*;

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "2024",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-01t00:00:00Z",
            "2024-01-01T00:00:00z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-00-01T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+0100",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00Zx",
            "\u{661}024-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_duration() {
        for text in ["", "s", "1", "1.s", ".5s", "1.0000000000s", "--1s", "+1s", "1 s", "315576000001s", "1e3s", "-s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn reads_offsets_and_fractions() {
        assert_eq!(parse_timestamp(b"1970-01-01T01:00:00.5+01:00"), Some((0, 500_000_000)));
        assert_eq!(parse_timestamp(b"1969-12-31T23:59:59.000000001-00:30"), Some((1799, 1)));
        assert_eq!(parse_duration("-0.5s"), Some((0, -500_000_000)));
        assert_eq!(parse_duration("-3.000000001s"), Some((-3, -1)));
    }

    proptest! {
        #[test]
        fn timestamps_read_as_they_are_written(seconds in MIN_SECONDS..=MAX_SECONDS, nanos in nanos()) {
            let timestamp = Timestamp { seconds, nanos };
            let mut json = Vec::new();
            write_timestamp(&timestamp.encode_to_vec(), &mut json).unwrap();
            let json = String::from_utf8(json).unwrap();
            prop_assert_eq!(&json, &format!("\"{timestamp}\""));
            let mut wire = Vec::new();
            put_timestamp(json.trim_matches('"'), &mut wire).unwrap();
            prop_assert_eq!(Timestamp::decode(&*wire).unwrap(), timestamp);
        }

        #[test]
        fn durations_read_as_they_are_written(seconds in 0..=MAX_DURATION, nanos in nanos(), negative: bool) {
            let sign = if negative { -1 } else { 1 };
            let duration = Duration { seconds: sign * seconds, nanos: sign as i32 * nanos };
            let mut json = Vec::new();
            write_duration(&duration.encode_to_vec(), &mut json).unwrap();
            let json = String::from_utf8(json).unwrap();
            prop_assert_eq!(&json, &format!("\"{duration}\""));
            let mut wire = Vec::new();
            put_duration(json.trim_matches('"'), &mut wire).unwrap();
            prop_assert_eq!(Duration::decode(&*wire).unwrap(), duration);
        }
    }

    fn nanos() -> impl Strategy<Value = i32> {
        prop_oneof![
            Just(0),
            (0..1000).prop_map(|millis| millis * 1_000_000),
            (0..1_000_000).prop_map(|micros| micros * 1000),
            0..1_000_000_000
        ]
    }
}
