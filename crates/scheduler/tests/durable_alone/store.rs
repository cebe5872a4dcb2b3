//! The file as a store: order, keys, fences, bounds, pages.

use std::time::Duration;

use tidemill_scheduler::core::{Priority, State};
use tidemill_scheduler::durable::{
    Claim, Claims, End, Ended, Error, Filter, JobSpec, JobStore, Renewed,
};

use crate::Place;

fn claims(count: usize, lease_ms: u64) -> Claims {
    let lease = Duration::from_millis(lease_ms);
    Claims { node: "a".into(), count, least: Priority::Low, lease }
}

async fn claim(place: &Place, count: usize, lease_ms: u64) -> Vec<Claim> {
    place.store.claim(claims(count, lease_ms)).await.expect("the store serves")
}

#[tokio::test]
async fn the_most_urgent_begins_first_and_then_the_oldest() {
    let place = Place::new();
    let mut want = Vec::new();
    for priority in Priority::ALL {
        for _ in 0..3 {
            let id = place.submit(JobSpec::handler("h", []).with_priority(priority)).await;
            want.push((std::cmp::Reverse(priority), id));
        }
    }
    want.sort();
    let least = Claims { least: Priority::Critical, ..claims(100, 30_000) };
    let mut got = place.store.claim(least).await.expect("the store serves");
    assert_eq!(got.len(), 6, "only what is urgent enough");
    got.extend(claim(&place, 100, 30_000).await);
    let got: Vec<_> = got.iter().map(|claim| claim.job.id).collect();
    assert_eq!(got, want.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    assert!(claim(&place, 1, 30_000).await.is_empty());
}

#[tokio::test]
async fn a_key_is_one_job_for_ever() {
    let place = Place::new();
    let keyed = || JobSpec::handler("h", [1]).with_key("k");
    let both = place.store.submit(vec![keyed(), keyed()]).await.expect("one job");
    assert_eq!(both[0].id, both[1].id);
    assert_eq!((both[0].is_new, both[1].is_new), (true, false));
    let lease = claim(&place, 9, 30_000).await.pop().expect("a claim").lease;
    place.store.finish(&lease, End::Completed).await.expect("held");
    assert_eq!(place.submit(keyed()).await, both[0].id);
    assert!(claim(&place, 9, 30_000).await.is_empty(), "what has ended does not run again");
    let other = JobSpec::handler("h", [2]);
    let batch = vec![other.clone(), other.with_key("k")];
    let error = place.store.submit(batch).await.expect_err("other work");
    assert!(matches!(error, Error::KeyTaken { job } if job == both[0].id), "{error}");
    assert!(claim(&place, 9, 30_000).await.is_empty(), "all of a submission, or nothing");
}

#[tokio::test]
async fn a_lease_that_is_over_fences_its_holder() {
    let place = Place::new();
    let id = place.submit(JobSpec::handler("h", [])).await;
    let late = claim(&place, 1, 1).await.pop().expect("a claim").lease;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let held = claim(&place, 1, 30_000).await.pop().expect("the lease was over").lease;
    assert_eq!((late.number, held.number), (1, 2));
    assert_eq!(place.store.renew(&late).await.expect("answered"), Renewed::Lost);
    let error = place.store.finish(&late, End::Completed).await.expect_err("fenced");
    assert!(matches!(error, Error::Fenced { number: 1, .. }), "{error}");
    assert_eq!(place.store.renew(&held).await.expect("answered"), Renewed::Held);
    for _ in 0..2 {
        // The second time as if the answer had been lost.
        let ended = place.store.finish(&held, End::Completed).await.expect("held");
        assert_eq!(ended, Ended::Final(State::Completed));
    }
    assert_eq!(place.find(id).await.progress.interruptions, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_by_name_and_serves_on() {
    let place = Place::with(|options| options.waiting_max = 3);
    let four = vec![JobSpec::handler("h", []); 4];
    let error = place.store.submit(four.clone()).await.expect_err("one too many");
    assert!(matches!(error, Error::Full { max: 3 }), "{error}");
    place.store.submit(four[..3].to_vec()).await.expect("all of them fit");
    assert!(error.is_retryable() && error.to_string().contains("3 jobs wait"), "{error}");
    assert!(place.store.submit(four[..1].to_vec()).await.is_err());
    let lease = claim(&place, 1, 30_000).await.pop().expect("a claim").lease;
    place.store.submit(four[..1].to_vec()).await.expect("there is room again");
    place.store.finish(&lease, End::GivenBack).await.expect("a job always has a way back");
}

#[tokio::test]
async fn pages_are_filtered_and_end() {
    let place = Place::new();
    for number in 0..25 {
        let priority = Priority::ALL[number % 5];
        place.submit(JobSpec::handler("h", []).with_priority(priority)).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = Filter { priority: Some(Priority::Low), limit: 2, after, ..Filter::default() };
        let page = place.store.list(filter).await.expect("a page");
        assert!(page.jobs.len() <= 2);
        seen.extend(page.jobs);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer.id > older.id), "the newest first");
    let running = Filter { state: Some(State::Running), limit: 9, ..Filter::default() };
    assert!(place.store.list(running).await.expect("a page").jobs.is_empty());
    let wrong = Filter { after: Some("x".into()), limit: 9, ..Filter::default() };
    assert!(place.store.list(wrong).await.expect_err("no cursor").is_invalid());
}

#[tokio::test]
async fn a_change_is_made_to_the_version_that_was_read() {
    let place = Place::new();
    let id = place.submit(JobSpec::handler("h", [])).await;
    let version = place.find(id).await.progress.version;
    claim(&place, 1, 30_000).await;
    let error = place.store.cancel(id, Some(version)).await.expect_err("it changed");
    assert!(matches!(error, Error::Changed { version: now } if now > version), "{error}");
    let version = place.find(id).await.progress.version;
    place.store.cancel(id, Some(version)).await.expect("nobody was in between");
}

#[tokio::test]
async fn ended_jobs_are_forgotten_beyond_count_and_age_and_no_others() {
    let place = Place::with(|options| options.keep_count = 2);
    for _ in 0..6 {
        place.submit(JobSpec::handler("h", [])).await;
    }
    for claim in claim(&place, 5, 30_000).await {
        place.store.finish(&claim.lease, End::Completed).await.expect("held");
    }
    assert_eq!(place.store.forget().await.expect("served").len(), 3);
    assert_eq!(place.store.forget().await.expect("served").len(), 0);
    let left = place.store.counts().await.expect("served");
    let left = |state| left.iter().find(|count| count.state == state).map(|count| count.jobs);
    assert_eq!((left(State::Completed), left(State::Pending)), (Some(2), Some(1)));
    let place = Place::with(|options| options.keep_age = Duration::ZERO);
    place.submit(JobSpec::handler("h", [])).await;
    let lease = claim(&place, 1, 30_000).await.pop().expect("a claim").lease;
    place.store.finish(&lease, End::Completed).await.expect("held");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(place.store.forget().await.expect("served").len(), 1);
}
