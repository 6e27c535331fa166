use std::error::Error;
use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use crate::code::Code;
use crate::node::Span;

/// One thing that is wrong with a document.
///
/// Neither its message nor its help repeats a value of the document, only names and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: Code,
    message: String,
    help: Option<String>,
    span: Span,
    /// Another place that the fault is about, and what it is.
    other: Option<(Span, &'static str)>,
    line: usize,
    column: usize,
}

impl Fault {
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
            span,
            other: None,
            line: 0,
            column: 0,
        }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Shows another place beside the fault's own.
    pub(crate) const fn with_other(mut self, span: Span, what: &'static str) -> Self {
        self.other = Some((span, what));
        self
    }

    /// Returns what kind of fault it is.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the line, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// Returns the column in characters, counted from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// Finds line and column; `starts` are where the lines of `text` begin.
    fn locate(&mut self, text: &str, starts: &[usize]) {
        self.line = starts.partition_point(|start| *start <= self.span.start);
        let start = starts.get(self.line.saturating_sub(1));
        let before = start.and_then(|start| text.get(*start..self.span.start));
        self.column = before.unwrap_or_default().chars().count().saturating_add(1);
    }

    fn order(&self) -> (Span, &'static str, String) {
        (self.span, self.code.as_str(), self.message.clone())
    }

    const fn reveals_secret(&self) -> bool {
        matches!(self.code, Code::SecretValue | Code::ConsumerKeyInClear)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {}

impl Diagnostic for Fault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.help.as_ref()?;
        Some(Box::new(help))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |text, span: Span| {
            let span = SourceSpan::new(span.start.into(), span.len());
            LabeledSpan::new_with_span(text, span)
        };
        let other = self
            .other
            .map(|(span, what)| label(Some(what.to_owned()), span));
        Some(Box::new(
            std::iter::once(label(None, self.span)).chain(other),
        ))
    }
}

/// Everything that is wrong with one document, in the order of its lines.
///
/// Carries the document's text for the snippets of a report, with every secret in it masked.
#[derive(Debug)]
pub struct Faults {
    faults: Vec<Fault>,
    source: NamedSource<String>,
}

impl Faults {
    /// Puts the faults found in `text` in order; `masked` is the text without what nobody may see.
    pub(crate) fn new(name: &str, text: &str, masked: String, found: Vec<Fault>) -> Self {
        let mut faults = without_echoes(found);
        let ends = text
            .match_indices('\n')
            .map(|(at, end)| at.saturating_add(end.len()));
        let starts: Vec<_> = std::iter::once(0).chain(ends).collect();
        faults
            .iter_mut()
            .for_each(|fault| fault.locate(text, &starts));
        Self {
            faults,
            source: NamedSource::new(name, masked),
        }
    }

    /// Returns how many there are; never none.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a document without faults has no Faults"
    )]
    pub const fn len(&self) -> usize {
        self.faults.len()
    }

    /// Returns the faults, in the order of the document's lines.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

/// Puts faults in order and drops what is said about a value that is reported as a secret already:
/// that `token` is unknown is no news beside it.
fn without_echoes(found: Vec<Fault>) -> Vec<Fault> {
    let (mut secrets, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(Fault::reveals_secret);
    secrets.sort_by_key(Fault::order);
    // What overlaps the one before it says the same once more.
    secrets.dedup_by(|next, kept| next.span.overlaps(kept.span));
    let is_echo = |fault: &Fault| {
        let after = secrets.partition_point(|secret| secret.span.start <= fault.span.start);
        let around = secrets.get(after.saturating_sub(1)..).unwrap_or_default();
        let mut around = around.iter().take(2);
        around.any(|secret| secret.span.overlaps(fault.span))
    };
    let mut kept: Vec<_> = others.into_iter().filter(|fault| !is_echo(fault)).collect();
    kept.append(&mut secrets);
    kept.sort_by_key(Fault::order);
    // An alias shows one place of the document twice.
    kept.dedup();
    kept
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.len() == 1 { "" } else { "s" };
        write!(f, "{} fault{plural} in {}", self.len(), self.source.name())
    }
}

impl Error for Faults {}

impl Diagnostic for Faults {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.faults.iter().map(|fault| fault as &dyn Diagnostic),
        ))
    }
}
