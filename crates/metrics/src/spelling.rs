//! How labels and numbers are spelled, in both text formats and as the name of a series.

use std::fmt::Write as _;

/// Spells labels as `a="b",c="d"`; nothing when there are none.
pub(crate) fn spell_labels(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        escape(&mut out, value, true);
        out.push('"');
    }
    out
}

/// Writes text with backslashes and line ends escaped, and quotes where they would end it.
pub(crate) fn escape(out: &mut String, text: &str, quotes: bool) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(char),
        }
    }
}

/// Writes a whole number; quicker than `fmt`, and 10,000 of them are a scrape.
pub(crate) fn push_u64(out: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

/// Writes a whole number with its sign.
pub(crate) fn push_i64(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Writes a number as both formats spell it. `with_point` keeps the point of whole numbers, as the
/// canonical numbers of OpenMetrics do.
pub(crate) fn push_f64(out: &mut String, value: f64, with_point: bool) {
    let written = if value.is_nan() {
        out.push_str("NaN");
        Ok(())
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        Ok(())
    } else if with_point {
        write!(out, "{value:?}")
    } else {
        write!(out, "{value}")
    };
    written.expect("writing to a String does not fail");
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_fmt_does() {
        for number in [0, 1, 9, 10, 12345678901234567890, u64::MAX] {
            let mut out = String::new();
            push_u64(&mut out, number);
            assert_eq!(out, number.to_string());
        }
        for number in [i64::MIN, -1, 0, i64::MAX] {
            let mut out = String::new();
            push_i64(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }
}
