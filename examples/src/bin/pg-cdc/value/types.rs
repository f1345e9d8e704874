//! The kind of a type, for example array or range, determines the form of its values. For types that are not built in, the kind is read
//! from the catalog.

use std::collections::HashMap;

use pg_wire::oid;
use pg_wire::oid::Oid;

/// The kind of a type, which determines the form of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A domain over this base type, which may be a domain itself. Values have the form of the base type.
    Domain(Oid),
    /// A type whose binary form is the same as its text form: an enum, or `citext`.
    Text,
    Array,
    Composite,
    /// A range whose bounds have this type.
    Range(Oid),
    /// A multirange whose bounds have this type.
    Multirange(Oid),
    /// A type that the catalog did not contain, or whose binary form this program does not know.
    Unknown,
}

/// The kind of each type that is not built in. The key is the OID of the type.
#[derive(Debug, Default)]
pub(crate) struct Types(HashMap<Oid, Kind>);

/// Smallest OID of a type that is not built in (`FirstNormalObjectId` in the server).
const FIRST_OF_USERS: Oid = 16_384;

impl Types {
    /// SQL statement that reads the types from the catalog. Each row of its result is passed to [`add`](Self::add).
    pub(crate) const SQL: &'static str = "SELECT t.oid, t.typtype, t.typname, t.typcategory, \
        CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'r' THEN \
        (SELECT rngsubtype FROM pg_catalog.pg_range WHERE rngtypid = t.oid) WHEN 'm' THEN \
        (SELECT rngsubtype FROM pg_catalog.pg_range WHERE rngmultitypid = t.oid) ELSE 0 END \
        FROM pg_catalog.pg_type t WHERE t.oid >= 16384";

    /// Adds a type. `other` is the base type of a domain, or the type of the bounds of a range or multirange; else 0.
    pub(crate) fn add(&mut self, type_oid: Oid, typtype: &str, name: &str, category: &str, other: Oid) {
        let kind = match typtype {
            "d" => Kind::Domain(other),
            "e" => Kind::Text,
            "c" => Kind::Composite,
            "r" => Kind::Range(other),
            "m" => Kind::Multirange(other),
            _ if category == "A" => Kind::Array,
            _ if name == "citext" => Kind::Text,
            _ => Kind::Unknown,
        };
        self.0.insert(type_oid, kind);
    }

    /// Whether the kind of this type still has to be read from the catalog.
    pub(crate) fn lacks(&self, type_oid: Oid) -> bool {
        type_oid >= FIRST_OF_USERS && !self.0.contains_key(&type_oid)
    }

    /// Records the kind of this type as unknown, unless it has been read from the catalog.
    pub(crate) fn miss(&mut self, type_oid: Oid) {
        self.0.entry(type_oid).or_insert(Kind::Unknown);
    }

    /// Returns the base type if the type is a domain, else the type itself.
    pub(crate) fn base(&self, type_oid: Oid) -> Oid {
        let mut base = type_oid;
        // A loop over the base types, because the base type of a domain may be a domain. The server allows no cycle of domains. But the
        // program may have read two domains at different times, and see a cycle that never existed. So the number of steps is limited.
        for _ in 0..100 {
            match self.0.get(&base) {
                Some(Kind::Domain(other)) => base = *other,
                _ => break,
            }
        }
        base
    }

    /// Returns the kind of a type.
    pub(super) fn kind(&self, type_oid: Oid) -> Kind {
        match type_oid {
            oid::INT4RANGE => Kind::Range(oid::INT4),
            oid::INT8RANGE => Kind::Range(oid::INT8),
            oid::NUMRANGE => Kind::Range(oid::NUMERIC),
            oid::DATERANGE => Kind::Range(oid::DATE),
            oid::TSRANGE => Kind::Range(oid::TIMESTAMP),
            oid::TSTZRANGE => Kind::Range(oid::TIMESTAMPTZ),
            oid::INT4MULTIRANGE => Kind::Multirange(oid::INT4),
            oid::INT8MULTIRANGE => Kind::Multirange(oid::INT8),
            oid::NUMMULTIRANGE => Kind::Multirange(oid::NUMERIC),
            oid::DATEMULTIRANGE => Kind::Multirange(oid::DATE),
            oid::TSMULTIRANGE => Kind::Multirange(oid::TIMESTAMP),
            oid::TSTZMULTIRANGE => Kind::Multirange(oid::TIMESTAMPTZ),
            oid::RECORD => Kind::Composite,
            built_in if built_in < FIRST_OF_USERS => match oid::name(built_in) {
                Some(name) if name.starts_with('_') => Kind::Array,
                _ => Kind::Unknown,
            },
            other => self.0.get(&other).copied().unwrap_or(Kind::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_the_form_of_its_base_type() {
        let mut types = Types::default();
        types.add(20_000, "d", "positive", "N", oid::INT4);
        types.add(20_001, "d", "small", "N", 20_000);
        types.add(20_002, "e", "mood", "E", 0);
        assert_eq!(types.base(20_001), oid::INT4);
        assert_eq!(types.kind(20_002), Kind::Text);
        assert_eq!((types.kind(oid::TEXT_ARRAY), types.kind(oid::POINT)), (Kind::Array, Kind::Unknown));
        assert!(types.lacks(20_003) && !types.lacks(20_001) && !types.lacks(oid::POINT));
        types.miss(20_003);
        assert!(!types.lacks(20_003));
    }
}
