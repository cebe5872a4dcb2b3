//! Load generators, run to their end, and their figures.
//!
//! Each returns `None` when its program is not installed. Each has a deadline: redis-benchmark, for
//! one, spins for ever when its server refuses connections.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::installed::require;
use crate::process::{Finished, Launch};

/// What redis-benchmark measured.
#[derive(Debug, Clone)]
pub struct RedisBenchmark {
    /// One for each command, in the order run.
    pub tests: Vec<RedisTest>,
    /// Everything it complained about, and an exit status other than 0; empty when all went well.
    pub errors: Vec<String>,
}

/// One command of redis-benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisTest {
    /// The command, such as `SET`.
    pub name: String,
    /// Requests per second.
    pub rps: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of latency in milliseconds.
    pub p99_ms: f64,
}

/// Runs redis-benchmark against an address with further arguments, such as
/// `["-n", "20000", "-c", "50", "-t", "get,set"]`.
///
/// # Panics
///
/// When it is not done `within` this time.
#[track_caller]
pub fn redis_benchmark(
    address: SocketAddr,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    within: Duration,
) -> Option<RedisBenchmark> {
    let launch = Launch::new(require("redis-benchmark")?)
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "--csv"])
        .args(args);
    Some(read_redis_benchmark(&launch.run(within)))
}

/// What wrk measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wrk {
    /// Answers received.
    pub requests: u64,
    /// Answers per second.
    pub rps: f64,
    /// Answers with a status of 400 and above.
    pub bad_statuses: u64,
    /// Connections that could not be made.
    pub connect_errors: u64,
    /// Connections that ended before the answer did.
    pub read_errors: u64,
    /// Requests that could not be sent.
    pub write_errors: u64,
    /// Answers that took longer than the timeout (2 seconds, unless `--timeout` is given).
    pub timeouts: u64,
    /// 99th percentile of latency in milliseconds.
    pub p99_ms: f64,
}

impl Wrk {
    /// Counts everything that was not a good answer.
    pub fn errors(&self) -> u64 {
        let socket = self.connect_errors + self.read_errors + self.write_errors + self.timeouts;
        self.bad_statuses + socket
    }
}

/// Runs wrk against a URL for some seconds with further arguments, such as
/// `["-t", "1", "-c", "50"]`.
///
/// # Panics
///
/// When it is not done 30 seconds after it should be, or does not say how many requests it made.
#[track_caller]
pub fn wrk(
    url: &str,
    seconds: u64,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Option<Wrk> {
    let launch = Launch::new(require("wrk")?)
        .args(["--latency", "--duration", &format!("{seconds}s")])
        .args(args)
        .args([url]);
    let finished = launch.run(Duration::from_secs(seconds) + GRACE);
    match read_wrk(&finished.stdout) {
        Some(wrk) => Some(wrk),
        None => panic!("wrk {url}: {}{}", finished.stdout, finished.stderr),
    }
}

/// What an iperf3 client measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Iperf3Client {
    /// What the server received, in bits per second.
    pub bits_per_second: f64,
    /// What the server received, in bytes.
    pub bytes: u64,
}

/// Runs an iperf3 client with parallel streams for some seconds; an error is iperf3's own message.
///
/// # Panics
///
/// When it is not done 30 seconds after it should be.
#[track_caller]
pub fn iperf3_client(
    address: SocketAddr,
    streams: u16,
    seconds: u64,
) -> Option<Result<Iperf3Client, String>> {
    let launch = Launch::new(require("iperf3")?)
        .args(["--client", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(["--parallel", &streams.to_string(), "--time", &seconds.to_string(), "--json"]);
    let finished = launch.run(Duration::from_secs(seconds) + GRACE);
    Some(read_iperf3(&finished.stdout))
}

fn read_redis_benchmark(finished: &Finished) -> RedisBenchmark {
    let tests = finished.stdout.lines().filter_map(read_redis_test).collect();
    let complaints = finished.stdout.lines().chain(finished.stderr.lines());
    let mut errors: Vec<String> = complaints
        .filter(|line| ["Error", "ERR", "Could not"].iter().any(|word| line.contains(word)))
        .map(str::to_owned)
        .collect();
    if !finished.status.success() {
        errors.push(finished.status.to_string());
    }
    RedisBenchmark { tests, errors }
}

/// `"SET","175438.59",avg,min,p50,p95,p99,max`, all quoted; the header has no numbers.
fn read_redis_test(line: &str) -> Option<RedisTest> {
    let fields: Vec<&str> = line.split(',').map(|field| field.trim_matches('"')).collect();
    let &[name, rps, _, _, p50_ms, _, p99_ms, _] = &fields[..] else { return None };
    Some(RedisTest {
        name: name.to_owned(),
        rps: rps.parse().ok()?,
        p50_ms: p50_ms.parse().ok()?,
        p99_ms: p99_ms.parse().ok()?,
    })
}

fn read_wrk(text: &str) -> Option<Wrk> {
    let mut wrk = Wrk::default();
    let mut counted = false;
    for line in text.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            wrk.requests = requests.parse().ok()?;
            counted = true;
        } else if let Some(rps) = line.strip_prefix("Requests/sec:") {
            wrk.rps = rps.trim().parse().ok()?;
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            wrk.bad_statuses = count.trim().parse().ok()?;
        } else if let Some(latency) = line.strip_prefix("99%") {
            wrk.p99_ms = read_wrk_time_ms(latency.trim())?;
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            for error in errors.split(',') {
                let (kind, count) = error.trim().split_once(' ')?;
                let count = count.parse().ok()?;
                match kind {
                    "connect" => wrk.connect_errors = count,
                    "read" => wrk.read_errors = count,
                    "write" => wrk.write_errors = count,
                    "timeout" => wrk.timeouts = count,
                    _ => return None,
                }
            }
        }
    }
    counted.then_some(wrk)
}

/// `850.00us`, `12.50ms`, `1.20s` or `1.00m`.
fn read_wrk_time_ms(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1e3), ("m", 60e3)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

fn read_iperf3(json: &str) -> Result<Iperf3Client, String> {
    let report: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("{error} in: {json}"))?;
    if let Some(error) = report["error"].as_str() {
        return Err(error.to_owned());
    }
    let received = &report["end"]["sum_received"];
    match (received["bits_per_second"].as_f64(), received["bytes"].as_u64()) {
        (Some(bits_per_second), Some(bytes)) => Ok(Iperf3Client { bits_per_second, bytes }),
        _ => Err(format!("no end.sum_received in: {json}")),
    }
}

const GRACE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_with_errors_is_read() {
        let text = "Running 1s test @ http://127.0.0.1:1/\n  Latency Distribution\n     \
                    99%    1.50s \n  442 requests in 1.00s, 1.42MB read\n  \
                    Socket errors: connect 1, read 2, write 3, timeout 4\n  \
                    Non-2xx or 3xx responses: 5\nRequests/sec:    441.55\n";
        let wrk = read_wrk(text).expect("complete");
        assert_eq!((wrk.requests, wrk.errors(), wrk.read_errors), (442, 15, 2));
        assert_eq!((wrk.rps, wrk.p99_ms), (441.55, 1500.0));
        assert_eq!(read_wrk("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }

    #[test]
    fn redis_benchmark_lines_are_read() {
        let line = r#""SET","175438.59","0.132","0.056","0.119","0.231","0.335","0.863""#;
        let test = read_redis_test(line).expect("complete");
        assert_eq!((test.name.as_str(), test.rps, test.p99_ms), ("SET", 175_438.59, 0.335));
        assert_eq!(read_redis_test(r#""test","rps","a","b","c","d","e","f""#), None);
    }

    #[test]
    fn an_iperf3_error_is_passed_on() {
        let error = read_iperf3(r#"{"error":"unable to connect"}"#).expect_err("an error");
        assert_eq!(error, "unable to connect");
    }
}
