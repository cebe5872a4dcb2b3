//! The load generators, none of them ours, and what their output says.
//!
//! Any sign of an error in the output makes the run a failure: a rate that was reached by dropping
//! requests is no rate. Every run is bounded in count or time, and by [`LIMIT`].

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::packages;
use crate::process::{self, Output};

/// What a client saw.
#[derive(Debug, PartialEq)]
pub(crate) struct Requests {
    /// Requests that were answered.
    pub(crate) count: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Median time to the answer.
    pub(crate) p50_ms: f64,
    /// Time within which 99 of 100 answers came.
    pub(crate) p99_ms: f64,
}

/// What a bulk transfer reached at the receiver.
#[derive(Debug, PartialEq)]
pub(crate) struct Transfer {
    /// Bytes received.
    pub(crate) bytes: f64,
    /// Bits per second, in units of 10^9.
    pub(crate) gigabits_per_second: f64,
}

/// Runs `redis-benchmark` over 50 connections: `count` commands, `pipeline` in flight on each.
pub(crate) fn redis(port: u16, test: &str, count: u32, pipeline: u32) -> Result<Requests> {
    let mut command = packages::command("redis-benchmark")?;
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "50", "--csv"]);
    command.args(["-t", test, "-d", "64"]);
    command.args(["-n", &count.to_string(), "-P", &pipeline.to_string()]);
    parse_redis(&run(command)?, f64::from(count))
}

/// Runs `wrk` with 50 connections on two threads, each connection for one request or for many.
pub(crate) fn http(port: u16, seconds: u32, keep_alive: bool) -> Result<Requests> {
    let mut command = packages::command("wrk")?;
    command.args(["-t2", "-c50", "--latency", &format!("-d{seconds}s")]);
    if !keep_alive {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(format!("http://127.0.0.1:{port}/"));
    parse_wrk(&run(command)?)
}

/// Runs an `iperf3` client that sends over `streams` connections.
pub(crate) fn bulk(port: u16, seconds: u32, streams: u32) -> Result<Transfer> {
    let mut command = packages::command("iperf3")?;
    command.args(["--client", "127.0.0.1", "--port", &port.to_string(), "--json"]);
    command.args(["--time", &seconds.to_string(), "--parallel", &streams.to_string()]);
    parse_iperf(&run_any(command)?)
}

fn run(command: Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = run_any(command)?;
    if output.success {
        return Ok(output);
    }
    Err(Error::outside(format!("{name} failed: {}{}", output.stderr.trim(), output.stdout.trim())))
}

fn run_any(command: Command) -> Result<Output> {
    process::run(command, LIMIT)
}

/// `"test","rps","avg_latency_ms",…` and one line of values; anything on stderr is an error.
fn parse_redis(output: &Output, count: f64) -> Result<Requests> {
    let both = format!("{}\n{}", output.stdout.trim(), output.stderr.trim());
    let lines = both.lines().filter(|line| !line.trim().is_empty());
    let (rows, other): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with('"'));
    if !other.is_empty() {
        return Err(Error::outside(format!("redis-benchmark says: {}", other.join(" / "))));
    }
    let [head, values] = rows.as_slice() else {
        return Err(Error::outside(format!("redis-benchmark gave {} rows, not two", rows.len())));
    };
    let fields = |row: &str| row.split(',').map(|cell| cell.replace('"', "")).collect::<Vec<_>>();
    let (head, values) = (fields(head), fields(values));
    let value = |name: &str| {
        let index = head.iter().position(|column| column == name);
        let value = index.and_then(|index| values.get(index)?.parse::<f64>().ok());
        value.ok_or_else(|| Error::outside(format!("redis-benchmark gave no {name}")))
    };
    Ok(Requests {
        count,
        rate: value("rps")?,
        p50_ms: value("p50_latency_ms")?,
        p99_ms: value("p99_latency_ms")?,
    })
}

/// `50%  286.00us`, `177570 requests in 2.10s`, `Requests/sec:  84644.85`; errors have their lines.
fn parse_wrk(output: &Output) -> Result<Requests> {
    let lines: Vec<_> = output.stdout.lines().map(str::trim).collect();
    for sign in ["Socket errors:", "Non-2xx"] {
        if let Some(line) = lines.iter().find(|line| line.starts_with(sign)) {
            return Err(Error::outside(format!("wrk says: {line}")));
        }
    }
    let found = |what: &str, value: Option<f64>| {
        value.ok_or_else(|| Error::outside(format!("wrk gave no {what}")))
    };
    let latency = |percent: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(percent));
        found(percent, line.and_then(|time| milliseconds(time.trim())))
    };
    let rate = lines.iter().find_map(|line| line.strip_prefix("Requests/sec:"));
    let count = lines.iter().find_map(|line| line.split_once(" requests in "));
    let requests = Requests {
        count: found("count", count.and_then(|(count, _)| count.parse().ok()))?,
        rate: found("rate", rate.and_then(|rate| rate.trim().parse().ok()))?,
        p50_ms: latency("50%")?,
        p99_ms: latency("99%")?,
    };
    if requests.count > 0.0 { Ok(requests) } else { Err(Error::outside("wrk got no answer")) }
}

/// `286.00us`, `1.10ms` or `2.00s`.
fn milliseconds(time: &str) -> Option<f64> {
    let units_per_ms = [("us", 1000.0), ("ms", 1.0), ("s", 0.001)];
    units_per_ms.iter().find_map(|(unit, count)| {
        let value: f64 = time.strip_suffix(unit)?.parse().ok()?;
        Some(value / count)
    })
}

/// `end.sum_received` of the JSON, or its `error`.
fn parse_iperf(output: &Output) -> Result<Transfer> {
    let value: Value =
        serde_json::from_str(&output.stdout).context(|| "iperf3 gave no JSON".to_owned())?;
    if let Some(error) = value["error"].as_str() {
        return Err(Error::outside(format!("iperf3 says: {error}")));
    }
    let received = &value["end"]["sum_received"];
    match (received["bytes"].as_f64(), received["bits_per_second"].as_f64()) {
        (Some(bytes), Some(bits)) if bytes > 0.0 && output.success => {
            Ok(Transfer { bytes, gigabits_per_second: bits / 1e9 })
        }
        _ => Err(Error::outside("iperf3 received nothing")),
    }
}

/// More than any run takes; a load that hangs is a failure.
const LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &str, stderr: &str) -> Output {
        Output { success: true, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    const REDIS: &str = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
        \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
        \"GET\",\"56306.30\",\"0.466\",\"0.200\",\"0.455\",\"0.591\",\"0.735\",\"4.783\"\n";

    const WRK: &str = "Running 2s test @ http://127.0.0.1:1/\n  2 threads and 50 connections\n\
        \x20 Thread Stats   Avg      Stdev     Max   +/- Stdev\n\
        \x20   Latency   336.59us  223.31us   5.85ms   92.26%\n\
        \x20 Latency Distribution\n     50%  286.00us\n     75%  301.00us\n     99%    1.20ms\n\
        \x20 177570 requests in 2.10s, 26.42MB read\nRequests/sec:  84644.85\n";

    #[test]
    fn redis_rows_are_read_by_their_head() {
        let requests = parse_redis(&output(REDIS, ""), 1000.0).expect("a whole answer");
        let want = Requests { count: 1000.0, rate: 56306.30, p50_ms: 0.455, p99_ms: 0.735 };
        assert_eq!(requests, want);
    }

    #[test]
    fn a_word_from_redis_is_a_failure() {
        let error = parse_redis(&output(REDIS, "Error: Connection reset by peer"), 1.0);
        assert!(error.expect_err("an error").to_string().contains("reset by peer"));
        let error = parse_redis(&output(&format!("{REDIS}Error from server: x\n"), ""), 1.0);
        assert!(error.is_err());
        assert!(parse_redis(&output("", ""), 1.0).is_err());
    }

    #[test]
    fn wrk_is_read_with_its_units() {
        let requests = parse_wrk(&output(WRK, "")).expect("a whole answer");
        let want = Requests { count: 177_570.0, rate: 84644.85, p50_ms: 0.286, p99_ms: 1.2 };
        assert_eq!(requests, want);
    }

    #[test]
    fn errors_of_wrk_are_failures() {
        for line in [
            "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
            "  Non-2xx or 3xx responses: 7\n",
        ] {
            let error = parse_wrk(&output(&format!("{WRK}{line}"), "")).expect_err("an error");
            assert!(error.to_string().contains(line.trim()), "{error}");
        }
    }

    #[test]
    fn iperf_counts_what_was_received() {
        let json = r#"{"end": {"sum_received": {"bytes": 4e9, "bits_per_second": 32e9}}}"#;
        let transfer = parse_iperf(&output(json, "")).expect("a whole answer");
        assert_eq!(transfer, Transfer { bytes: 4e9, gigabits_per_second: 32.0 });
        let error = parse_iperf(&output(r#"{"error": "the server is busy"}"#, ""));
        assert!(error.expect_err("an error").to_string().contains("busy"));
    }
}
