//! The node is killed again and again while clients write and files are saved: what the API
//! acknowledged and what was saved is there at the next start, in the store and in the index.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use testkit::http::try_request;
use testkit::{Tidemill, wait_until};

const SOON: Duration = Duration::from_secs(60);

const KILLS: usize = 200;

const WRITERS: usize = 3;

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut tidemill =
        Tidemill::new(env!("CARGO_BIN_EXE_tidemill")).config("[node]\nlisten = \"127.0.0.1:0\"\n");
    let saved = Arc::new(Mutex::new(Vec::new()));
    let workspace = tidemill.folder().join(".workspace");
    for round in 0..KILLS {
        let node = tidemill.start();
        let (address, bearer) = (node.address(), node.bearer());
        let is_over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let lead = format!("round{round}writer{writer}number");
                write(address, bearer.clone(), lead, &acknowledged, &is_over)
            })
            .chain([save_files(workspace.join("tasks"), round, &saved, &is_over)])
            .collect();
        // At another point of what a node does each time: starting up, batching, indexing.
        let before = acknowledged.lock().expect("no writer panics").len();
        wait_until("writes", SOON, || {
            acknowledged.lock().expect("no writer panics").len() > before + round % 7
        });
        tidemill = node.into_stopped();
        is_over.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
    }

    let node = tidemill.start();
    let acknowledged = acknowledged.lock().expect("no writer panics").clone();
    wait_until("a look at every file", SOON, || {
        !node.ask("GET", "/api/v1/files", "").body.contains("\"scans\":0")
    });
    let mut stored = Vec::new();
    let mut after = String::new();
    loop {
        let page = node.ask("GET", &format!("/api/v1/tasks?limit=500{after}"), "");
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        let items = page["items"].as_array().expect("a list");
        stored.extend(items.iter().filter_map(|task| task["title"].as_str().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let titles: HashSet<_> = stored.iter().collect();
    assert_eq!(titles.len(), stored.len(), "no task is there twice");
    let lost: Vec<_> = acknowledged.iter().filter(|title| !titles.contains(title)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    for title in saved.lock().expect("no saver panics").iter() {
        assert!(titles.contains(title), "{title} was saved as a file");
    }
    for title in acknowledged.iter().rev().step_by(acknowledged.len().div_ceil(20)) {
        wait_until(format!("{title} in the index"), SOON, || {
            let found = node.ask("GET", &format!("/api/v1/search?q={title}"), "");
            found.body.contains(title.as_str())
        });
    }
}

/// Makes tasks until the end, and notes those that were acknowledged.
fn write(
    address: SocketAddr,
    bearer: String,
    lead: String,
    acknowledged: &Arc<Mutex<Vec<String>>>,
    is_over: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (acknowledged, is_over) = (Arc::clone(acknowledged), Arc::clone(is_over));
    thread::spawn(move || {
        for number in 0.. {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let title = format!("{lead}{number}");
            let body = format!("{{\"title\": \"{title}\"}}");
            let headers =
                [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
            let answer = try_request(address, "POST", "/api/v1/tasks", &headers, &body);
            if answer.is_ok_and(|answer| answer.status == 201) {
                acknowledged.lock().expect("no writer panics").push(title);
            }
        }
    })
}

/// Saves files as editors do, whether or not a node is there.
fn save_files(
    folder: PathBuf,
    round: usize,
    saved: &Arc<Mutex<Vec<String>>>,
    is_over: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (saved, is_over) = (Arc::clone(saved), Arc::clone(is_over));
    thread::spawn(move || {
        for number in 0.. {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let title = format!("round{round}file{number}");
            let draft = folder.join(".draft");
            std::fs::write(&draft, format!("# {title}\n")).expect("written");
            std::fs::rename(&draft, folder.join(format!("{title}.md"))).expect("renamed");
            saved.lock().expect("no saver panics").push(title);
            thread::park_timeout(Duration::from_millis(50));
        }
    })
}

/// A stop while clients write answers or refuses each of them, and loses nothing.
#[test]
fn a_stop_under_writes_answers_or_refuses() {
    let tidemill =
        Tidemill::new(env!("CARGO_BIN_EXE_tidemill")).config("[node]\nlisten = \"127.0.0.1:0\"\n");
    let node = tidemill.start();
    let (address, bearer) = (node.address(), node.bearer());
    let is_over = Arc::new(AtomicBool::new(false));
    let (send, stop) = (Arc::clone(&is_over), Arc::clone(&is_over));
    let writer = thread::spawn(move || {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let mut acknowledged = Vec::new();
        while !send.load(Ordering::Relaxed) {
            let title = format!("number{}", acknowledged.len());
            let body = format!("{{\"title\": \"{title}\"}}");
            match try_request(address, "POST", "/api/v1/tasks", &headers, &body) {
                Ok(answer) if answer.status == 201 => acknowledged.push(title),
                // Refused by name, or not let in any more.
                Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
                Err(_) => break,
            }
        }
        acknowledged
    });
    wait_until("some writes", SOON, || {
        node.ask("GET", "/api/v1/tasks", "").body.contains("number5")
    });
    let status = node.terminate(SOON);
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.join().expect("each answer is good or a refusal");
    assert!(status.success(), "{status}");
    let node = node.into_stopped().start();
    let page = node.ask("GET", "/api/v1/tasks?limit=500", "");
    for title in acknowledged.iter().take(400) {
        assert!(page.body.contains(&format!("\"{title}\"")), "{title} is lost");
    }
}
