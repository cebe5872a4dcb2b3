//! Plans: what each word comes to, mistakes with their places, one batch.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_workstream::model::{PageRequest, Priority, Status, TaskPatch};
use tidemill_workstream::plan::{Plan, READY, Step};
use tidemill_workstream::{ClaimRequest, Options, Workstream};

fn text(topology: &str, strategy: &str, workers_max: usize, tasks: &[(usize, &[usize])]) -> String {
    let mut text = format!(
        "[plan]\nname = \"p\"\ntitle = \"P\"\ntopology = \"{topology}\"\ncoordinator = \"lead\"\n\
         strategy = \"{strategy}\"\nworkers_max = {workers_max}\n\
         [[role]]\nname = \"lead\"\ndoes = \"leads\"\n[[role]]\nname = \"work\"\ndoes = \"works\"\n"
    );
    for (name, after) in tasks {
        let after: Vec<_> = after.iter().map(|name| format!("\"t{name}\"")).collect();
        text.push_str(&format!(
            "[[task]]\nname = \"t{name}\"\ntitle = \"T{name}\"\nrole = \"work\"\ndepends_on = [{}]\n",
            after.join(", ")
        ));
    }
    text
}

/// Writes `name<after,after` for each step.
#[track_caller]
fn check(topology: &str, strategy: &str, workers_max: usize, want: &str) {
    let tasks: [(usize, &[usize]); 4] = [(1, &[]), (2, &[1]), (3, &[1]), (4, &[])];
    let plan = Plan::read(&text(topology, strategy, workers_max, &tasks), &BTreeMap::new());
    let steps = plan.expect("a good plan").steps();
    let shown = steps.iter().map(|step| {
        let after: Vec<_> = step.after.iter().map(|at| steps[*at].task.name.as_str()).collect();
        format!("{}<{}", step.task.name, after.join(","))
    });
    assert_eq!(shown.collect::<Vec<_>>().join(" "), want);
}

#[test]
fn topologies_and_strategies_become_dependencies() {
    check("mesh", "balanced", 9, "root<t2,t3,t4 t1< t2<t1 t3<t1 t4<");
    check(
        "hierarchical",
        "balanced",
        9,
        "root<t2,t3,t4 hand-out< t1<hand-out t2<t1 t3<t1 t4<hand-out",
    );
    check("ring", "balanced", 9, "root<t4 t1< t2<t1 t3<t1,t2 t4<t3");
    check("mesh", "sequential", 9, "root<t4 t1< t2<t1 t3<t1,t2 t4<t3");
    check(
        "star",
        "balanced",
        9,
        "root<t2,t3,t4 hand-out< t1<hand-out hand-over-t1<t1 t2<hand-over-t1 t3<hand-over-t1 t4<hand-out",
    );
}

#[test]
fn mistakes_have_line_and_column() {
    let good = text("mesh", "balanced", 2, &[(1, &[])]);
    for (from, to, want) in [
        ("name = \"p\"", "nam = \"p\"", "2:1: [plan] has no key `nam`"),
        ("\"mesh\"", "\"tree\"", "4:12: topology is one of hierarchical, mesh, ring, star"),
        ("workers_max = 2", "workers_max = 0", "7:15: workers_max is a number from 1 to 256"),
        ("\"T1\"", "\"T ${x}\"", "16:12: there is no variable `x` in [variables]"),
        ("role = \"work\"", "role = \"nobody\"", "17:8: `nobody` is no [[role]] of this plan"),
        (
            "depends_on = []",
            "depends_on = [\"t9\"]",
            "14:1: `t1` names `t9`, which is no task here",
        ),
        ("depends_on = []", "depends_on = [\"t1\"]", "14:1: `t1` waits for itself"),
        ("[plan]", "[plan", "1:6: "),
    ] {
        assert!(good.contains(from), "{from}");
        let errors = Plan::read(&good.replace(from, to), &BTreeMap::new()).expect_err(to);
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|error| error.starts_with(want)), "{want}: {shown:?}");
    }
    let set = BTreeMap::from([("y".to_owned(), "1".to_owned())]);
    let errors = Plan::read(&good, &set).expect_err("no such variable");
    assert!(errors[0].what.contains("has no variable `y`"), "{errors:?}");
}

#[test]
fn ready_plans_are_good_and_cover_every_role() {
    for ready in READY {
        let error = Plan::read(ready.text, &BTreeMap::new()).expect_err("a variable is missing");
        assert!(error[0].what.contains("--set"), "{error:?}");
        let name = ["service", "pool", "component"].into_iter();
        let mut plan = name.filter_map(|name| {
            Plan::read(ready.text, &BTreeMap::from([(name.to_owned(), "echo".to_owned())])).ok()
        });
        let plan = plan.next().unwrap_or_else(|| panic!("{} can be read", ready.name));
        assert_eq!(plan.name, ready.name);
        let roles =
            ["architecture", "performance", "network", "memory", "kernel", "safety", "security"];
        for role in roles {
            assert!(plan.tasks.iter().any(|task| task.role == role), "{}: {role}", ready.name);
        }
        assert!(plan.tasks.iter().all(|task| !task.title.contains("${")));
    }
}

#[tokio::test]
async fn a_plan_is_worked_off_by_claims_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace =
        Workstream::open(folder.path(), Options { is_index_idle: true, ..Options::default() });
    let workspace = workspace.await.expect("opens");
    let set = BTreeMap::from([("service".to_owned(), "echo".to_owned())]);
    let plan = Plan::read(READY[2].text, &set).expect("good");
    let made = workspace.apply_plan("anna", &plan).await.expect("made");
    assert_eq!(made.len(), plan.steps().len());
    assert!(made[1..].iter().all(|task| task.parent == Some(made[0].id)));
    assert!(made.iter().any(|task| task.title == "Build echo"));
    assert!(made.iter().all(|task| task.labels.contains(&"plan:tcp-service".to_owned())));
    assert!(made.iter().any(|task| task.priority == Priority::High));
    let mut order = Vec::new();
    loop {
        let request = ClaimRequest {
            holder: "worker".to_owned(),
            role: None,
            lease: std::time::Duration::from_secs(60),
        };
        let Some(task) = workspace.claim(request).await.expect("an answer") else { break };
        let done = TaskPatch { status: Some(Status::Done), ..TaskPatch::default() };
        workspace.patch("worker", task.id, done, None).await.expect("done");
        order.push(task.title);
    }
    assert_eq!(order.len(), made.len());
    assert_eq!(order.first().map(String::as_str), Some("Hand out: Build echo"));
    assert_eq!(order.last().map(String::as_str), Some("Build echo"));
    let left = workspace.list(Default::default(), Default::default(), PageRequest::default()).await;
    assert!(left.expect("a list").items.iter().all(|task| task.status == Status::Done));
    workspace.close().await.expect("closes");
}

/// Works the steps off in rounds of everything that is ready; returns the widest round.
fn widest(steps: &[Step]) -> usize {
    let mut done = vec![false; steps.len()];
    let mut widest = 0;
    while done.iter().any(|done| !done) {
        let ready: Vec<_> = (0..steps.len())
            .filter(|at| !done[*at] && steps[*at].after.iter().all(|before| done[*before]))
            .collect();
        assert!(!ready.is_empty(), "a circle");
        widest = widest.max(ready.len());
        ready.into_iter().for_each(|at| done[at] = true);
    }
    widest
}

proptest! {
    #[test]
    fn no_plan_has_more_ready_than_its_workers(
        edges in proptest::collection::vec((0..12_usize, 0..12_usize), 0..20),
        topology in prop_oneof!["hierarchical", "mesh", "ring", "star"],
        strategy in prop_oneof!["balanced", "critical-path", "sequential"],
        workers_max in 1..6_usize,
    ) {
        let after: Vec<Vec<usize>> = (0..12)
            .map(|name| {
                let its = edges.iter().filter(|(a, b)| *a == name && b < a);
                its.map(|(_, b)| *b).collect()
            })
            .collect();
        let tasks = after.iter().enumerate().map(|(name, after)| (name, &after[..]));
        let tasks: Vec<_> = tasks.collect();
        let plan = Plan::read(&text(&topology, &strategy, workers_max, &tasks), &BTreeMap::new());
        let steps = plan.expect("a good plan").steps();
        let is_chain = topology == "ring" || strategy == "sequential";
        let bound = if is_chain { 1 } else { workers_max };
        prop_assert!(widest(&steps) <= bound);
        for (name, after) in &tasks {
            let step = |name: usize| {
                let name = format!("t{name}");
                steps.iter().position(|step| step.task.name == name).expect("there")
            };
            for before in *after {
                let mut reached = vec![step(*name)];
                while let Some(at) = reached.iter().position(|at| *at != step(*before)) {
                    let at = reached.swap_remove(at);
                    let new = steps[at].after.iter().filter(|next| **next >= step(*before));
                    reached.extend(new);
                    reached.sort_unstable();
                    reached.dedup();
                }
                prop_assert!(!reached.is_empty(), "t{} comes before t{}", before, name);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(
        text in "(\\[plan\\]|\\[\\[task\\]\\]|name|=|\"\\$\\{x\"|\"a\"|\n|3| ){0,40}",
    ) {
        drop(Plan::read(&text, &BTreeMap::new()));
    }
}
