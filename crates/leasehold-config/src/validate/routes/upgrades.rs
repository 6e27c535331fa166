//! What else than HTTP may be spoken on a route.

use std::time::Duration;

use crate::code::Code;
use crate::document::{ReflectionWord, RouteDocument, UpgradeWord};
use crate::node::Place;
use crate::snapshot::route::WebSocket;
use crate::validate::Check;

impl Check<'_> {
    pub(super) fn websocket(
        &mut self,
        written: &RouteDocument,
        place: Place<'_>,
    ) -> Option<WebSocket> {
        let timeouts = written.timeouts.as_ref();
        let limit = timeouts.and_then(|it| it.websocket_idle.as_ref());
        let limit_place = place.field("timeouts").field("websocket_idle");
        let idle = self.duration(limit, DEFAULT_IDLE, LEAST_IDLE, limit_place);
        let mut upgrades = written.upgrades.iter().flatten();
        if !upgrades.any(|it| matches!(it, UpgradeWord::Websocket)) {
            if limit.is_some() {
                let message = "there are no WebSockets on this route";
                let help = "remove it, or add `upgrades: [websocket]` to the route";
                self.fault(Code::BadCombination, limit_place, message, help);
            }
            return None;
        }
        self.leads_to_websockets(written, place.field("upgrades"));
        Some(WebSocket { idle })
    }

    fn leads_to_websockets(&mut self, written: &RouteDocument, place: Place<'_>) {
        if written.redirect.is_some() {
            let message = "a redirect speaks nothing but HTTP";
            let help = "remove `upgrades`, or give the route an upstream";
            self.fault(Code::BadCombination, place, message, help);
        }
        // Whoever wrote both would believe in a guard that is not there.
        if !matches!(written.reflection, None | Some(ReflectionWord::Off)) {
            let message = "what an upstream says on a WebSocket is not looked through";
            let help = "remove `reflection`, or move the WebSockets to a route of their own";
            self.fault(Code::BadCombination, place, message, help);
        }
    }
}

const DEFAULT_IDLE: Duration = Duration::from_mins(5);
const LEAST_IDLE: Duration = Duration::from_secs(1);
