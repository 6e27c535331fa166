//! Keeps the account of one request and closes it, whichever way the request ends.

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use leasehold_audit::{AccessRecord, OpenRecord, ShownCredential};
use leasehold_consumer::{Caller, Means};
use leasehold_inject::Scanner;
use leasehold_model::{BootTime, Chain, Clock, ConsumerName, ReasonCode, RouteName};
use prometheus_client::metrics::gauge::Gauge;

use super::limit::Limited;
use super::refuse::Refusal;
use super::retry::Budget;
use crate::body::{Stall, Upload};
use crate::gateway::{Asking, Credentials, Loan, Route, Sender, Upstream};
use crate::plan::Plan;
use crate::reflection::{Finding, Watch};
use crate::service::Worker;
use crate::trace::Trace;
use crate::via::Link;
use crate::websocket::{FOLLOWED, Handshake, WebSocket};

/// One request and its answer, from the head that was read to the last byte that was handed on.
///
/// Dropping it unclosed closes it as broken off: by the consumer, or by the gateway where that cuts
/// its connections.
///
/// The upstream's time is the time in which the gateway waited for the upstream and could not go on:
/// connecting included, parts of the request's body that the consumer was slow to send excluded. The
/// gateway's own time is the rest, so a consumer that is slow to take the answer counts there.
#[derive(Debug)]
pub(crate) struct Exchange {
    worker: Arc<Worker>,
    plan: Arc<Plan>,
    /// Taken when the exchange is closed.
    record: Option<OpenRecord>,
    route: Option<usize>,
    /// Held to the end, since the last holder's drop is what lets the broker revoke a generation.
    loan: Loan,
    upload: Option<Arc<Upload>>,
    /// What its limits have given it, held to the end.
    limited: Option<Box<Limited>>,
    /// What an upstream reads as `Host`, where its route says so.
    authority: Option<HeaderValue>,
    /// The origin of the page that asks, where answers are marked for it.
    origin: Option<HeaderValue>,
    /// The connection that it came over, which is told where the consumer may still be sending.
    link: Arc<Link>,
    opened: BootTime,
    upstream: Stopwatch,
    /// How long the consumer was waited for while the upstream's time was counted.
    waited: Option<Duration>,
    /// The WebSocket that it asks for.
    handshake: Option<Box<Handshake>>,
    /// When it became a tunnel. What times it took end there.
    tunnelled: Option<BootTime>,
    /// What finds the upstream's credentials in the answer, by their numbers, where that is looked through.
    watches: Vec<(usize, Watch)>,
}

impl Exchange {
    /// Opens the account of a request that came in at a listener.
    pub(crate) fn open(
        worker: &Arc<Worker>,
        link: &Arc<Link>,
        request: &Request<Incoming>,
        trace: &Trace,
    ) -> Self {
        let mut record = AccessRecord::begin(
            worker.clock.wall(),
            link.via.listener.clone(),
            request.method().as_str(),
            request.uri().path(),
            trace.id(),
        );
        record.client = link.via.client;
        record.span = Some(trace.span());
        link.begin();
        worker.metrics.in_flight.inc();
        Self {
            plan: worker.plan(),
            record: Some(worker.recorder.open(record)),
            route: None,
            loan: Loan::default(),
            upload: None,
            limited: None,
            authority: None,
            origin: None,
            link: Arc::clone(link),
            opened: worker.clock.boot(),
            upstream: Stopwatch::default(),
            waited: None,
            handshake: None,
            tunnelled: None,
            watches: Vec::new(),
            worker: Arc::clone(worker),
        }
    }

    /// Returns what the request is served by.
    pub(crate) const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Writes something down.
    pub(crate) fn note(&mut self, write: impl FnOnce(&mut AccessRecord)) {
        if let Some(record) = &mut self.record {
            write(record);
        }
    }

    /// Writes down that as much of the answer's body goes out.
    pub(crate) fn answer_with(&mut self, bytes: u64) {
        self.note(|record| record.response_bytes += bytes);
        self.link.carry(bytes);
    }

    /// Writes down which route the request takes.
    pub(crate) fn enter(&mut self, number: usize, route: &Route) {
        self.route = Some(number);
        self.note(|record| record.route = Some(route.name.clone()));
    }

    /// Writes down which of the route's upstreams it goes to, by its place among them.
    pub(crate) fn choose(&mut self, place: usize, upstream: &Upstream) {
        self.note(|record| record.upstream = Some(upstream.name.clone()));
        if let Some(route) = self.route {
            self.plan.meters.chosen(route, place);
        }
    }

    /// Returns the route that the request takes, where it has found one.
    pub(crate) fn route(&self) -> Option<&Route> {
        self.plan.gateway.route(self.route?)
    }

    /// Does something with what the route's further tries are paid from.
    pub(crate) fn budget<T>(&self, act: impl FnOnce(&Budget) -> T) -> Option<T> {
        self.plan.budget(self.route?).map(act)
    }

    /// Keeps what the limits of the route have given it.
    pub(crate) fn keep(&mut self, limited: Limited) {
        self.limited = Some(Box::new(limited));
    }

    /// Returns what the limits of the route have given it, where it has any.
    pub(crate) fn limited(&self) -> Option<&Limited> {
        self.limited.as_deref()
    }

    /// Says what upstreams read as `Host`, where the route and not the upstream decides.
    pub(crate) fn set_authority(&mut self, authority: Option<HeaderValue>) {
        self.authority = authority;
    }

    /// Returns what upstreams read as `Host`, where the route decides.
    pub(crate) const fn authority(&self) -> Option<&HeaderValue> {
        self.authority.as_ref()
    }

    /// Keeps the origin of the page that asks.
    pub(crate) fn set_origin(&mut self, origin: Option<HeaderValue>) {
        self.origin = origin;
    }

    /// Returns the origin of the page that asks.
    pub(crate) const fn origin(&self) -> Option<&HeaderValue> {
        self.origin.as_ref()
    }

    /// Returns how much is left of the time that the route gives an exchange, where it gives one.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let limit = self.route()?.timeout?;
        let spent = self.worker.clock.boot().since(self.opened);
        Some(limit.saturating_sub(spent))
    }

    /// Tells what it means that the upstream was not waited for any longer.
    pub(crate) fn late(&self) -> Refusal {
        if let Some(broken) = self.upload().and_then(Upload::broken) {
            return broken.into();
        }
        // The limit does not matter: who is to blame does not hang on it.
        ReasonCode::from(self.stall(Duration::ZERO).0).into()
    }

    /// Writes down which credentials the upstream is to be shown, whether they are to be had or not.
    pub(crate) fn name_credentials(&mut self, credentials: &Credentials, route: &RouteName) {
        let Some(record) = &mut self.record else {
            return;
        };
        let asking = Asking {
            consumer: record.consumer.as_ref(),
            route,
        };
        let chosen = credentials.chosen(asking).flatten();
        let mut named = chosen.map(|(_, used)| used.held.credential().clone());
        let (first, others) = (named.next(), named.map(ShownCredential::named).collect());
        record.credential = first;
        record.other_credentials = others;
    }

    /// Keeps the generations that the upstream is shown.
    pub(crate) fn hold(&mut self, loan: Loan) {
        if let Some(record) = &mut self.record {
            let mut lent = loan.iter().map(|it| &it.generation);
            if let Some(first) = lent.next() {
                record.generation = Some(first.number());
                record.provenance = Some(first.provenance().clone());
            }
            for (shown, generation) in record.other_credentials.iter_mut().zip(lent) {
                shown.generation = Some(generation.number());
                shown.provenance = Some(generation.provenance().clone());
            }
        }
        self.loan = loan;
    }

    /// Keeps the generations that the upstream is shown after it refused those that were kept.
    pub(crate) fn hold_instead(&mut self, loan: Loan) {
        if let Some(record) = &mut self.record {
            // One that is the same as before was not what had to be replaced.
            let mut refused = self.loan.iter().zip(loan.iter()).map(|(before, now)| {
                let number = before.generation.number();
                (number != now.generation.number()).then_some(number)
            });
            record.retried_after = refused.next().flatten();
            for (shown, refused) in record.other_credentials.iter_mut().zip(refused) {
                shown.retried_after = refused;
            }
        }
        self.hold(loan);
    }

    /// Returns the generations that the upstream is shown.
    pub(crate) const fn loan(&self) -> &Loan {
        &self.loan
    }

    /// Keeps what finds the credentials in the answer, since the route has that looked through.
    ///
    /// Those that this request is not shown are looked for as well: the upstream knows them.
    pub(crate) fn watch(&mut self, credentials: &Credentials) {
        let watched = credentials.iter();
        let watched = watched.filter_map(|(number, it)| Some((number, it.watch.clone()?)));
        self.watches = watched.collect();
    }

    /// Returns what finds the credentials: those of all generations that live, where consumers share them.
    pub(crate) fn scanners(&self) -> Vec<Arc<Scanner>> {
        let mut scanners = Vec::new();
        for (number, watch) in &self.watches {
            let own = || self.loan.of(*number)?.prepared().scanner(watch.injection);
            match &watch.list {
                Some(list) => scanners.extend(list.live()),
                None => scanners.extend(own().cloned()),
            }
        }
        scanners
    }

    /// Tells of a credential that an answer shows.
    pub(crate) fn reflected(&mut self, finding: Finding) {
        let Some(route) = self.route() else {
            return;
        };
        let (part, action) = (finding.part.as_str(), route.reflection.as_str());
        let metrics = &self.worker.metrics;
        metrics.reflected(&route.name, part, action);
        if let Some(record) = &self.record {
            tracing::warn!(
                route = %route.name,
                upstream = record.upstream.as_ref().map(tracing::field::display),
                credential = record.credential.as_ref().map(tracing::field::display),
                trace_id = %record.trace_id,
                part,
                form = %finding.form,
                action,
                "upstream sends back the credential that it was shown"
            );
        }
        self.note(|record| record.reflected = Some(part));
    }

    /// Tells of an answer that can't be looked through.
    pub(crate) fn unreadable(&self) {
        if let (Some(route), Some(record)) = (self.route(), &self.record) {
            tracing::warn!(
                route = %route.name,
                upstream = record.upstream.as_ref().map(tracing::field::display),
                trace_id = %record.trace_id,
                "upstream sends an encoded answer though it was asked for a plain one"
            );
        }
    }

    /// Keeps who sent the request.
    pub(crate) fn set_caller(&mut self, caller: Option<&Caller>) {
        let Some(caller) = caller else {
            return;
        };
        self.note(|record| {
            record.consumer = Some(caller.consumer.clone());
            record.authenticated_by = Some(caller.by.as_str());
            if let Means::Token { issuer, id, .. } = &caller.by {
                record.issuer = Some(issuer.clone());
                record.token_id.clone_from(id);
            }
        });
    }

    /// Returns who sent the request.
    pub(crate) fn consumer(&self) -> Option<&ConsumerName> {
        self.record.as_ref()?.consumer.as_ref()
    }

    /// Returns who asks, by that route.
    pub(crate) fn asking<'a>(&'a self, route: &'a Route) -> Asking<'a> {
        Asking {
            consumer: self.consumer(),
            route: &route.name,
        }
    }

    /// Returns who sends the request, and from where.
    pub(crate) fn sender(&self) -> Sender<'_> {
        Sender {
            consumer: self.consumer(),
            address: self.link.via.client.map(|it| it.ip()),
        }
    }

    /// Keeps what tells how the request's body fares.
    pub(crate) fn follow(&mut self, upload: Option<Arc<Upload>>) {
        self.upload = upload;
    }

    /// Returns what tells how the request's body fares.
    pub(crate) fn upload(&self) -> Option<&Upload> {
        self.upload.as_deref()
    }

    /// Writes down that it asks for a WebSocket.
    pub(crate) fn ask_for(&mut self, handshake: Option<Box<Handshake>>) {
        self.handshake = handshake;
    }

    /// Returns the WebSocket that it asks for.
    pub(crate) fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_deref()
    }

    /// Makes a tunnel of it, where nothing has come behind the request, which must have waited.
    pub(crate) fn switch(&mut self) -> Result<(Handshake, WebSocket), Refusal> {
        if self.link.is_followed() {
            return Err(FOLLOWED);
        }
        let rules = self.route().and_then(|route| route.websocket);
        let asked = self.handshake.take().zip(rules);
        let (handshake, rules) = asked.ok_or(ReasonCode::UpstreamFailed)?;
        self.tunnelled = Some(self.worker.clock.boot());
        Ok((*handshake, rules))
    }

    /// Returns what a tunnel measures time by, and counts itself in.
    pub(crate) fn means_of_tunnel(&self) -> (Arc<dyn Clock>, Gauge) {
        let worker = &self.worker;
        (Arc::clone(&worker.clock), worker.metrics.websockets.clone())
    }

    /// Writes down that a part of the request was left unread for good.
    pub(crate) fn leave_unread(&self) {
        self.link.leave_unread();
    }

    /// Writes down whether the gateway waits for the upstream from now on.
    pub(crate) fn await_upstream(&mut self, waits: bool) {
        if waits != self.upstream.runs() {
            self.upstream.switch(self.worker.clock.boot());
        }
    }

    /// Writes down that the upstream's part is over, or that the head of its answer is there.
    pub(crate) fn upstream_answered(&mut self) {
        self.await_upstream(false);
        self.waited = self.upload().map(Upload::waited);
    }

    /// Tells who is to blame that an upstream's answer does not go on, and how much longer to wait.
    pub(crate) fn stall(&self, limit: Duration) -> (Stall, Duration) {
        let upload = self.upload().filter(|upload| !upload.is_complete());
        upload.map_or((Stall::Upstream, Duration::ZERO), |upload| {
            upload.stall(self.worker.clock.boot(), limit)
        })
    }

    /// Logs what went wrong with the upstream, unless it was the consumer who broke off before that.
    pub(crate) fn warn(&self, error: &dyn Error, what: &'static str) {
        let broken = self.upload().and_then(Upload::broken);
        if let (None, Some(record)) = (broken, &self.record) {
            tracing::warn!(
                upstream = record.upstream.as_ref().map(tracing::field::display),
                endpoint = record.endpoint.as_deref(),
                trace_id = %record.trace_id,
                error = %Chain(error),
                "{what}"
            );
        }
    }

    /// Writes down what went wrong, unless it was the consumer who broke off before that.
    pub(crate) fn fail(&mut self, reason: ReasonCode) {
        let broken = self.upload().and_then(Upload::broken);
        self.note(|record| record.reason = Some(broken.unwrap_or(reason)));
    }

    /// Closes the account of a request that was answered to the end.
    pub(crate) fn close(mut self) {
        self.settle(None);
    }

    fn settle(&mut self, broken_off: Option<ReasonCode>) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        record.reason = record.reason.or(broken_off);
        let now = self.worker.clock.boot();
        let mut upstream = self.upstream.total(now);
        if let Some(upload) = &self.upload {
            record.request_bytes = upload.bytes();
            let waited = self.waited.unwrap_or_else(|| upload.waited());
            upstream = upstream.map(|it| it.saturating_sub(waited));
            if !upload.is_complete() {
                self.leave_unread();
            }
        }
        record.upstream_time = upstream;
        let until = self.tunnelled.unwrap_or(now);
        record.gateway_time = until
            .since(self.opened)
            .saturating_sub(upstream.unwrap_or_default());
        self.plan.meters.count(self.route, &record);
        record.close();
        self.link.end(now);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let broken_off = if thread::panicking() {
            ReasonCode::Internal
        } else if self.worker.cuts() {
            ReasonCode::Draining
        } else {
            ReasonCode::ClientAborted
        };
        self.settle(Some(broken_off));
    }
}

#[derive(Debug, Default)]
struct Stopwatch {
    total: Option<Duration>,
    since: Option<BootTime>,
}

impl Stopwatch {
    const fn runs(&self) -> bool {
        self.since.is_some()
    }

    fn switch(&mut self, now: BootTime) {
        match self.since {
            Some(_) => {
                self.total = self.total(now);
                self.since = None;
            }
            None => self.since = Some(now),
        }
    }

    fn total(&self, now: BootTime) -> Option<Duration> {
        let running = self.since.map(|since| now.since(since));
        match (self.total, running) {
            (Some(total), running) => Some(total + running.unwrap_or_default()),
            (None, running) => running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_counts_only_while_it_runs() {
        let at = |second| BootTime::default().after(Duration::from_secs(second));
        let mut watch = Stopwatch::default();
        assert_eq!(watch.total(at(1)), None);
        watch.switch(at(2));
        assert_eq!(watch.total(at(5)), Some(Duration::from_secs(3)));
        watch.switch(at(5));
        watch.switch(at(10));
        assert_eq!(watch.total(at(11)), Some(Duration::from_secs(4)));
    }
}
