use serde_json::{Number, Value};

/// One value of the document, with the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// A range of bytes in the document's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Tells whether the two share a byte, or stand at the same place.
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end || self.start == other.start
    }
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => &[],
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Returns the bare value, for what reads it into its types.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::to_value).collect(),
            Kind::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_value()))
                .collect(),
        }
    }

    /// Tells whether the node is a single value that somebody wrote down.
    pub(crate) const fn is_written_scalar(&self) -> bool {
        matches!(self.kind, Kind::Bool(_) | Kind::Number(_) | Kind::Text(_))
    }

    /// Collects the spans of every scalar under this node, itself included.
    pub(crate) fn scalar_spans(&self, spans: &mut Vec<Span>) {
        match &self.kind {
            Kind::Null => {}
            Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => spans.push(self.span),
            Kind::List(items) => items.iter().for_each(|item| item.scalar_spans(spans)),
            Kind::Map(entries) => {
                for entry in entries {
                    entry.value.scalar_spans(spans);
                }
            }
        }
    }
}

/// A position in the tree that faults can point at.
///
/// Going down to something that is not there stays at the last thing that is, so that a fault
/// about what is missing points at what should hold it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    node: &'a Node,
    span: Span,
}

impl<'a> Place<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        let span = Span::new(node.span.start, node.span.start);
        Self { node, span }
    }

    pub(crate) fn field(self, key: &str) -> Self {
        self.node.get(key).map_or(self, |entry| Self {
            node: &entry.value,
            span: entry_span(entry),
        })
    }

    pub(crate) fn item(self, index: usize) -> Self {
        self.node.items().get(index).map_or(self, |node| Self {
            node,
            span: item_span(node),
        })
    }

    pub(crate) const fn span(self) -> Span {
        self.span
    }

    pub(crate) const fn node(self) -> &'a Node {
        self.node
    }
}

/// A scalar is pointed at itself; a list or mapping is pointed at by its key.
pub(crate) fn entry_span(entry: &Entry) -> Span {
    if entry.value.is_written_scalar() {
        entry.value.span
    } else {
        entry.key_span
    }
}

pub(crate) fn item_span(node: &Node) -> Span {
    node.entries()
        .first()
        .map_or(node.span, |entry| entry.key_span)
}
