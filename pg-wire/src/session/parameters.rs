//! The current values of the parameters that the server reports.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::basic::text::Text;

/// The parameters that the server has reported, with their current values. [`Bounds::parameters`](super::Bounds::parameters) limits their
/// memory.
///
/// [The reported parameters](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC)
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    all: Vec<Parameter>,
    /// Number of bytes of all parameters, counted by the rule of [`Bounds::parameters`](super::Bounds::parameters).
    bytes: usize,
    changes: u64,
    omitted: u64,
}

/// A parameter: its name and its value in one allocation.
#[derive(Clone, PartialEq, Eq)]
struct Parameter {
    bytes: Box<[u8]>,
    /// Length of the name in bytes.
    name: usize,
}

impl Parameter {
    fn split(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.name)
    }
}

/// Number of bytes that are counted for each parameter in addition to its name and value. So a bound on the bytes also bounds the number of
/// parameters.
const OVERHEAD: usize = 64;

impl Parameters {
    /// Returns the current value of a parameter; `None` if no value is known.
    pub fn get(&self, name: &str) -> Option<Text<'_>> {
        let known = self.all.iter().map(Parameter::split).find(|(known, _)| *known == name.as_bytes())?;
        Some(Text::from(known.1))
    }

    /// Returns the names and values of all parameters, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Text<'_>, Text<'_>)> {
        self.all.iter().map(Parameter::split).map(|(name, value)| (name.into(), value.into()))
    }

    /// Returns the number of parameters.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether no parameter has a known value.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the number of reports that changed a value. If two calls return the same number, no parameter has changed between the calls.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the number of reports that were not stored because of the bound [`Bounds::parameters`](super::Bounds::parameters). When a
    /// report is not stored, the earlier value of the parameter is dropped, because it is out of date.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// Stores the reported value of a parameter. All parameters together may take at most `most` bytes.
    pub(super) fn set(&mut self, name: Text<'_>, value: Text<'_>, most: usize) {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        if let Some(place) = self.all.iter().position(|known| known.split().0 == name) {
            if self.all.get(place).is_some_and(|known| known.split().1 == value) {
                return;
            }
            let old = self.all.swap_remove(place);
            self.bytes -= old.bytes.len() + OVERHEAD;
        }
        self.changes += 1;
        let length = name.len() + value.len() + OVERHEAD;
        if length > most.saturating_sub(self.bytes) {
            self.omitted += 1;
            return;
        }
        self.bytes += length;
        self.all.push(Parameter { bytes: [name, value].concat().into(), name: name.len() });
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_kept_and_changes_are_counted() {
        let mut parameters = Parameters::default();
        for (value, changes) in [("UTC", 1), ("UTC", 1), ("Europe/Berlin", 2)] {
            parameters.set("TimeZone".into(), value.into(), 1_000);
            assert_eq!(parameters.get("TimeZone"), Some(value.into()));
            assert_eq!((parameters.changes(), parameters.len()), (changes, 1));
        }
        assert_eq!(parameters.get("DateStyle"), None);
    }

    #[test]
    fn a_value_over_the_bound_is_counted_and_the_old_value_is_dropped() {
        let mut parameters = Parameters::default();
        parameters.set("a".into(), "1".into(), 150);
        parameters.set("b".into(), "1".into(), 150);
        parameters.set("c".into(), "1".into(), 150);
        assert_eq!((parameters.len(), parameters.omitted()), (2, 1));
        parameters.set("a".into(), (&[b'x'; 100]).into(), 150);
        assert_eq!((parameters.get("a"), parameters.omitted()), (None, 2));
        parameters.set("c".into(), "2".into(), 150);
        assert_eq!(parameters.get("c"), Some("2".into()));
    }
}
