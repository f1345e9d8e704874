//! Parameters that a client has set. The pooler sets them on each server connection that the client uses.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use pg_wire::Text;
use pg_wire::session::Parameters;

/// Parameters that a client may set, provided that the server reports their values. Without a report, the pooler would not know which value
/// to set on the client's next server connection.
const RESTORED: [&str; 9] = [
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "IntervalStyle",
    "standard_conforming_strings",
    "application_name",
    "search_path",
    "default_transaction_read_only",
    "scram_iterations",
];

/// Names and values of a client's parameters, in the order of [`RESTORED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Settings(Vec<(&'static str, Box<str>)>);

impl<'a> FromIterator<(&'a str, &'a str)> for Settings {
    /// Keeps the parameters that are in [`RESTORED`], and ignores other parameters.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(all: I) -> Self {
        let mut settings = Self::default();
        for (name, value) in all {
            settings.set(name, value);
        }
        settings
    }
}

impl Settings {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Sets a parameter. Returns false if [`RESTORED`] does not contain the parameter.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> bool {
        let Some(place) = RESTORED.iter().position(|known| known.eq_ignore_ascii_case(name)) else {
            return false;
        };
        let order = |known: &str| RESTORED.iter().position(|name| *name == known);
        match self.0.binary_search_by_key(&Some(place), |(known, _)| order(known)) {
            Ok(found) => self.0[found].1 = value.into(),
            Err(before) => self.0.insert(before, (RESTORED[place], value.into())),
        }
        true
    }

    /// Returns a query that sets the parameters whose values differ from the values that the server has reported. Returns `None` if no
    /// value differs.
    pub(crate) fn query(&self, reported: &Parameters) -> Option<String> {
        let differ = |(name, value): &(&str, &str)| reported.get(name) != Some(Text::from(*value));
        let calls = self.iter().filter(differ).map(|(name, value)| {
            let value = value.replace('\\', r"\\").replace('\'', "''");
            format!("pg_catalog.set_config('{name}', E'{value}', false)")
        });
        let calls: Vec<String> = calls.collect();
        (!calls.is_empty()).then(|| format!("SELECT {}", calls.join(", ")))
    }
}

/// The settings of all clients of a pool. Equal settings share one allocation, so that they can be compared by pointer.
#[derive(Debug, Default)]
pub(crate) struct Interned(Mutex<HashSet<Arc<Settings>>>);

impl Interned {
    pub(crate) fn intern(&self, settings: Settings) -> Arc<Settings> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&settings) {
            return Arc::clone(known);
        }
        if all.len() == all.capacity() {
            all.retain(|settings| Arc::strong_count(settings) > 1);
        }
        let settings = Arc::new(settings);
        all.insert(Arc::clone(&settings));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::{Interned, Settings};
    use pg_wire::session::SessionState;
    use std::sync::Arc;

    #[test]
    fn only_values_that_differ_are_set_and_quotes_are_doubled() {
        let mut state = SessionState::new();
        state.set_parameter("TimeZone".into(), "UTC".into());
        let settings =
            Settings::from_iter([("timezone", "UTC"), ("application_name", r"it's \ me"), ("port", "1")]);
        let query = settings.query(state.parameters()).expect("a name differs");
        assert_eq!(query, r"SELECT pg_catalog.set_config('application_name', E'it''s \\ me', false)");
        state.set_parameter("application_name".into(), r"it's \ me".into());
        assert_eq!(settings.query(state.parameters()), None);
    }

    #[test]
    fn equal_settings_share_one_allocation() {
        let interned = Interned::default();
        let [a, b] = [("TimeZone", "UTC"); 2].map(|pair| interned.intern(Settings::from_iter([pair])));
        assert!(Arc::ptr_eq(&a, &b));
    }
}
