//! Type and format of a column.

use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;

/// Type and format of a column. Both are needed to read a value of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Oid of the type; 0 if the type is unknown. If the type is unknown, only the length of a binary value is checked.
    pub type_oid: Oid,
    /// Format of the column's values.
    pub format: FormatCode,
}
