//! The description of a prepared statement.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use super::columns::Columns;
use super::error::{Counted, RowError, ShortName, TypeName};
use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;
use crate::message::backend::{Backend, ParameterDescription, RowDescription};
use crate::param::bindable::{Bindable, WrongType};
use crate::param::params::{Params, VisitParam};

/// The types of a statement's parameters, and the columns of its rows: the reply to a Describe of the statement.
///
/// The description is valid until the statement is closed. A program stores the description together with the name of the statement, checks
/// the parameters before a Bind, and reads the rows with the formats that the Bind requests.
///
/// ```
/// use pg_wire::backend::{FieldDescription, ParameterDescription, RowDescription};
/// use pg_wire::{FormatCode, codec::List, oid, value::StatementDescription};
///
/// let fields = [FieldDescription { name: "half".into(), type_oid: oid::FLOAT8, ..Default::default() }];
/// // `select $1 / 2 as half`
/// let statement = StatementDescription::new(
///     &ParameterDescription { types: List::from(&[oid::FLOAT8]) },
///     Some(&RowDescription { fields: List::from(&fields) }),
/// );
/// assert!(statement.check(&(3.0,)).is_ok());
/// assert_eq!(
///     statement.check(&(3i64,)).unwrap_err().to_string(),
///     "parameter $1 of type float8: an i64 is sent as int8: use another Rust type, or cast the parameter in the statement ($1::int8)",
/// );
/// // The columns of rows in binary format, for a Bind that requests this format.
/// let columns = statement.columns(&[FormatCode::Binary])?;
/// assert_eq!(columns.name(0), Some("half"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StatementDescription {
    parameters: Vec<Oid>,
    columns: Columns,
}

impl StatementDescription {
    /// Creates the description from the reply to a Describe. If `columns` is `None`, the reply was NoData.
    pub fn new(parameters: &ParameterDescription<'_>, columns: Option<&RowDescription<'_>>) -> Self {
        let mut description = Self::default();
        description.follow(&Backend::ParameterDescription(*parameters));
        if let Some(columns) = columns {
            description.follow(&Backend::RowDescription(*columns));
        }
        description
    }

    /// Updates the description from a message of the server. ParameterDescription begins a new description. RowDescription or NoData
    /// completes the description. All other messages are ignored.
    pub fn follow(&mut self, message: &Backend<'_>) {
        match message {
            Backend::ParameterDescription(parameters) => {
                self.parameters.clear();
                self.parameters.extend(parameters.types);
                self.columns = Columns::default();
            }
            Backend::RowDescription(description) => self.columns = Columns::of_any_format(description),
            _ => {}
        }
    }

    /// Returns the types of the parameters, in order.
    pub fn parameters(&self) -> &[Oid] {
        &self.parameters
    }

    /// Returns the columns for rows in the given formats. Pass the result formats of the Bind: an empty list for text, one format for all
    /// columns, or one format for each column.
    ///
    /// # Errors
    /// [`RowError::FormatCount`] when the number of formats is not 0, 1 or the number of columns.
    pub fn columns(&self, formats: &[FormatCode]) -> Result<Columns, RowError> {
        let mut columns = self.columns.clone();
        columns.set_formats(formats)?;
        Ok(columns)
    }

    /// Checks the number and the types of parameters before they are bound. Without this check, the server can read a value in binary
    /// format as another value: see [`Bindable`].
    ///
    /// # Errors
    /// [`ParamsError`], which names the parameter, its type and the Rust type.
    pub fn check(&self, params: &(impl Params + ?Sized)) -> Result<(), ParamsError> {
        struct Check<'a> {
            types: core::iter::Enumerate<core::slice::Iter<'a, Oid>>,
            outcome: Result<(), ParamsError>,
        }
        impl VisitParam for Check<'_> {
            fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
                let Some((index, type_oid)) = self.types.next() else { return };
                if self.outcome.is_ok()
                    && let Err(wrong) = value.check_type(*type_oid)
                {
                    self.outcome = Err(ParamsError::Type { number: index + 1, type_oid: *type_oid, wrong });
                }
            }
        }
        if params.count() != self.parameters.len() {
            return Err(ParamsError::Count { given: params.count(), expected: self.parameters.len() });
        }
        let mut check = Check { types: self.parameters.iter().enumerate(), outcome: Ok(()) };
        params.each(&mut check);
        check.outcome
    }
}

/// Reason why parameters do not fit a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParamsError {
    /// The number of given parameters differs from the number of parameters of the statement.
    Count {
        /// Number of parameters given.
        given: usize,
        /// Number of parameters of the statement.
        expected: usize,
    },
    /// The server would read a parameter as another value, or would reject the parameter.
    Type {
        /// Number of the parameter, counted from 1, as in `$1`.
        number: usize,
        /// Oid of the parameter's type.
        type_oid: Oid,
        /// The Rust type of the value, and the PostgreSQL type in whose binary form the value is sent.
        wrong: WrongType,
    },
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Count { given, expected } => {
                write!(f, "the statement has {}, but {given} were given", Counted(expected, "parameter"))
            }
            Self::Type { number, type_oid, wrong: WrongType { rust_type, sent_as } } => {
                let (expected, sent_as) = (TypeName(type_oid), TypeName(sent_as));
                let article = if rust_type.starts_with('i') { "an" } else { "a" };
                write!(
                    f,
                    "parameter ${number} of type {expected}: {article} {} is sent as {sent_as}: use another Rust type, or cast the \
                     parameter in the statement (${number}::{sent_as})",
                    ShortName(rust_type),
                )
            }
        }
    }
}

impl Error for ParamsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::oid;
    use crate::codec::list::List;
    use crate::value::AsText;
    use alloc::string::{String, ToString};

    fn described(types: &[Oid]) -> StatementDescription {
        StatementDescription::new(&ParameterDescription { types: List::from(types) }, None)
    }

    #[test]
    fn a_value_that_the_server_would_read_as_another_value_is_rejected() {
        let rejected = |type_oid, params: &dyn Bindable| {
            described(&[type_oid]).check(&[params]).expect_err("the type does not fit").to_string()
        };
        let hint = |text: &str| String::from(text);
        assert_eq!(
            rejected(oid::FLOAT8, &1i64),
            hint(
                "parameter $1 of type float8: an i64 is sent as int8: use another Rust type, or cast the parameter in the statement ($1::int8)"
            )
        );
        assert!(rejected(oid::INT8, &1i32).starts_with("parameter $1 of type int8: an i32 is sent as int4"));
        assert!(
            rejected(oid::TEXT, &Some(1i32)).starts_with("parameter $1 of type text: an i32 is sent as int4")
        );
        assert!(
            rejected(oid::TIMESTAMPTZ, &&1i64)
                .starts_with("parameter $1 of type timestamptz: an i64 is sent")
        );
        assert!(rejected(oid::JSONB, &b"{}"[..].to_vec()).contains("a Vec<u8> is sent as bytea"));
    }

    #[test]
    fn values_in_the_form_of_the_type_are_accepted() {
        let types = [oid::INT4, oid::TIMESTAMPTZ, oid::BYTEA, oid::BOOL, oid::REGCLASS, 16_384, oid::INT8];
        let text = AsText::from(1i32);
        let params = (1i32, "2024-01-01", &b"x"[..], true, 1u32, 7i64, text);
        assert_eq!(described(&types).check(&params), Ok(()));
        assert_eq!(described(&[oid::FLOAT8]).check(&(None::<i64>,)), Ok(()));
        let count = described(&types).check(&(1i32,)).expect_err("one of seven").to_string();
        assert_eq!(count, "the statement has 7 parameters, but 1 were given");
    }

    #[test]
    fn the_columns_have_the_formats_of_the_bind() {
        let fields =
            [crate::message::backend::FieldDescription { type_oid: oid::INT4, ..Default::default() }];
        let row = RowDescription { fields: List::from(&fields) };
        let statement = StatementDescription::new(&ParameterDescription { types: List::EMPTY }, Some(&row));
        let format = |formats: &[FormatCode]| {
            statement.columns(formats).map(|columns| columns.get(0).expect("a column").format)
        };
        assert_eq!(format(&[]).expect("text"), FormatCode::Text);
        assert_eq!(format(&[FormatCode::Binary]).expect("binary"), FormatCode::Binary);
        assert!(matches!(
            format(&[FormatCode::Text; 2]),
            Err(RowError::FormatCount { formats: 2, columns: 1 })
        ));
    }
}
