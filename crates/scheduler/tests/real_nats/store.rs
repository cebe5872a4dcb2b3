//! One server, one replica: the same rules as in a file, and servers that are not there.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::{Nats, free_address};
use tidemill_scheduler::core::{Priority, State};
use tidemill_scheduler::durable::nats::{NatsOptions, NatsStore};
use tidemill_scheduler::durable::{
    Cancelled, Claim, Claims, End, Ended, Error, Filter, JobSpec, JobStore, Renewed,
};

use crate::{SOON, connect, options};

async fn claim(store: &NatsStore, count: usize) -> Vec<Claim> {
    let lease = Duration::from_secs(3);
    let claims = Claims { node: "a".into(), count, least: Priority::Low, lease };
    store.claim(claims).await.expect("the server answers")
}

/// Claims until there is something.
async fn claim_one(store: &NatsStore) -> Claim {
    let looks = SOON.as_millis() / 50;
    for _ in 0..looks {
        if let Some(claim) = claim(store, 1).await.pop() {
            return claim;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing came to be claimed");
}

#[tokio::test]
async fn one_server_keeps_the_rules() {
    let Some(nats) = Nats::start(1) else { return };
    let store = connect(options(nats.urls(), 1)).await;
    // The most urgent first.
    let specs = Priority::ALL.map(|p| JobSpec::handler("h", [1]).with_priority(p)).to_vec();
    let ids = store.submit(specs).await.expect("taken");
    let claims = claim(&store, 9).await;
    let order: Vec<_> = claims[1..].iter().map(|claim| claim.job.spec.priority).collect();
    assert!(order.is_sorted_by(|a, b| a > b), "{order:?}, after one whose turn it was");
    assert_eq!(claims.len(), 5);
    // Ends are recorded once, and again when the answer was lost.
    for claim in &claims {
        let ended = store.finish(&claim.lease, End::Completed).await.expect("held");
        assert_eq!(ended, Ended::Final(State::Completed));
        let again = store.finish(&claim.lease, End::Completed).await.expect_err("given back");
        assert!(matches!(again, Error::Fenced { .. }), "{again}");
    }
    for submitted in ids {
        let job = store.find(submitted.id).await.expect("answered").expect("known");
        assert_eq!((job.progress.state, job.progress.attempts), (State::Completed, 1));
    }
    // A key is one job, also after its end.
    let keyed = || JobSpec::handler("h", []).with_key("k");
    let first = store.submit(vec![keyed()]).await.expect("taken")[0];
    let second = store.submit(vec![keyed()]).await.expect("known")[0];
    assert_eq!((first.id, first.is_new, second.is_new), (second.id, true, false));
    let claim = claim_one(&store).await;
    store.finish(&claim.lease, End::Completed).await.expect("held");
    assert!(!store.submit(vec![keyed()]).await.expect("known")[0].is_new);
    let other = JobSpec::handler("other", []).with_key("k");
    assert!(matches!(store.submit(vec![other]).await, Err(Error::KeyTaken { .. })));
    // A failure is retried after its pause.
    let retried = JobSpec::handler("h", []).with_retries(1);
    let id = store.submit(vec![retried]).await.expect("taken")[0].id;
    let failed = End::Failed { reason: "no".into(), may_retry: true };
    let claim = claim_one(&store).await;
    let ended = store.finish(&claim.lease, failed.clone()).await.expect("held");
    assert!(matches!(ended, Ended::Again(_)), "{ended:?}");
    let claim = claim_one(&store).await;
    assert_eq!((claim.job.id, claim.lease.number), (id, 2));
    let ended = store.finish(&claim.lease, failed).await.expect("held");
    assert_eq!(ended, Ended::Final(State::Failed));
}

#[tokio::test]
async fn a_node_that_comes_back_late_is_fenced() {
    let Some(nats) = Nats::start(1) else { return };
    let (late, other) =
        (connect(options(nats.urls(), 1)).await, connect(options(nats.urls(), 1)).await);
    let id = late.submit(vec![JobSpec::handler("h", [])]).await.expect("taken")[0].id;
    let first = claim_one(&late).await.lease;
    // No sign of life for an ack-wait: the server hands it on.
    let second = claim_one(&other).await.lease;
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(late.renew(&first).await.expect("answered"), Renewed::Lost);
    let error = late.finish(&first, End::Completed).await.expect_err("fenced");
    assert!(matches!(error, Error::Fenced { number: 1, .. }), "{error}");
    // What the late one did has not taken the message away.
    assert_eq!(other.renew(&second).await.expect("answered"), Renewed::Held);
    assert_eq!(other.cancel(id, None).await.expect("known"), Cancelled::Asked);
    assert_eq!(other.renew(&second).await.expect("answered"), Renewed::Cancelling);
    other.finish(&second, End::Cancelled).await.expect("held");
    let job = late.find(id).await.expect("answered").expect("known");
    assert_eq!(job.progress.state, State::Cancelled);
    assert_eq!(late.cancel(id, None).await.expect("known"), Cancelled::Late(State::Cancelled));
}

#[tokio::test]
async fn lists_and_bounds_hold() {
    let Some(nats) = Nats::start(1) else { return };
    let store = connect(NatsOptions { waiting_max: 20, ..options(nats.urls(), 1) }).await;
    let specs = vec![JobSpec::handler("h", []); 20];
    let all: BTreeSet<_> =
        store.submit(specs).await.expect("taken").iter().map(|submitted| submitted.id).collect();
    let error = store.submit(vec![JobSpec::handler("h", [])]).await.expect_err("full");
    assert!(matches!(error, Error::Full { max: 20 }), "{error}");
    for claim in claim(&store, 5).await {
        store.finish(&claim.lease, End::Completed).await.expect("held");
    }
    claim(&store, 5).await;
    let waiting = *all.last().expect("some");
    assert_eq!(store.cancel(waiting, None).await.expect("known"), Cancelled::Done);
    let (mut seen, mut states, mut after) = (BTreeSet::new(), Vec::new(), None);
    loop {
        let page =
            store.list(Filter { limit: 3, after, ..Filter::default() }).await.expect("a page");
        states.extend(page.jobs.iter().map(|job| job.progress.state));
        seen.extend(page.jobs.iter().map(|job| job.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, states.len()), (all, 20));
    let count = |state| states.iter().filter(|found| **found == state).count();
    assert_eq!([count(State::Completed), count(State::Running), count(State::Pending)], [5, 5, 9]);
    let counts = store.counts().await.expect("counted");
    let waiting: u64 = counts.iter().filter(|c| c.state == State::Pending).map(|c| c.jobs).sum();
    assert_eq!(waiting, 9);
}

#[tokio::test]
async fn servers_that_are_gone_or_refuse_are_named() {
    let nobody = NatsOptions::new([format!("nats://{}", free_address())]);
    let error = NatsStore::connect(nobody).await.expect_err("nobody there");
    assert!(error.is_retryable() && error.to_string().contains("no NATS server"), "{error}");
    let Some(mut nats) = Nats::start(1) else { return };
    // One server cannot keep three replicas.
    let error = NatsStore::connect(options(nats.urls(), 3)).await.expect_err("refused");
    assert!(error.to_string().contains("cluster.replicas = 3"), "{error}");
    let store = connect(options(nats.urls(), 1)).await;
    let id = store.submit(vec![JobSpec::handler("h", [])]).await.expect("taken")[0].id;
    nats.stop(0);
    let error = store.submit(vec![JobSpec::handler("h", [])]).await.expect_err("it is gone");
    assert!(error.is_retryable(), "{error}");
    nats.restart(0);
    assert_eq!(claim_one(&store).await.job.id, id, "what was acknowledged is there");
}
