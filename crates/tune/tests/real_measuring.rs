//! A real project, copied, built, run and counted.

use std::fs;
use std::path::Path;

use tidemill_tune::judge::{Rule, Verdict};
use tidemill_tune::measure::{self, Prepared, allocations, callgrind};
use tidemill_tune::progress::{Observer, Stop};
use tidemill_tune::project::{Copy, Profile, Project, TestOutcome};
use tidemill_tune::workload::{Target, Workload};

const MAIN: &str = r#"
use std::collections::HashMap;

fn main() {
    let mut counts = HashMap::new();
    for i in 0..20_000_u64 {
        *counts.entry(name(i % 100)).or_insert(0_u64) += i;
    }
    let mut total = 0;
    for (key, value) in &counts {
        total += key.len() as u64 * value;
    }
    eprintln!("tune operations 20000");
    println!("{total}");
}

fn name(i: u64) -> String {
    format!("{}-{}", i, i)
}

#[test]
fn names_are_pairs() {
    assert_eq!(name(1), "1-1");
}
"#;

fn project(folder: &Path) -> Project {
    fs::create_dir_all(folder.join("src")).expect("a project in scratch space");
    fs::write(folder.join("Cargo.toml"), "[package]\nname = \"app\"\nedition = \"2021\"\n")
        .expect("a project in scratch space");
    fs::write(folder.join("src/main.rs"), MAIN).expect("a project in scratch space");
    Project::open(folder).expect("a project in scratch space")
}

#[test]
fn a_slower_version_is_seen_and_an_equal_one_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let project = project(&scratch.path().join("app"));
    let stop = Stop::default();
    let observer = Observer::new(&|_| (), &stop);
    let target = Target::Bin("app".to_owned());
    let package = project.package_of(&target).unwrap();
    let mut copy = Copy::new(&project, &scratch.path().join("session"), &stop).unwrap();

    let before = copy.build(package, &target, &Profile::default(), "before", &stop).unwrap();
    assert_eq!(copy.test(&stop).unwrap(), TestOutcome::Passed);
    let slower = MAIN.replace("20_000_u64", "60_000_u64");
    copy.write(Path::new("src/main.rs"), slower.as_bytes()).unwrap();
    let after = copy.build(package, &target, &Profile::default(), "after", &stop).unwrap();
    copy.reset().unwrap();
    assert_eq!(fs::read_to_string(copy.root().join("src/main.rs")).unwrap(), MAIN);

    let workload = Workload::new(target);
    let prepare = |program: &Path, name: &str| {
        Prepared::new(&workload, program, copy.root(), &scratch.path().join(name))
    };
    let (before, after) = (prepare(&before.program, "a"), prepare(&after.program, "b"));
    let rule = Rule::default();
    let faster = measure::compare("", &after, &before, &rule, 1, observer).unwrap();
    assert_eq!(faster.verdict, Verdict::Keep, "{faster:?}");
    let (control, _) = measure::control(&before, &rule, 20, 1, observer).unwrap();
    assert_ne!(control.verdict, Verdict::Keep, "{control:?}");
    assert_eq!(before.printed().unwrap().operations, Some(20_000));
    assert!(!before.output_equals(&after.output()).unwrap());

    let folder = scratch.path();
    let counts: Vec<u64> =
        (0..2).map(|_| callgrind::instructions(&before, folder, &stop).unwrap()).collect();
    assert_eq!(counts[0], counts[1], "hash seeds are pinned");
    let lines = callgrind::lines(&before, copy.root(), folder, &stop).unwrap();
    let charged: u64 = lines.costs.values().sum();
    assert!(charged * 2 > lines.total && charged < lines.total * 2, "{lines:?}");
    let (place, _) = lines.costs.iter().max_by_key(|(_, cost)| **cost).unwrap();
    assert!([7, 17, 18].contains(&place.1), "the entry or the name it is for: {lines:?}");

    let allocations = allocations::count(&before, copy.root(), folder, &stop).unwrap();
    let site = &allocations.sites[0];
    assert!(site.function.contains("name"), "{site:?}");
    assert!((20_000..=40_100).contains(&site.blocks), "{site:?}");
}
