use std::collections::BTreeSet;
use std::time::Duration;

use crate::code::Code;
use crate::document::{RetryDocument, RouteLimitsDocument, RouteTimeoutsDocument};
use crate::node::Place;
use crate::snapshot::route::retry::{Retry, RouteLimits, RouteTimeouts};
use crate::validate::Check;
use crate::validate::limits::{CONCURRENCY_LIMIT, RATE_LIMIT};

impl Check<'_> {
    pub(super) fn route_timeouts(
        &mut self,
        written: Option<RouteTimeoutsDocument>,
        place: Place<'_>,
    ) -> RouteTimeouts {
        let RouteTimeoutsDocument { request, .. } = written.unwrap_or_default();
        RouteTimeouts {
            request: request.map(|it| self.limit(&it, place.field("request"))),
        }
    }

    pub(super) fn route_limits(
        &mut self,
        written: Option<RouteLimitsDocument>,
        place: Place<'_>,
    ) -> RouteLimits {
        let RouteLimitsDocument {
            body,
            head,
            rate,
            concurrency,
        } = written.unwrap_or_default();
        RouteLimits {
            body: self.size(body.as_ref(), place.field("body")),
            head: self.size(head.as_ref(), place.field("head")),
            rate: self.limits_named(&rate, RATE_LIMIT, place.field("rate")),
            concurrency: self.limits_named(
                &concurrency,
                CONCURRENCY_LIMIT,
                place.field("concurrency"),
            ),
        }
    }

    pub(super) fn retry(&mut self, written: RetryDocument, place: Place<'_>) -> Retry {
        let on = written
            .on
            .unwrap_or_else(|| DEFAULT_ON.map(str::to_owned).to_vec());
        let methods = written.methods;
        let methods = methods.map(|it| self.methods(it, place.field("methods")));
        Retry {
            attempts: written.attempts.unwrap_or(DEFAULT_ATTEMPTS),
            on_connect: on.iter().any(|it| it == CONNECT),
            on_reset: on.iter().any(|it| it == RESET),
            on_status: self.statuses(&on, place.field("on")),
            per_try: written
                .per_try
                .map(|it| self.limit(&it, place.field("per_try"))),
            budget_percent: written.budget_percent.unwrap_or(DEFAULT_BUDGET),
            methods: methods.unwrap_or_else(|| IDEMPOTENT.map(str::to_owned).into()),
        }
    }

    fn statuses(&mut self, on: &[String], place: Place<'_>) -> BTreeSet<u16> {
        let mut statuses = BTreeSet::new();
        for (index, text) in on.iter().enumerate() {
            if text == CONNECT || text == RESET {
                continue;
            }
            let status = text.parse().ok();
            if let Some(status) = status.filter(|it| (500..=599).contains(it)) {
                statuses.insert(status);
                continue;
            }
            let place = place.item(index);
            self.report.hide_unless_name(place.node());
            let message = "there is no such reason to send a request again";
            let help = "it is `connect`, `reset` or a status from 500 to 599, like `\"503\"`";
            self.fault(Code::UnknownValue, place, message, help);
        }
        statuses
    }

    fn limit(&mut self, written: &crate::document::DurationText, place: Place<'_>) -> Duration {
        self.duration(Some(written), LEAST, LEAST, place)
    }
}

const CONNECT: &str = "connect";
const RESET: &str = "reset";
const DEFAULT_ON: [&str; 2] = [CONNECT, RESET];
const DEFAULT_ATTEMPTS: u32 = 2;
const DEFAULT_BUDGET: u32 = 20;
/// What RFC 9110 §9.2.2 lets anybody send twice, but for TRACE.
const IDEMPOTENT: [&str; 5] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];
const LEAST: Duration = Duration::from_millis(1);
