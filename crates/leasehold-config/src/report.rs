use crate::fault::Fault;
use crate::node::{Node, Span};
use crate::words;

/// Gathers what is wrong with a document, and what of it may not be shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) faults: Vec<Fault>,
    pub(crate) masks: Vec<Span>,
}

impl Report {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Hides every scalar under a node from the report's snippets.
    pub(crate) fn hide(&mut self, node: &Node) {
        node.scalar_spans(&mut self.masks);
    }

    /// Hides what was written where a name was expected and can't be one, as it may be a secret.
    pub(crate) fn hide_unless_name(&mut self, node: &Node) {
        if !node.text().is_some_and(words::may_be_shown) {
            self.hide(node);
        }
    }
}
