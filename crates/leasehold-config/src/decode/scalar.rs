use serde_json::{Number, Value};

use super::{Decoder, Here};
use crate::code::Code;
use crate::fault::Fault;
use crate::node::Node;

impl<'a> Decoder<'a> {
    pub(super) fn number(
        &mut self,
        schema: &'a Value,
        here: Here<'a>,
        number: &Number,
    ) -> Option<Node> {
        let limit = |name| schema.get(name).and_then(Value::as_u64);
        let least = limit("minimum").unwrap_or(0);
        let most = limit("maximum").unwrap_or(u64::MAX);
        let within = number
            .as_u64()
            .is_some_and(|value| (least..=most).contains(&value));
        if within {
            return Some(here.node.clone());
        }
        let message = format!("`{}` must be from {least} to {most}", here.key);
        self.report
            .add(Fault::new(Code::OutOfRange, here.at, message));
        None
    }
}
