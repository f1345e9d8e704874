//! The options that decide which fields are NULL or the default value of a column.

use alloc::boxed::Box;
use alloc::string::String;

use super::error::{CopyError, CopyErrorKind};
use super::options::{CopyOptions, ForceColumns};
use super::row::{Field, Kind};

/// The columns to which an option applies.
#[derive(Clone, Debug)]
pub(super) enum Forced {
    None,
    All,
    /// For each column: whether the option applies.
    Some(Box<[bool]>),
}

impl Forced {
    /// Finds the columns of `option` in the names of all columns.
    pub(super) fn new(
        option: &'static str,
        columns: &ForceColumns,
        names: &[String],
    ) -> Result<Self, CopyError> {
        Ok(match columns {
            ForceColumns::None => Self::None,
            ForceColumns::All => Self::All,
            ForceColumns::Columns(forced) => {
                if let Some(unknown) = forced.iter().find(|name| !names.contains(name)) {
                    let name = unknown.as_str().into();
                    return Err(CopyErrorKind::NoColumnNamed { option, name }.into());
                }
                Self::Some(names.iter().map(|name| forced.contains(name)).collect())
            }
        })
    }

    #[inline(always)]
    pub(super) fn at(&self, column: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(columns) => columns.get(column).copied().unwrap_or_default(),
        }
    }
}

/// The options FORCE_NULL, FORCE_NOT_NULL and DEFAULT of a reader.
#[derive(Clone, Debug)]
pub(super) struct Markers {
    default: Option<Box<[u8]>>,
    force_null: Forced,
    force_not_null: Forced,
}

impl Markers {
    /// Creates the options of a reader. Returns `None` if no option is set.
    pub(super) fn new(options: &CopyOptions, names: &[String]) -> Result<Option<Box<Self>>, CopyError> {
        let force_null = Forced::new("FORCE_NULL", &options.force_null, names)?;
        let force_not_null = Forced::new("FORCE_NOT_NULL", &options.force_not_null, names)?;
        let default = options.default.as_deref().map(|default| default.as_bytes().into());
        if let (Forced::None, Forced::None, None) = (&force_null, &force_not_null, &default) {
            return Ok(None);
        }
        Ok(Some(Box::new(Self { default, force_null, force_not_null })))
    }

    /// Finds the fields that are equal to the string of the option DEFAULT. Precondition: no escapes have been removed, because the server
    /// compares the bytes before it removes escapes. A quoted field is never equal to this string, because the string contains no quote.
    pub(super) fn find_defaults(&self, raw: &[u8], fields: &mut [Field]) {
        let Some(default) = &self.default else { return };
        for field in fields.iter_mut().filter(|field| matches!(field.kind, Kind::Raw | Kind::Escaped)) {
            if raw.get(field.start as usize..field.end as usize) == Some(default) {
                field.kind = Kind::Default;
            }
        }
    }

    /// Applies FORCE_NULL and FORCE_NOT_NULL. Precondition: quotes have been removed.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-PARAMS-FORCE-NOT-NULL)
    pub(super) fn force(&self, raw: &[u8], unescaped: &[u8], null: &[u8], fields: &mut [Field]) {
        for (column, field) in fields.iter_mut().enumerate() {
            let bytes = if field.kind == Kind::Unescaped { unescaped } else { raw };
            let is_like_null = bytes.get(field.start as usize..field.end as usize) == Some(null);
            match field.kind {
                Kind::Raw if is_like_null && self.force_not_null.at(column) => field.kind = Kind::Value,
                Kind::Value | Kind::Unescaped if is_like_null && self.force_null.at(column) => {
                    field.kind = Kind::Null;
                }
                _ => {}
            }
        }
    }
}
