//! Sends a request again where its route says so: after failures that others of its kind may be spared.
//!
//! This is beside what `forward` does for every request, which is to try another endpoint or connection
//! where nothing can have been sent. A further try is a request of its own to the upstream: it waits a
//! while first, has a generation that is valid then, and is paid for out of a budget, so that an
//! upstream that is down does not get many times the requests that it could not answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use leasehold_model::ReasonCode;
use tokio::time::{sleep, timeout};

use super::close::Exchange;
use super::forward::{Forwarded, forward};
use super::inject::take;
use super::observe::discard;
use super::refuse::Refusal;
use crate::body::RequestBody;
use crate::gateway::{Route, Upstream};
use crate::service::Worker;
use crate::spare::Spare;

/// When a request is sent again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// How often it is sent at most, the first time included.
    pub attempts: u32,
    /// Whether it is where no connection could be made.
    pub on_connect: bool,
    /// Whether it is where the upstream broke off before it answered, or a try took too long.
    pub on_reset: bool,
    /// After which statuses it is.
    pub on_status: Vec<StatusCode>,
    /// How long one try may wait for the head of the answer, where there is a limit.
    pub per_try: Option<Duration>,
    /// How many further tries there may be to a hundred requests.
    pub budget_percent: u32,
    /// The methods that are sent again.
    pub methods: Vec<Method>,
}

impl Retry {
    /// Tells whether a request of that method may be sent again.
    pub(crate) fn is_for(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }
}

/// Sends the request to the upstream, as often as its route lets it, and returns the last answer.
/// `spare` is what it is sent again from, and has the last try's credential afterwards.
///
/// # Errors
///
/// When the last try failed, or there is no credential for another.
pub(crate) async fn send(
    worker: &Worker,
    route: &Route,
    upstream: &Upstream,
    request: Box<Request<RequestBody>>,
    spare: &mut Option<Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let Some(retry) = &route.retry else {
        return forward(worker, upstream, request, spare.as_ref(), exchange).await;
    };
    let tries = Tries {
        worker,
        route,
        upstream,
        retry,
    };
    // Boxed, since few routes have it, and it would be a part of every request otherwise.
    Box::pin(tries.run(request, spare, exchange)).await
}

struct Tries<'a> {
    worker: &'a Worker,
    route: &'a Route,
    upstream: &'a Upstream,
    retry: &'a Retry,
}

impl Tries<'_> {
    async fn run(
        &self,
        request: Box<Request<RequestBody>>,
        spare: &mut Option<Spare>,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Refusal> {
        let may_be_again = self.retry.is_for(request.method());
        exchange.budget(|budget| budget.earn(self.retry.budget_percent));
        let mut tried = self.attempt(request, spare.as_ref(), exchange).await;
        for number in 1..self.retry.attempts {
            let spare = spare.as_mut().filter(|it| may_be_again && it.is_of_use());
            let Some(spare) = spare.filter(|_| self.is_worth_another(&tried)) else {
                break;
            };
            let Some(body) = self.whole(spare).await else {
                break;
            };
            if !exchange.budget(Budget::spend).unwrap_or_default() {
                self.worker.metrics.retried(&self.route.name, "budget");
                break;
            }
            self.worker.metrics.retried(&self.route.name, "sent");
            if let Ok(unwanted) = tried.outcome {
                discard(unwanted).await;
            }
            sleep(back_off(number)).await;
            self.renew(spare, exchange).await?;
            let request = Box::new(spare.request(body));
            tried = self.attempt(request, Some(spare), exchange).await;
        }
        tried.outcome
    }

    async fn attempt(
        &self,
        request: Box<Request<RequestBody>>,
        spare: Option<&Spare>,
        exchange: &mut Exchange,
    ) -> Tried {
        let Some(limit) = self.retry.per_try else {
            let outcome = forward(self.worker, self.upstream, request, spare, exchange).await;
            return Tried {
                outcome,
                was_slow: false,
            };
        };
        let answer = forward(self.worker, self.upstream, request, spare, exchange);
        match timeout(limit, answer).await {
            Ok(outcome) => Tried {
                outcome,
                was_slow: false,
            },
            Err(_elapsed) => {
                exchange.upstream_answered();
                Tried {
                    outcome: Err(exchange.late()),
                    was_slow: true,
                }
            }
        }
    }

    fn is_worth_another(&self, tried: &Tried) -> bool {
        match &tried.outcome {
            Ok(forwarded) => self.retry.on_status.contains(&forwarded.response.status()),
            Err(refusal) => match refusal.reason {
                ReasonCode::UpstreamUnreachable => self.retry.on_connect,
                ReasonCode::UpstreamFailed => self.retry.on_reset,
                ReasonCode::UpstreamTimeout => self.retry.on_reset && tried.was_slow,
                _ => false,
            },
        }
    }

    /// Waits for the rest of the body; `None` where that can't be sent again.
    async fn whole(&self, spare: &Spare) -> Option<RequestBody> {
        let limit = self.upstream.response_timeout.min(LONGEST_WAIT);
        timeout(limit, spare.body()).await.ok()?
    }

    /// Places the generations that are valid now: those of the last try may have run out meanwhile.
    async fn renew(&self, spare: &mut Spare, exchange: &mut Exchange) -> Result<(), Refusal> {
        let credentials = &self.upstream.credentials;
        if credentials.is_empty() {
            return Ok(());
        }
        let asking = exchange.asking(self.route);
        let limit = self.upstream.longest_acquisition();
        let loan = take(credentials, asking, &*self.worker.clock, limit).await?;
        spare.place(credentials, &loan)?;
        exchange.hold(loan);
        Ok(())
    }
}

struct Tried {
    outcome: Result<Forwarded, Refusal>,
    /// Whether it was given up for taking longer than one try may.
    was_slow: bool,
}

/// What a route's further tries are paid from, in hundredths of a try. Only one thread comes here.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(RESERVE))
    }
}

impl Budget {
    fn earn(&self, hundredths: u32) {
        let sum = self.0.load(Ordering::Relaxed).saturating_add(hundredths);
        self.0.store(sum.min(MOST), Ordering::Relaxed);
    }

    /// Pays for a try; returns whether there was enough for it.
    fn spend(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed).checked_sub(TRY);
        if let Some(left) = left {
            self.0.store(left, Ordering::Relaxed);
        }
        left.is_some()
    }
}

/// Returns how long to wait before a further try: any time up to a limit that doubles, so that those
/// who failed together do not come back together.
fn back_off(number: u32) -> Duration {
    let doubled = SHORTEST.saturating_mul(1 << (number - 1).min(10));
    doubled.min(LONGEST).mul_f64(fastrand::f64())
}

const TRY: u32 = 100;
/// Ten tries are in hand at the start, so that a route with few requests has some.
const RESERVE: u32 = 10 * TRY;
/// What a busy time may save up for a bad one.
const MOST: u32 = 100 * TRY;
const SHORTEST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);
/// How long the rest of a body may take before it is sent again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_earned_again() {
        let budget = Budget::default();
        assert_eq!((0..20).filter(|_| budget.spend()).count(), 10);
        (0..4).for_each(|_| budget.earn(20));
        assert!(!budget.spend());
        budget.earn(20);
        assert!(budget.spend() && !budget.spend());
        (0..10_000).for_each(|_| budget.earn(20));
        assert_eq!((0..200).filter(|_| budget.spend()).count(), 100);
    }

    #[test]
    fn a_wait_is_never_longer_than_its_limit() {
        for number in 1..50 {
            assert!(back_off(number) <= LONGEST);
        }
        assert!(back_off(1) <= SHORTEST);
    }
}
