use anyhow::{Result, ensure};

/// Credentials that stand nowhere else, each with a name that may be told.
#[derive(Default)]
pub(crate) struct Canaries {
    names: Vec<String>,
    values: Vec<String>,
}

impl Canaries {
    pub(crate) fn planted(value: &str) -> Self {
        let mut canaries = Self::default();
        canaries.add("planted", value);
        canaries
    }

    /// Adds one, unless it is known.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !self.values.iter().any(|it| it == value) {
            self.names.push(format!("{name} {}", self.count(name) + 1));
            self.values.push(value.to_owned());
        }
    }

    pub(crate) fn values(&self) -> &[String] {
        &self.values
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Fails where there are not as many of a kind.
    pub(crate) fn expect(&self, name: &str, count: usize) -> Result<()> {
        ensure!(
            self.count(name) >= count,
            "{} of {name}, not {count}",
            self.count(name)
        );
        Ok(())
    }

    fn count(&self, name: &str) -> usize {
        let kind = |it: &&String| it.rsplit_once(' ').is_some_and(|(kind, _)| kind == name);
        self.names.iter().filter(kind).count()
    }
}
