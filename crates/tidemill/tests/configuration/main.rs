//! The configuration: every key changes something, every mistake has its place and its remedy, and
//! what is rendered from the table of keys is what stands in the documentation.

mod keys;
mod messages;
mod rendered;

use std::io;
use std::net::SocketAddr;

use tidemill::config::{Config, Machine, Problem, read};

/// Returns a machine whose files suffice and which knows three names.
fn machine() -> Machine<'static> {
    fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let ips: &[[u8; 4]] = match host {
            "one.test" => &[[10, 0, 0, 1]],
            "two.test" => &[[10, 0, 0, 2], [10, 0, 0, 1]],
            "none.test" => &[],
            _ => return Err(io::Error::other("no such name")),
        };
        Ok(ips.iter().map(|ip| SocketAddr::from((*ip, port))).collect())
    }
    Machine { resolve: &resolve, files_max: Some(1_000_000) }
}

/// Reads a file that has to be good.
#[track_caller]
fn good(text: &str) -> Config {
    match read("test.toml", text, &machine()) {
        Ok(config) => config,
        Err(problems) => panic!("{}\nin:\n{text}", lines(&problems)),
    }
}

/// Returns the messages about a file that has to be bad.
#[track_caller]
fn bad(text: &str) -> String {
    match read("test.toml", text, &machine()) {
        Ok(config) => panic!("good: {config:?}\nin:\n{text}"),
        Err(problems) => lines(&problems),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
