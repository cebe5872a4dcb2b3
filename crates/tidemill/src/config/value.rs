//! The small written forms inside values: durations, percentages, status ranges, addresses.
//!
//! Each parser says in a few words what it stumbled over; the reader adds key and position.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Host and port as written; the host may be a name that is resolved later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port, 1 to 65,535.
    pub port: u16,
    /// What the operator wrote.
    pub written: String,
}

/// Parses `"250ms"`, `"5s"`, `"1h30m"`: integers, each with a unit of ms, s, m, h or d.
///
/// # Errors
///
/// When a unit is missing or unknown, or the sum exceeds 2^64 milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut rest = text;
    let mut sum_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = match number.parse() {
            Ok(number) => number,
            Err(_) if number.is_empty() => return Err(format!("no number before \"{rest}\"")),
            Err(_) => return Err(format!("{number} is too large")),
        };
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(format!("{number} has no unit (ms, s, m, h, d)")),
            _ => return Err(format!("\"{unit}\" is no unit (ms, s, m, h, d)")),
        };
        sum_ms = number
            .checked_mul(unit_ms)
            .and_then(|ms| sum_ms.checked_add(ms))
            .ok_or_else(|| "it is too large".to_owned())?;
        rest = tail;
    }
    Ok(Duration::from_millis(sum_ms))
}

/// Writes a duration in the form [`parse_duration`] reads, with the largest unit that divides it.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Parses `"64KiB"`: an integer with a unit of B, KiB, MiB, GiB or TiB.
///
/// # Errors
///
/// When the unit is missing or unknown, or the size exceeds 2^64 bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let units = SIZES.iter().find(|(name, _)| *name == unit.trim_start());
    let Some((_, factor)) = units else {
        return Err(format!("\"{unit}\" is no unit (B, KiB, MiB, GiB, TiB)"));
    };
    let number: u64 = number.parse().map_err(|_| format!("no number before \"{unit}\""))?;
    number.checked_mul(*factor).ok_or_else(|| "it is too large".to_owned())
}

/// Writes a size in the form [`parse_size`] reads, with the largest unit that divides it.
pub(super) fn format_size(bytes: u64) -> String {
    let divides = |factor: &u64| bytes >= *factor && bytes.is_multiple_of(*factor);
    let unit = SIZES.iter().rev().find(|(_, factor)| divides(factor)).unwrap_or(&SIZES[0]);
    format!("{}{}", bytes / unit.1, unit.0)
}

const SIZES: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Parses `"10%"`, 0 to 100.
///
/// # Errors
///
/// When the sign is missing or the number is none or above 100.
pub(super) fn parse_percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').ok_or_else(|| "the % sign is missing".to_owned())?;
    match number.trim_end().parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err(format!("\"{number}\" is no number from 0 to 100")),
    }
}

/// Parses one HTTP status (`"204"`) or an inclusive range of them (`"200-399"`).
///
/// # Errors
///
/// When a status is outside 100 to 599 or the range is empty.
pub(super) fn parse_statuses(text: &str) -> Result<(u16, u16), String> {
    let status = |text: &str| match text.trim().parse() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(format!("\"{}\" is no HTTP status from 100 to 599", text.trim())),
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (status(low)?, status(high)?),
        None => (status(text)?, status(text)?),
    };
    if low > high { Err(format!("{low} is above {high}")) } else { Ok((low, high)) }
}

/// Parses an address to listen on: an IP address with a port, where port 0 takes a free one.
///
/// # Errors
///
/// In words, with the corrected address where it can be told.
pub fn parse_listen(text: &str) -> Result<SocketAddr, (String, Option<String>)> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        let corrected = SocketAddr::new(ip, 8080).to_string();
        return Err(("it has no port".to_owned(), Some(corrected)));
    }
    match split_port(text) {
        Err(reason) => Err((reason, None)),
        Ok((host, port)) => {
            let corrected = match host {
                "" | "*" => Some(format!("0.0.0.0:{port}")),
                "localhost" => Some(format!("127.0.0.1:{port}")),
                _ => None,
            };
            Err((format!("\"{host}\" is no IP address"), corrected))
        }
    }
}

/// Parses where a backend is: an IP address or a name, with a port from 1 on.
///
/// # Errors
///
/// In words, with the corrected address where it can be told.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, (String, Option<String>)> {
    let endpoint =
        |host: &str, port| Endpoint { host: host.to_owned(), port, written: text.into() };
    let (host, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
        (Ok(address), _) => (address.ip().to_string(), address.port()),
        (_, Ok(ip)) => {
            let corrected = SocketAddr::new(ip, 8081).to_string();
            return Err(("it has no port".to_owned(), Some(corrected)));
        }
        _ => {
            let (host, port) = split_port(text).map_err(|reason| (reason, None))?;
            (host.to_owned(), port)
        }
    };
    if port == 0 {
        return Err(("port 0 cannot be connected to".to_owned(), None));
    }
    let is_name = |host: &str| {
        (1..=253).contains(&host.len())
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            // A last label of digits only is a mistyped IPv4 address (WHATWG URL, host parsing).
            && !host.rsplit('.').next().is_some_and(|l| l.chars().all(|c| c.is_ascii_digit()))
    };
    if host.parse::<IpAddr>().is_ok() || is_name(&host) {
        Ok(endpoint(&host, port))
    } else {
        Err((format!("\"{host}\" is neither an IP address nor a host name"), None))
    }
}

fn split_port(text: &str) -> Result<(&str, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| "it has no port".to_owned())?;
    let is_number = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    match port.parse() {
        Ok(port) => Ok((host, port)),
        Err(_) if is_number => Err(format!("port {port} is above 65535")),
        Err(_) => Err(format!("\"{port}\" is no port number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn duration(text: &str, want: Result<u64, &str>) {
        let got = parse_duration(text).map(|d| d.as_millis() as u64);
        assert_eq!(got, want.map_err(str::to_owned), "{text:?}");
    }

    #[test]
    fn durations_need_a_unit() {
        duration("250ms", Ok(250));
        duration("5s", Ok(5_000));
        duration("1h30m", Ok(5_400_000));
        duration("2d", Ok(172_800_000));
        duration("", Err("it is empty"));
        duration("30", Err("30 has no unit (ms, s, m, h, d)"));
        duration("5 s", Err("5 has no unit (ms, s, m, h, d)"));
        duration("5sec", Err("\"sec\" is no unit (ms, s, m, h, d)"));
        duration("s", Err("no number before \"s\""));
        duration("-1s", Err("no number before \"-1s\""));
        duration("99999999999999999999s", Err("99999999999999999999 is too large"));
        duration("9999999999999999999d", Err("it is too large"));
    }

    #[test]
    fn a_written_duration_reads_back() {
        for ms in [0, 1, 250, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000, u64::MAX] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn sizes_have_a_unit_and_read_back() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        for bytes in [0, 1, 1_023, 1_024, 3 << 20, 1 << 40, (1 << 40) + 1] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        for bad in ["", "64", "KiB", "64KB", "-1B", "99999999999999999999B", "99999999TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_and_statuses_are_bounded() {
        assert_eq!(parse_percent("10%"), Ok(10));
        assert!(parse_percent("10").is_err());
        assert!(parse_percent("101%").is_err());
        assert_eq!(parse_statuses("204"), Ok((204, 204)));
        assert_eq!(parse_statuses("200-399"), Ok((200, 399)));
        assert!(parse_statuses("399-200").is_err());
        assert!(parse_statuses("20").is_err());
        assert!(parse_statuses("2xx").is_err());
    }

    #[track_caller]
    fn listen(text: &str, reason: &str, corrected: Option<&str>) {
        let want = Err((reason.to_owned(), corrected.map(str::to_owned)));
        assert_eq!(parse_listen(text), want, "{text:?}");
    }

    #[test]
    fn a_bad_listen_address_is_corrected_where_it_can_be() {
        assert!(parse_listen("127.0.0.1:0").is_ok());
        assert!(parse_listen("[::1]:80").is_ok());
        listen("127.0.0.1", "it has no port", Some("127.0.0.1:8080"));
        listen("::1", "it has no port", Some("[::1]:8080"));
        listen(":80", "\"\" is no IP address", Some("0.0.0.0:80"));
        listen("localhost:80", "\"localhost\" is no IP address", Some("127.0.0.1:80"));
        listen("127.0.0.1:99999", "port 99999 is above 65535", None);
        listen("127.0.0.1:http", "\"http\" is no port number", None);
        listen("10.0.0.256:80", "\"10.0.0.256\" is no IP address", None);
    }

    #[test]
    fn a_backend_may_be_a_name_but_not_a_mistyped_address() {
        let endpoint = parse_endpoint("redis-1.internal:6379").expect("a name");
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("redis-1.internal", 6379));
        assert_eq!(parse_endpoint("[::1]:80").expect("an address").host, "::1");
        for bad in ["10.0.0.256:80", "10.0.0.1:0", "10.0.0.1", "redis", "a b:80", ":80", "::1:x"] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }
}
