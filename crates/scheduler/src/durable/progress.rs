//! The rules of a job's life: what each event makes of its progress. No effects, no clock.
//!
//! ```text
//!            claim: attempts + 1, which is the lease's number
//! Pending ----------------------> Running --end--> Completed | Failed | TimedOut | Cancelled
//!    ^  \--cancel--> Cancelled      |  |
//!    +---- retry, given back -------+  +-- claim after the lease's end: the next number
//! ```
//!
//! Every store applies these functions and nothing else to a job, so that all of them agree.
//! Only the newest lease may renew, give back or end; anybody else is fenced. An end is final.
//! A job that is interrupted [`INTERRUPTIONS_MAX`] times without a recorded end has failed: it
//! may be what kills its runners.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::named;
use crate::core::{Retry, State};

/// The name of a runner's node, as records and logs show it.
pub type NodeName = Arc<str>;

/// How far a job is. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    #[serde(with = "named")]
    pub state: State,
    /// Why it failed, timed out or was cancelled; while it waits, why its last attempt did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was begun; the number of its newest lease.
    pub attempts: u32,
    /// How many attempts failed or timed out.
    pub failures: u32,
    /// How many attempts ended with their runner or their lease.
    pub interruptions: u32,
    /// Where it runs, or ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it was submitted.
    pub submitted_at_ms: u64,
    /// From when on it may begin.
    pub ready_at_ms: u64,
    /// When its newest attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_ms: Option<u64>,
    /// When it ended for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// Until when its lease holds; 0 without one.
    #[serde(default)]
    pub lease_until_ms: u64,
    /// Somebody asked for its end while it runs.
    #[serde(default)]
    pub is_cancelling: bool,
    /// Counts its changes.
    pub version: u64,
}

/// What became of an attempt to begin a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Claiming {
    /// It is begun under this lease.
    Begun(u32),
    /// It may not begin yet.
    Early(Duration),
    /// It has ended, just now or before.
    Over,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum End {
    /// It did what it was asked.
    Completed,
    /// It did not, and this is why.
    Failed {
        /// Why.
        reason: String,
        /// A further attempt may end otherwise.
        may_retry: bool,
    },
    /// It took longer than it may.
    TimedOut,
    /// It was ended because somebody asked for that.
    Cancelled,
    /// It was stopped with its runner and is to run again, as if this attempt had not been.
    GivenBack,
}

/// What a recorded end leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Ended {
    /// The job is over.
    Final(State),
    /// It will be begun again after this time.
    Again(Duration),
}

/// What a request to cancel led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Cancelled {
    /// It had not begun and never will.
    Done,
    /// It runs; its runner will end it.
    Asked,
    /// It had ended before, in this state.
    Late(State),
}

/// A lease that is not the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHeld;

impl Progress {
    /// Begins the life of a job that is submitted now.
    pub fn submitted(now_ms: u64) -> Self {
        Self {
            state: State::Pending,
            reason: None,
            attempts: 0,
            failures: 0,
            interruptions: 0,
            node: None,
            submitted_at_ms: now_ms,
            ready_at_ms: now_ms,
            started_at_ms: None,
            ended_at_ms: None,
            lease_until_ms: 0,
            is_cancelling: false,
            version: 1,
        }
    }

    /// Begins an attempt for `node`. A caller that finds a lease running has to know that it is
    /// over: from its time, or from the store's own supervision.
    pub fn claim(&mut self, node: &str, now_ms: u64, lease: Duration) -> Claiming {
        if self.state.is_final() {
            return Claiming::Over;
        }
        if self.state == State::Running {
            self.interrupt(now_ms);
            if self.state.is_final() {
                return Claiming::Over;
            }
        } else if self.ready_at_ms > now_ms {
            return Claiming::Early(Duration::from_millis(self.ready_at_ms - now_ms));
        }
        self.version += 1;
        self.state = State::Running;
        self.attempts = self.attempts.saturating_add(1);
        self.node = Some(node.to_owned());
        self.started_at_ms = Some(now_ms);
        self.lease_until_ms = after(now_ms, lease);
        Claiming::Begun(self.attempts)
    }

    /// Takes note that the attempt under way ended with its runner.
    pub fn interrupt(&mut self, now_ms: u64) {
        self.version += 1;
        self.interruptions = self.interruptions.saturating_add(1);
        self.lease_until_ms = 0;
        if self.is_cancelling {
            self.finish(State::Cancelled, Some("cancelled while it ran"), now_ms);
        } else if self.interruptions >= INTERRUPTIONS_MAX {
            let reason = format!("its runner was gone {INTERRUPTIONS_MAX} times while it ran");
            self.finish(State::Failed, Some(&reason), now_ms);
        } else {
            self.state = State::Pending;
            self.ready_at_ms = now_ms;
        }
    }

    /// Holds on to a lease; returns true when the job shall end.
    ///
    /// # Errors
    ///
    /// When `number` is not the newest lease, or the job does not run.
    pub fn renew(&mut self, number: u32, now_ms: u64, lease: Duration) -> Result<bool, NotHeld> {
        self.held(number)?;
        self.version += 1;
        self.lease_until_ms = after(now_ms, lease);
        Ok(self.is_cancelling)
    }

    /// Records how the attempt under lease `number` ended. Recording the same end again changes
    /// nothing, so that an answer that was lost can be asked for again. `random` is any number; it
    /// jitters the pause before a retry.
    ///
    /// # Errors
    ///
    /// When `number` is not the newest lease, or the job does not run.
    pub fn end(
        &mut self,
        number: u32,
        end: &End,
        retries: u32,
        now_ms: u64,
        random: u64,
    ) -> Result<Ended, NotHeld> {
        if number == self.attempts && self.state.is_final() && self.ended_at_ms.is_some() {
            return Ok(Ended::Final(self.state));
        }
        self.held(number)?;
        self.version += 1;
        self.lease_until_ms = 0;
        let (state, reason, may_retry) = match end {
            End::Completed => (State::Completed, None, false),
            End::Cancelled => (State::Cancelled, Some("cancelled while it ran"), false),
            End::Failed { reason, may_retry } => (State::Failed, Some(reason.as_str()), *may_retry),
            End::TimedOut => (State::TimedOut, Some("it took longer than its timeout"), true),
            End::GivenBack if self.is_cancelling => {
                (State::Cancelled, Some("cancelled while it ran"), false)
            }
            End::GivenBack => {
                self.state = State::Pending;
                self.ready_at_ms = now_ms;
                return Ok(Ended::Again(Duration::ZERO));
            }
        };
        if matches!(state, State::Failed | State::TimedOut) {
            self.failures = self.failures.saturating_add(1);
            let again = Retry::times(retries).next(self.failures, random);
            if let (Some(pause), true, false) = (again, may_retry, self.is_cancelling) {
                self.state = State::Pending;
                self.reason = reason.map(bounded);
                self.ready_at_ms = after(now_ms, pause);
                return Ok(Ended::Again(pause));
            }
        }
        self.finish(state, reason, now_ms);
        Ok(Ended::Final(state))
    }

    /// Takes note that somebody wants the job to end.
    pub fn cancel(&mut self, now_ms: u64) -> Cancelled {
        match self.state {
            State::Pending => {
                self.version += 1;
                self.finish(State::Cancelled, Some("cancelled before it ran"), now_ms);
                Cancelled::Done
            }
            State::Running => {
                if !self.is_cancelling {
                    self.version += 1;
                    self.is_cancelling = true;
                }
                Cancelled::Asked
            }
            state => Cancelled::Late(state),
        }
    }

    fn held(&self, number: u32) -> Result<(), NotHeld> {
        if self.state == State::Running && self.attempts == number { Ok(()) } else { Err(NotHeld) }
    }

    fn finish(&mut self, state: State, reason: Option<&str>, now_ms: u64) {
        self.state = state;
        self.reason = reason.map(bounded);
        self.ended_at_ms = Some(now_ms);
        self.lease_until_ms = 0;
        self.is_cancelling = false;
    }
}

fn after(now_ms: u64, duration: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Cuts a reason at a bound and at a character.
fn bounded(reason: &str) -> String {
    let end =
        (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
    reason[..end.unwrap_or(0)].to_owned()
}

/// An attempt that ended with its runner is made again so many times.
const INTERRUPTIONS_MAX: u32 = 100;

const REASON_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn failed() -> End {
        End::Failed { reason: "exit status 1".to_owned(), may_retry: true }
    }

    #[test]
    fn a_late_lease_changes_nothing() {
        let mut job = Progress::submitted(0);
        assert_eq!(job.claim("a", 0, LEASE), Claiming::Begun(1));
        assert_eq!(job.claim("b", 40_000, LEASE), Claiming::Begun(2));
        let before = job.clone();
        assert_eq!(job.end(1, &End::Completed, 0, 41_000, 0), Err(NotHeld));
        assert_eq!(job.renew(1, 41_000, LEASE), Err(NotHeld));
        assert_eq!(job, before);
        assert_eq!(job.end(2, &failed(), 0, 42_000, 0), Ok(Ended::Final(State::Failed)));
        assert_eq!(job.end(2, &failed(), 0, 43_000, 0), Ok(Ended::Final(State::Failed)));
        assert_eq!((job.failures, job.interruptions, job.ended_at_ms), (1, 1, Some(42_000)));
        assert_eq!(job.claim("a", 44_000, LEASE), Claiming::Over);
    }

    #[test]
    fn a_failure_is_retried_after_a_pause_and_a_stop_costs_no_retry() {
        let mut job = Progress::submitted(0);
        job.claim("a", 0, LEASE);
        assert_eq!(job.end(1, &End::GivenBack, 1, 1, 0), Ok(Ended::Again(Duration::ZERO)));
        job.claim("a", 1, LEASE);
        let pause = Duration::from_millis(100);
        assert_eq!(job.end(2, &failed(), 1, 1, 0), Ok(Ended::Again(pause)));
        assert_eq!(job.claim("a", 51, LEASE), Claiming::Early(Duration::from_millis(50)));
        assert_eq!(job.claim("a", 101, LEASE), Claiming::Begun(3));
        assert_eq!(job.end(3, &failed(), 1, 102, 0), Ok(Ended::Final(State::Failed)));
    }

    #[test]
    fn a_job_that_takes_its_runners_along_fails_at_last() {
        let mut job = Progress::submitted(0);
        let begun = (1..=1_000).take_while(|_| job.claim("a", 0, LEASE) != Claiming::Over).count();
        assert_eq!(begun, INTERRUPTIONS_MAX as usize);
        assert_eq!(job.state, State::Failed);
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        assert_eq!(bounded(&"é".repeat(REASON_BYTES_MAX)).len(), REASON_BYTES_MAX);
        assert_eq!(bounded(&format!("x{}", "é".repeat(600))).len(), REASON_BYTES_MAX - 1);
    }

    proptest! {
        /// Whatever happens in whatever order: an end is final, and only the newest lease ends.
        #[test]
        fn an_end_stays(events in proptest::collection::vec((0_u8..6, 0_u32..6), 0..60)) {
            let mut job = Progress::submitted(0);
            let mut over: Option<Progress> = None;
            for (now, (event, number)) in events.into_iter().enumerate() {
                let now = now as u64 * 1_000;
                let newest = job.attempts;
                let ended = match event {
                    0 => { job.claim("a", now, LEASE); None }
                    1 => Some(job.end(number, &End::Completed, 1, now, 0)),
                    2 => Some(job.end(number, &failed(), 1, now, 0)),
                    3 => Some(job.end(number, &End::GivenBack, 1, now, 0)),
                    4 => { job.cancel(now); None }
                    _ => { let _ = job.renew(number, now, LEASE); None }
                };
                if let Some(Ok(_)) = ended {
                    prop_assert_eq!(number, newest);
                }
                if let Some(over) = &over {
                    prop_assert_eq!(&job, over);
                } else if job.state.is_final() {
                    over = Some(job.clone());
                }
            }
        }
    }
}
