//! Measures a workspace: fills one and prints figures as JSON, one object.
//!
//! `figures FOLDER TASKS SECONDS` makes or reuses a workspace of so many tasks and measures for
//! about so long each: writes one at a time, from storing to finding, searches of five kinds,
//! pages, and opening. Run by `cargo xtask compare workstream`; its texts are the same on every
//! run.
//!
//! With 0 seconds it only opens the workspace and tells what memory an idle process holds.
#![expect(clippy::print_stdout, reason = "a program whose output is its figures")]
#![expect(clippy::disallowed_methods, reason = "measures by the machine's clock")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidemill_workstream::model::{
    NewTask, PageRequest, Priority, SearchQuery, SortKey, Status, TaskFilter, TaskPatch, TaskSort,
};
use tidemill_workstream::{Options, Workstream};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: figures FOLDER TASKS SECONDS");
    let (folder, tasks, seconds) = (next()?, next()?.parse()?, next()?.parse()?);
    let folder = Path::new(&folder);
    let time = Duration::from_secs_f64(seconds);
    let mut figures = Map::new();
    fill(folder, tasks, &mut figures).await?;
    if time.is_zero() {
        figures.insert("idle_resident_mib".to_owned(), json!(idle_mib(folder).await?));
        println!("{}", Value::Object(figures));
        return Ok(());
    }

    let begun = Instant::now();
    let workspace = Workstream::open(folder, Options::default()).await?;
    let page = PageRequest::default();
    let first = workspace.list(TaskFilter::default(), TaskSort::default(), page).await?;
    figures.insert("open_and_first_page_ms".to_owned(), json!(ms(begun.elapsed())));
    let ids: Vec<_> = first.items.iter().map(|task| task.id).collect();
    workspace.indexed().await?;

    for (name, text) in SEARCHES {
        let mut query = SearchQuery::new(*text);
        query.is_last_word_open = *name == "search_prefix";
        let (mut times, mut hits) = (Vec::new(), 0);
        let end = Instant::now() + time;
        while Instant::now() < end {
            let begun = Instant::now();
            hits = workspace.search(query.clone()).await?.len();
            times.push(begun.elapsed());
        }
        insert(&mut figures, name, times);
        figures.insert(format!("{name}_hits"), json!(hits));
    }
    pages(&workspace, time, &mut figures).await?;
    writes(&workspace, &ids, time, &mut figures).await?;
    finding(&workspace, time, &mut figures).await?;
    let begun = Instant::now();
    workspace.close().await?;
    figures.insert("close_ms".to_owned(), json!(ms(begun.elapsed())));

    println!("{}", Value::Object(figures));
    Ok(())
}

/// Opens a workspace, reads a page, and returns what the process holds once the indexer, after five
/// seconds without a change, has given its memory back.
async fn idle_mib(folder: &Path) -> Result<f64> {
    let workspace = Workstream::open(folder, Options::default()).await?;
    let page = PageRequest::default();
    workspace.list(TaskFilter::default(), TaskSort::default(), page).await?;
    tokio::time::sleep(Duration::from_secs(7)).await;
    let resident = resident_mib()?;
    workspace.close().await?;
    Ok(resident)
}

/// Makes what is missing of the tasks.
async fn fill(folder: &Path, tasks: u64, figures: &mut Map<String, Value>) -> Result<()> {
    let workspace = Workstream::open(folder, Options::default()).await?;
    let have: u64 = workspace.stats().await?.tasks.iter().sum();
    let begun = Instant::now();
    let mut number = have;
    while number < tasks {
        let end = tasks.min(number + 1_000);
        workspace.create_all("figures", (number..end).map(task).collect()).await?;
        number = end;
    }
    figures.insert("fill_s".to_owned(), json!(begun.elapsed().as_secs_f64()));
    workspace.indexed().await?;
    figures.insert("fill_and_index_s".to_owned(), json!(begun.elapsed().as_secs_f64()));
    workspace.close().await?;
    Ok(())
}

/// The `number`-th task: 40 words from a vocabulary of 2,000, one word that all share (`common`),
/// one that every thousandth has (`rare`), all beginning with a consonant and a vowel.
fn task(number: u64) -> NewTask {
    let mut seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        // xorshift64*, Marsaglia and Vigna.
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        let pick = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        let pick = usize::try_from(pick % 2_000).expect("below 2,000");
        let [a, b, c] = [pick / 400, pick / 20 % 20, pick % 20];
        let syllable =
            |n: usize| format!("{}{}", &"bdfglmnprstvkzhjwcxq"[n..=n], ["a", "e"][n % 2]);
        format!("{}{}{}", syllable(a), syllable(b), syllable(c))
    };
    let title = format!("{} {} {}", word(), word(), word());
    let mut body: Vec<String> = (0..40).map(|_| word()).collect();
    body.insert(20, "common".to_owned());
    if number % 1_000 == 7 {
        body.insert(5, "rare".to_owned());
    }
    let pick = |length: usize, by: u64| usize::try_from(number / by).expect("64 bits") % length;
    NewTask {
        title,
        body: body.join(" "),
        status: Status::ALL[pick(5, 1)],
        priority: Priority::ALL[pick(5, 3)],
        labels: vec![format!("label-{}", pick(20, 1))],
        ..NewTask::default()
    }
}

async fn pages(
    workspace: &Workstream,
    time: Duration,
    figures: &mut Map<String, Value>,
) -> Result<()> {
    let filter = TaskFilter { status: vec![Status::Todo], ..TaskFilter::default() };
    let sort = TaskSort { key: SortKey::Priority, is_descending: true };
    let mut times = Vec::new();
    let mut page = PageRequest::default();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let begun = Instant::now();
        let answer = workspace.list(filter.clone(), sort, page.clone()).await?;
        times.push(begun.elapsed());
        page.after = answer.next;
    }
    insert(figures, "page", times);
    Ok(())
}

async fn writes(
    workspace: &Workstream,
    ids: &[tidemill_workstream::model::TaskId],
    time: Duration,
    figures: &mut Map<String, Value>,
) -> Result<()> {
    let mut times = Vec::new();
    let end = Instant::now() + time * 3;
    let mut number: u64 = 0;
    while Instant::now() < end {
        let begun = Instant::now();
        if number.is_multiple_of(4) {
            workspace.create("figures", task(1_000_000 + number)).await?;
        } else {
            let priority = Priority::ALL[usize::try_from(number % 5)?];
            let patch = TaskPatch {
                title: Some(format!("changed {number}")),
                priority: Some(priority),
                ..TaskPatch::default()
            };
            let id = ids[usize::try_from(number)? % ids.len()];
            workspace.patch("figures", id, patch, None).await?;
        }
        times.push(begun.elapsed());
        number += 1;
    }
    insert(figures, "write", times);
    Ok(())
}

/// From storing a word to finding it.
async fn finding(
    workspace: &Workstream,
    time: Duration,
    figures: &mut Map<String, Value>,
) -> Result<()> {
    let mut times = Vec::new();
    let end = Instant::now() + time * 3;
    let mut number: u64 = 0;
    while Instant::now() < end {
        number += 1;
        let unique = format!("unique{}x{number}", std::process::id());
        let begun = Instant::now();
        let new = NewTask { title: unique.clone(), ..NewTask::default() };
        workspace.create("figures", new).await?;
        while workspace.search(SearchQuery::new(unique.as_str())).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed());
        // Saves of a person are not back to back.
        tokio::time::sleep(Duration::from_millis(number % 50)).await;
    }
    insert(figures, "stored_to_found", times);
    Ok(())
}

fn insert(figures: &mut Map<String, Value>, name: &str, mut times: Vec<Duration>) {
    times.sort();
    for (quantile, of) in [("p50", 50), ("p99", 99)] {
        let place = (times.len() * of / 100).min(times.len() - 1);
        figures.insert(format!("{name}_{quantile}_ms"), json!(ms(times[place])));
    }
    figures.insert(format!("{name}_count"), json!(times.len()));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

const SEARCHES: &[(&str, &str)] = &[
    ("search_rare", "rare"),
    ("search_common", "common"),
    ("search_and", "common bababa"),
    ("search_and_common", "common label OR common rare"),
    ("search_prefix", "bab"),
];
