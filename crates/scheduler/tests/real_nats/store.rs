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

#[tokio::test]
async fn the_lease_is_one_for_the_cluster() {
    let Some(nats) = Nats::start(1) else { return };
    let client = NatsOptions { is_runner: false, ..options(nats.urls(), 1) };
    // Whoever only submits makes nothing.
    let error = NatsStore::connect(client.clone()).await.expect_err("there are no streams");
    assert!(error.to_string().contains("start one"), "{error}");
    let node = connect(options(nats.urls(), 1)).await;
    let lease = Duration::from_secs(60);
    let error = NatsStore::connect(NatsOptions { lease, ..options(nats.urls(), 1) }).await;
    assert!(matches!(error, Err(Error::OtherLease { theirs, .. }) if theirs != lease), "{error:?}");
    let client = connect(NatsOptions { lease, ..client }).await;
    let id = client.submit(vec![JobSpec::handler("h", [])]).await.expect("taken")[0].id;
    let claim = claim_one(&node).await;
    assert_eq!(claim.job.id, id);
    // The ack-wait is still the node's: the job comes again soon.
    assert_eq!(claim_one(&node).await.lease.number, 2);
}

#[tokio::test]
async fn what_ended_is_forgotten_and_nothing_else() {
    let Some(nats) = Nats::start(1) else { return };
    let lease = Duration::from_secs(1);
    let keep_age = Duration::ZERO;
    let store = connect(NatsOptions { lease, keep_age, ..options(nats.urls(), 1) }).await;
    let failing = JobSpec::handler("h", []).with_retries(1_000);
    store.submit(vec![failing]).await.expect("taken");
    let open = claim_one(&store).await.lease;
    let failed = End::Failed { reason: "no".into(), may_retry: true };
    assert!(matches!(store.finish(&open, failed).await, Ok(Ended::Again(_))));
    let id = store.submit(vec![JobSpec::handler("h", []).with_priority(Priority::High)]).await;
    let id = id.expect("taken")[0].id;
    let mut claimed = claim_one(&store).await;
    while claimed.job.id != id {
        store.finish(&claimed.lease, End::GivenBack).await.expect("held");
        claimed = claim_one(&store).await;
    }
    store.finish(&claimed.lease, End::Completed).await.expect("held");
    assert_eq!(store.forget().await.expect("answered"), []);
    tokio::time::sleep(lease * 4 + Duration::from_millis(200)).await;
    assert_eq!(store.forget().await.expect("answered"), [id]);
    assert_eq!(store.find(id).await.expect("answered"), None);
    let left = store.find(open.job).await.expect("answered").expect("it has not ended");
    assert!(left.progress.attempts >= 1, "{left:?}");
}
