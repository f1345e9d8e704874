//! The current values of the parameters that the server reports.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::basic::text::Text;

/// The parameters that the server has reported, with their current values. In bounded memory.
///
/// [The reported parameters](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC)
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    all: Vec<Parameter>,
    /// Bytes of all names and values.
    bytes: usize,
    changes: u64,
    omitted: u64,
}

/// Name and value in one allocation.
#[derive(Clone, PartialEq, Eq)]
struct Parameter {
    bytes: Box<[u8]>,
    /// Length of the name.
    name: usize,
}

impl Parameter {
    fn split(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.name)
    }
}

/// Bytes that a parameter is counted with besides its name and value, so that the number of parameters is bounded too.
const OVERHEAD: usize = 64;

impl Parameters {
    /// The value of a parameter, if the server has reported it.
    pub fn get(&self, name: &str) -> Option<Text<'_>> {
        let known = self.all.iter().map(Parameter::split).find(|(known, _)| *known == name.as_bytes())?;
        Some(Text::from(known.1))
    }

    /// Names and values, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Text<'_>, Text<'_>)> {
        self.all.iter().map(Parameter::split).map(|(name, value)| (name.into(), value.into()))
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether the server has reported no parameter.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Number of reports so far that changed a value. While it stays the same, so do the parameters.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Number of reports that were not kept because of the bound [`Bounds::parameters`](super::Bounds::parameters). Of such a
    /// parameter no value is kept at all, because an older one is not current.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// Keeps a reported value, within `most` bytes for all parameters together.
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
