//! Reading whole rows: the trait [`FromRow`], and its implementation for tuples.

use alloc::vec::Vec;

use super::FromValue;
use super::columns::{Columns, Named, Prepared};
use super::error::RowError;
use crate::codec::values::{Values, ValuesIter};
use crate::message::backend::DataRow;

/// A type that reads a whole row: a tuple of 1 to 16 [`FromValue`] types, or a struct with `#[derive(FromRow)]`.
///
/// To implement the trait without the derive macro, read the members in order:
///
/// ```
/// use pg_wire::value::{Fields, FromRow};
///
/// struct Point { x: f64, y: f64 }
///
/// impl<'a> FromRow<'a> for Point {
///     const COUNT: usize = 2;
///
///     fn read<F: Fields<'a>>(fields: &mut F) -> Result<Self, F::Error> {
///         Ok(Self { x: fields.next()?, y: fields.next()? })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a row",
    label = "not a row",
    note = "a row of one column is written `(T,)`",
    note = "a tuple has at most 16 members; a struct with `#[derive(FromRow)]` has any number"
)]
pub trait FromRow<'a>: Sized {
    /// Number of columns that [`read`](Self::read) reads.
    const COUNT: usize;

    /// Names of the columns, in the order in which [`read`](Self::read) reads them: `COUNT` different names. An empty list means that the
    /// columns are read by position. A row that is read by name may have further columns, and the order of its columns does not matter. A
    /// row that is read by position must have exactly `COUNT` columns.
    const NAMES: &'static [&'static str] = &[];

    /// Reads the values in the order of the members. An implementation must return each error of `fields`, because the values after an
    /// error have no meaning.
    ///
    /// # Errors
    /// The error of `fields`.
    fn read<F: Fields<'a>>(fields: &mut F) -> Result<Self, F::Error>;

    /// Checks that the Rust types of the members can read the types of the columns, for [`Columns::prepare`]. If an implementation does not
    /// provide this method, a mismatch is only found when the first row is read.
    ///
    /// # Errors
    /// The error of `types`.
    fn check<C: CheckTypes<'a>>(types: &mut C) -> Result<(), C::Error> {
        let _ = types;
        Ok(())
    }
}

/// The values of a row, for [`FromRow::read`].
pub trait Fields<'a> {
    /// Reason why a value could not be read.
    type Error;

    /// Reads the next value.
    ///
    /// # Errors
    /// When the value cannot be read as a `T`.
    fn next<T: FromValue<'a>>(&mut self) -> Result<T, Self::Error>;
}

/// The types of the columns of a result, for [`FromRow::check`].
pub trait CheckTypes<'a> {
    /// Reason why the values of a column cannot be read.
    type Error;

    /// Checks the type of the next column.
    ///
    /// # Errors
    /// When a `T` cannot read the type or the format of the column.
    fn next<T: FromValue<'a>>(&mut self) -> Result<(), Self::Error>;
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {
        $(impl<'a, $($name: FromValue<'a>),+> FromRow<'a> for ($($name,)+) {
            const COUNT: usize = [$(stringify!($name)),+].len();

            #[inline(always)]
            fn read<Fs: Fields<'a>>(fields: &mut Fs) -> Result<Self, Fs::Error> {
                Ok(($(fields.next::<$name>()?,)+))
            }

            fn check<Ts: CheckTypes<'a>>(types: &mut Ts) -> Result<(), Ts::Error> {
                $(types.next::<$name>()?;)+
                Ok(())
            }
        })*
    };
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O P)
}

/// Whether the names of a [`FromRow`] are consistent with its number of columns: no names, or `count` different names.
const fn is_consistent(count: usize, names: &[&str]) -> bool {
    let mut rest = names;
    while let [name, others @ ..] = rest {
        rest = others;
        let mut later = others;
        while let [other, others @ ..] = later {
            later = others;
            if is_equal(name.as_bytes(), other.as_bytes()) {
                return false;
            }
        }
    }
    names.is_empty() || names.len() == count
}

/// Computes a number that identifies a list of names: FNV-1a with 128 bits.
///
/// The number is used instead of the address of the list, because a `const` list can have more than one address.
const fn fingerprint(names: &[&str]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let (mut hash, mut names) = (OFFSET, names);
    while let [name, others @ ..] = names {
        names = others;
        let mut bytes = name.as_bytes();
        while let [byte, others @ ..] = bytes {
            bytes = others;
            hash = (hash ^ *byte as u128).wrapping_mul(PRIME);
        }
        // 0xff marks the end of a name: UTF-8 does not contain this byte.
        hash = (hash ^ 0xff).wrapping_mul(PRIME);
    }
    hash
}

/// Compares bytes in a `const fn`, in which `==` cannot be used.
const fn is_equal(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([first, rest @ ..], [other, others @ ..]) = (a, b) {
        if *first != *other {
            return false;
        }
        (a, b) = (rest, others);
    }
    a.is_empty() && b.is_empty()
}

/// Fast path: reads the values of a received row in the order of the columns. An error only means that the slow path must read the row.
///
/// The errors of this path contain no reason, so that every result stays in registers.
pub(super) struct InOrder<'c, 'a> {
    /// The columns of the members that have not been read.
    columns: core::slice::Iter<'c, Named>,
    /// Number of columns after the columns of the members.
    further: usize,
    rest: &'a [u8],
}

impl<'c, 'a> InOrder<'c, 'a> {
    /// Creates a reader of the first `members` columns; `None` if there are fewer columns. Precondition: `columns` are the columns of the
    /// row, and `values` are the received bytes of the row after the count.
    #[inline(always)]
    pub(super) fn new(columns: &'c [Named], members: usize, values: &'a [u8]) -> Option<Self> {
        let (columns, further) = columns.split_at_checked(members)?;
        Some(Self { columns: columns.iter(), further: further.len(), rest: values })
    }

    /// Reads the bytes of the next value; `Some(None)` is NULL.
    #[inline(always)]
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.rest.split_first_chunk()?;
        match u32::from_be_bytes(*length) {
            u32::MAX => {
                self.rest = rest;
                Some(None)
            }
            length => {
                let (value, rest) = rest.split_at_checked(length as usize)?;
                self.rest = rest;
                Some(Some(value))
            }
        }
    }

    /// Whether the row is well-formed after the values that were read: each remaining column has a value, and no bytes follow the last
    /// value.
    #[inline(always)]
    pub(super) fn ends_well(mut self) -> bool {
        for _ in 0..self.columns.len() + self.further {
            if self.value().is_none() {
                return false;
            }
        }
        self.rest.is_empty()
    }
}

impl<'a> Fields<'a> for InOrder<'_, 'a> {
    type Error = ();

    #[inline(always)]
    fn next<T: FromValue<'a>>(&mut self) -> Result<T, ()> {
        let named = self.columns.next().ok_or(())?;
        let value = self.value().ok_or(())?;
        match T::from_value_fast(value, named.column) {
            Some(value) => Ok(value),
            None => T::from_value(value, named.column).map_err(drop),
        }
    }
}

/// Slow path: finds each column by its position or its name, and returns the reason of an error.
pub(super) struct Searched<'c, 'a> {
    pub(super) reader: RowReader<'c, 'a>,
    pub(super) members: Members<'c>,
}

impl<'a> Fields<'a> for Searched<'_, 'a> {
    type Error = RowError;

    fn next<T: FromValue<'a>>(&mut self) -> Result<T, RowError> {
        let index = self.members.next_column(self.reader.columns)?;
        self.reader.value(index)
    }
}

/// Checks the types of the columns before a row is received.
pub(super) struct Checked<'c> {
    pub(super) columns: &'c Columns,
    pub(super) members: Members<'c>,
}

impl<'a> CheckTypes<'a> for Checked<'_> {
    type Error = RowError;

    fn next<T: FromValue<'a>>(&mut self) -> Result<(), RowError> {
        let index = self.members.next_column(self.columns)?;
        let columns = self.columns.len();
        let column = self.columns.get(index).ok_or(RowError::NoColumn { index, columns })?;
        T::check(column).map_err(|mismatch| self.columns.error::<T>(index, mismatch))
    }
}

/// The columns of the members of a [`FromRow`], in the order of the members.
pub(super) struct Members<'c> {
    names: &'static [&'static str],
    /// Indexes of the columns, if [`Columns::prepare`] has stored them. Otherwise each column is searched by its name.
    order: Option<&'c [usize]>,
    next: usize,
}

impl<'c> Members<'c> {
    pub(super) fn new(names: &'static [&'static str], order: Option<&'c [usize]>) -> Self {
        Self { names, order, next: 0 }
    }

    /// Returns the index of the column of the next member.
    pub(super) fn next_column(&mut self, columns: &Columns) -> Result<usize, RowError> {
        let member = self.next;
        self.next += 1;
        match (self.order, self.names.get(member)) {
            (Some(order), _) => order.get(member).copied().ok_or(RowError::Members),
            (None, Some(name)) => columns.position(name).ok_or(RowError::NoColumnNamed { name }),
            (None, None) if self.names.is_empty() => Ok(member),
            (None, None) => Err(RowError::Members),
        }
    }
}

impl Columns {
    /// Reads a whole row: `let (id, name): (i32, &str) = columns.decode(&row)?`. See [the module](crate::value) for a complete example.
    ///
    /// # Errors
    /// See [`RowError`].
    // Always inlined, and the slow path takes the row by value. So neither the row nor the result has an address, and the compiler keeps
    // both in registers. With an address, the row would be stored in memory in small parts and loaded in larger parts. Such a load waits
    // for the stores, because store forwarding fails. This would cost 20 ns for each row.
    #[inline(always)]
    pub fn decode<'a, R: FromRow<'a>>(&self, row: &DataRow<'a>) -> Result<R, RowError> {
        match self.decode_in_order(row) {
            Some(value) => Ok(value),
            None => self.decode_searched(*row),
        }
    }

    /// Fast path of [`decode`](Self::decode), for an `R` whose members are the first columns of a received row. Returns `None` if the slow
    /// path must read the row.
    #[inline(always)]
    fn decode_in_order<'a, R: FromRow<'a>>(&self, row: &DataRow<'a>) -> Option<R> {
        let columns = self.of_rows()?;
        let (count, values) = row.values.as_received()?.split_first_chunk()?;
        if usize::from(u16::from_be_bytes(*count)) != columns.len() {
            return None;
        }
        let is_sound = const { is_consistent(R::COUNT, R::NAMES) };
        let fits = if R::NAMES.is_empty() {
            columns.len() == R::COUNT
        } else {
            is_sound && self.begins_with(R::NAMES, const { fingerprint(R::NAMES) })
        };
        if !fits {
            return None;
        }
        let mut fields = InOrder::new(columns, R::COUNT, values)?;
        let value = R::read(&mut fields).ok()?;
        fields.ends_well().then_some(value)
    }

    /// Whether the first columns have these names, in this order.
    #[inline]
    fn begins_with(&self, names: &'static [&'static str], fingerprint: u128) -> bool {
        if self.prepared.fingerprint == fingerprint {
            return self.prepared.in_order;
        }
        self.names().take(names.len()).eq(names.iter().copied())
    }

    /// Slow path of [`decode`](Self::decode): finds the columns by name, and returns the reason of an error.
    #[inline(never)]
    fn decode_searched<'a, R: FromRow<'a>>(&self, row: DataRow<'a>) -> Result<R, RowError> {
        let reader = self.read(&row)?;
        self.check_members::<R>()?;
        let mut fields = Searched { reader, members: self.members::<R>() };
        let value = R::read(&mut fields)?;
        fields.reader.finish()?;
        Ok(value)
    }

    /// Checks that `R::COUNT` fits `R::NAMES`. If `R` is read by position, also checks that the row has `R::COUNT` columns.
    fn check_members<'a, R: FromRow<'a>>(&self) -> Result<(), RowError> {
        let is_sound = const { is_consistent(R::COUNT, R::NAMES) };
        if !is_sound {
            return Err(RowError::Members);
        }
        if R::NAMES.is_empty() && R::COUNT != self.len() {
            return Err(RowError::Width { wanted: R::COUNT, columns: self.len() });
        }
        Ok(())
    }

    fn members<'a, R: FromRow<'a>>(&self) -> Members<'_> {
        let is_prepared = self.prepared.fingerprint == const { fingerprint(R::NAMES) };
        Members::new(R::NAMES, is_prepared.then_some(&self.prepared.order))
    }

    /// Checks that rows of these columns can be read as an `R`. Checks the number, the names and the types of the columns. Call this method
    /// once for each result, to find a mismatch before the first row.
    ///
    /// For an `R` that is read by name, the method also stores which column belongs to which member. Without this call, the names are
    /// searched for each row. Only the result of the last call is stored, and a new RowDescription drops this result.
    ///
    /// ```
    /// use pg_wire::{FormatCode, backend::{FieldDescription, RowDescription}, codec::List, oid, value::Columns};
    ///
    /// let fields = [FieldDescription { name: "at".into(), type_oid: oid::TIMESTAMPTZ, format: FormatCode::Binary, ..Default::default() }];
    /// let mut columns = Columns::of_portal(&RowDescription { fields: List::from(&fields) });
    /// let error = columns.prepare::<(&str,)>().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "column 0 \"at\" of type timestamptz in binary format: the value is not a string: request text format, or use `Sql<T>`",
    /// );
    /// ```
    ///
    /// # Errors
    /// - [`RowError::Width`], [`RowError::NoColumnNamed`] or [`RowError::Value`] when the columns do not fit `R`.
    /// - [`RowError::Formats`] when the columns describe a statement, and no formats have been set.
    pub fn prepare<'a, R: FromRow<'a>>(&mut self) -> Result<(), RowError> {
        self.prepared = Prepared::default();
        if self.needs_formats() {
            return Err(RowError::Formats);
        }
        self.check_members::<R>()?;
        let mut members = Members::new(R::NAMES, None);
        let order = (0..R::COUNT).map(|_| members.next_column(self)).collect::<Result<Vec<_>, _>>()?;
        R::check(&mut Checked { columns: self, members: Members::new(R::NAMES, Some(&order)) })?;
        if !R::NAMES.is_empty() {
            let in_order = order.iter().copied().eq(0..R::COUNT);
            self.prepared = Prepared { fingerprint: const { fingerprint(R::NAMES) }, in_order, order };
        }
        Ok(())
    }

    /// Reads the value of one column. The time is proportional to `index`. To read many columns of one row, use [`read`](Self::read).
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn value<'a, T: FromValue<'a>>(&self, row: &DataRow<'a>, index: usize) -> Result<T, RowError> {
        self.read(row)?.value(index)
    }

    /// Returns a reader for the values of a row. If the columns are read in ascending order, each value of the row is visited only once.
    ///
    /// # Errors
    /// [`RowError::Undescribed`], [`RowError::Count`] and [`RowError::Formats`].
    pub fn read<'a>(&self, row: &DataRow<'a>) -> Result<RowReader<'_, 'a>, RowError> {
        self.check_formats(row)?;
        Ok(RowReader { columns: self, values: row.values, rest: row.values.iter(), at: 0 })
    }
}

/// Reads the values of a row one by one. [`Columns::read`] returns this reader.
#[derive(Clone, Debug)]
pub struct RowReader<'c, 'a> {
    columns: &'c Columns,
    values: Values<'a>,
    rest: ValuesIter<'a>,
    /// Index of the column whose value `rest` returns next.
    at: usize,
}

impl<'a> RowReader<'_, 'a> {
    /// Reads the value of the column at `index`, counted from 0. If `index` is after the column that was read last, the search continues
    /// after that column. Otherwise the search begins at the first value.
    ///
    /// # Errors
    /// [`RowError::NoColumn`], [`RowError::Damaged`] and [`RowError::Value`].
    pub fn value<T: FromValue<'a>>(&mut self, index: usize) -> Result<T, RowError> {
        let Some(column) = self.columns.get(index) else {
            return Err(RowError::NoColumn { index, columns: self.columns.len() });
        };
        if index < self.at {
            (self.rest, self.at) = (self.values.iter(), 0);
        }
        let value = self.rest.nth(index - self.at);
        self.at = index + 1;
        let Some(value) = value else {
            // There is no value at this index, although `Columns::read` has checked the number of values. So an earlier value is malformed.
            self.values.validate()?;
            return Err(RowError::NoColumn { index, columns: self.columns.len() });
        };
        T::from_value(value?, column).map_err(|mismatch| self.columns.error::<T>(index, mismatch))
    }

    /// Reads the value of the first column with this name. Each call searches the names. To search the names only once for each result, use
    /// `#[derive(FromRow)]` with [`Columns::prepare`].
    ///
    /// # Errors
    /// [`RowError::NoColumnNamed`], [`RowError::Damaged`] and [`RowError::Value`].
    pub fn value_named<T: FromValue<'a>>(&mut self, name: &'static str) -> Result<T, RowError> {
        let index = self.columns.position(name).ok_or(RowError::NoColumnNamed { name })?;
        self.value(index)
    }

    /// Reads all remaining values, and checks that no bytes follow the last value.
    pub(super) fn finish(mut self) -> Result<(), RowError> {
        self.rest.try_for_each(|value| value.map(drop)).map_err(RowError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::enums::FormatCode;
    use crate::basic::oid::{self, Oid};
    use crate::codec::list::List;
    use crate::codec::message::Decode;
    use crate::message::backend::{
        Backend, BindComplete, CommandComplete, FieldDescription, NoData, ParameterDescription,
        RowDescription,
    };
    use alloc::string::ToString;
    use alloc::vec;

    fn field(name: &str, type_oid: Oid, format: FormatCode) -> FieldDescription<'_> {
        FieldDescription { name: name.into(), type_oid, format, ..Default::default() }
    }

    fn columns() -> Columns {
        let fields = [field("id", oid::INT8, FormatCode::Binary), field("name", oid::TEXT, FormatCode::Text)];
        Columns::of_portal(&RowDescription { fields: List::from(&fields) })
    }

    fn row<'a>(values: &'a [Option<&'a [u8]>]) -> DataRow<'a> {
        DataRow { values: Values::from(values) }
    }

    const ONE: Option<&[u8]> = Some(b"\0\0\0\0\0\0\0\x01");

    #[test]
    fn an_error_contains_the_index_and_the_name_of_the_column() {
        let values = [Some(&b"\0\0\x01\0\0\0\0\0"[..]), None];
        let (row, columns) = (row(&values), columns());
        let error = columns.decode::<(i32, Option<&str>)>(&row).expect_err("2^40 is no i32");
        assert_eq!(
            error.to_string(),
            "column 0 \"id\" of type int8 in binary format: the value does not fit an i32: use a type with a larger range"
        );
        let error = columns.decode::<(i64, &str)>(&row).expect_err("the value is NULL");
        assert_eq!(error.to_string(), "column 1 \"name\" of type text: the value is NULL: use Option<&str>");
        assert_eq!(columns.decode::<(i64, Option<&str>)>(&row).expect("both fit"), (1 << 40, None));
        assert_eq!(columns.value::<i64>(&row, 0).expect("it fits"), 1 << 40);
        assert_eq!(columns.names().collect::<Vec<_>>(), ["id", "name"]);
        assert_eq!((columns.position("name"), columns.position("Name")), (Some(1), None));
    }

    #[test]
    fn an_error_contains_the_number_of_values_and_of_columns() {
        let values = [ONE, Some(b"x"), None];
        let message = |outcome: Result<(), RowError>| outcome.expect_err("the counts differ").to_string();
        let columns = columns();
        for (count, error) in [
            (0, "the row has 0 values but the RowDescription has 2 columns"),
            (1, "the row has 1 value but the RowDescription has 2 columns"),
            (3, "the row has 3 values but the RowDescription has 2 columns"),
        ] {
            let row = row(&values[..count]);
            assert_eq!(message(columns.check(&row)), error);
            assert_eq!(message(columns.decode::<(i64, &str)>(&row).map(drop)), error);
            assert_eq!(message(columns.value::<i64>(&row, 0).map(drop)), error);
        }
        let row = row(&values[..2]);
        let narrow = columns.decode::<(i64,)>(&row).map(drop);
        assert_eq!(message(narrow), "the row has 2 columns but the requested type reads 1 column");
        let wide = columns.decode::<(i64, &str, &str)>(&row).map(drop);
        assert_eq!(message(wide), "the row has 2 columns but the requested type reads 3 columns");
        let beyond = columns.value::<i64>(&row, 9).map(drop);
        assert_eq!(message(beyond), "there is no column 9: the row has 2 columns");
    }

    #[test]
    fn a_value_after_a_malformed_value_is_an_error_of_the_row() {
        let row = DataRow::decode(b"\0\x02\0\0\0\x09\0").expect("decoding does not read the values");
        assert!(matches!(columns().value::<&str>(&row, 1), Err(RowError::Damaged(_))));
        let values = [ONE, None];
        let row = DataRow { values: Values::from(&values) };
        let columns = columns();
        let mut reader = columns.read(&row).expect("two values");
        assert!(matches!(reader.value::<i64>(usize::MAX), Err(RowError::NoColumn { .. })));
        assert_eq!(reader.value::<i64>(0).expect("the reader is still usable"), 1);
    }

    /// Defines a row type with the given `COUNT` and `NAMES`. The type always reads two values.
    macro_rules! two_values {
        ($name:ident, $count:literal, $names:expr) => {
            #[derive(Debug)]
            #[allow(dead_code, reason = "only reading is tested")]
            struct $name<'a>(i64, &'a str);
            impl<'a> FromRow<'a> for $name<'a> {
                const COUNT: usize = $count;
                const NAMES: &'static [&'static str] = $names;
                fn read<F: Fields<'a>>(fields: &mut F) -> Result<Self, F::Error> {
                    Ok(Self(fields.next()?, fields.next()?))
                }
            }
        };
    }

    #[test]
    fn a_type_with_a_wrong_count_or_a_name_twice_is_rejected() {
        two_values!(Twice, 2, &["id", "id"]);
        two_values!(CountTooSmall, 1, &["id", "name"]);
        two_values!(NamesTooFew, 1, &["id"]);
        two_values!(Sound, 2, &["id", "name"]);
        let wire = DataRow::decode(b"\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\x01x").expect("a row");
        let values = [ONE, Some(&b"x"[..])];
        for row in [wire, row(&values)] {
            let mut columns = columns();
            assert!(matches!(columns.decode::<Twice<'_>>(&row), Err(RowError::Members)));
            assert!(matches!(columns.prepare::<Twice<'_>>(), Err(RowError::Members)));
            assert!(matches!(columns.decode::<CountTooSmall<'_>>(&row), Err(RowError::Members)));
            assert!(matches!(columns.prepare::<CountTooSmall<'_>>(), Err(RowError::Members)));
            assert!(matches!(columns.decode::<NamesTooFew<'_>>(&row), Err(RowError::Members)));
            assert!(columns.decode::<Sound<'_>>(&row).is_ok());
        }
    }

    #[test]
    fn types_are_not_checked_before_the_formats_are_known() {
        let mut columns = described(true);
        assert!(matches!(columns.prepare::<(i32,)>(), Err(RowError::Formats)));
        columns.set_formats(&[]).expect("text");
        columns.prepare::<(i32,)>().expect("an int4");
    }

    #[test]
    fn bytes_after_the_last_value_are_an_error() {
        let row = DataRow::decode(b"\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\x01xy")
            .expect("decoding does not read the values");
        let error = columns().decode::<(i64, &str)>(&row).expect_err("one byte is left over");
        assert!(matches!(error, RowError::Damaged(_)), "{error}");
    }

    #[test]
    fn the_values_of_a_statement_are_read_in_the_result_formats_of_its_bind() {
        let fields = [field("a", oid::INT4, FormatCode::Text), field("b", oid::INT4, FormatCode::Text)];
        let description = RowDescription { fields: List::from(&fields) };
        let values = [Some(&b"1234"[..]), Some(b"1234")];
        let row = row(&values);
        let read = |formats: &[FormatCode]| {
            let columns = Columns::of_statement(&description, formats).expect("formats for two columns");
            columns.decode::<(i32, i32)>(&row).expect("four bytes, or four digits")
        };
        use FormatCode::{Binary, Text};
        assert_eq!(read(&[]), (1234, 1234));
        assert_eq!(read(&[Binary]), (825_373_492, 825_373_492));
        assert_eq!(read(&[Text, Binary]), (1234, 825_373_492));
        let error = Columns::of_statement(&description, &[Text; 3]).expect_err("three formats");
        let expected = "3 result formats for 2 columns: expected none, one, or one for each column";
        assert_eq!(error.to_string(), expected);
    }

    /// Returns the `Columns` after a RowDescription with one column of type int4 in text format. If `of_statement` is true, a
    /// ParameterDescription precedes the RowDescription.
    fn described(of_statement: bool) -> Columns {
        let mut columns = Columns::default();
        if of_statement {
            let parameters = ParameterDescription { types: List::EMPTY };
            columns.follow(&Backend::ParameterDescription(parameters)).expect("no row");
        }
        let fields = [field("a", oid::INT4, FormatCode::Text)];
        let description = RowDescription { fields: List::from(&fields) };
        columns.follow(&Backend::RowDescription(description)).expect("no row");
        columns
    }

    #[test]
    fn reading_a_row_with_unknown_formats_is_an_error() {
        let values = [Some(&b"1234"[..])];
        let row = row(&values);
        let mut columns = described(true);
        columns.follow(&Backend::BindComplete(BindComplete {})).expect("no row");
        columns.follow(&Backend::DataRow(row)).expect("one value for one column");
        assert!(matches!(columns.decode::<(i32,)>(&row), Err(RowError::Formats)));
        assert!(matches!(columns.value::<&str>(&row, 0), Err(RowError::Formats)));
        columns.set_formats(&[FormatCode::Binary]).expect("one format");
        assert_eq!(columns.decode::<(i32,)>(&row).expect("four bytes"), (825_373_492,));
        assert_eq!(described(false).decode::<(i32,)>(&row).expect("four digits"), (1234,));
    }

    #[test]
    fn a_row_without_a_description_of_its_result_is_rejected() {
        let values = [Some(&b"1"[..])];
        let row = Backend::DataRow(row(&values));
        let undescribed = |columns: &mut Columns| {
            let error = columns.follow(&row).expect_err("the row has no RowDescription");
            assert_eq!(error.to_string(), "the row has 1 value but no RowDescription was received");
        };
        undescribed(&mut Columns::default());

        let mut columns = described(false);
        columns.follow(&row).expect("one value for one column");
        columns
            .follow(&Backend::CommandComplete(CommandComplete { tag: "SELECT 1".into() }))
            .expect("no row");
        undescribed(&mut columns);
        // A BindComplete begins the result of a second portal of the same statement.
        columns.follow(&Backend::BindComplete(BindComplete {})).expect("no row");
        columns.follow(&row).expect("one value for one column");

        columns.follow(&Backend::NoData(NoData {})).expect("no row");
        let error = columns.follow(&row).expect_err("no columns");
        assert_eq!(error.to_string(), "the row has 1 value but the RowDescription has 0 columns");
    }

    #[test]
    fn the_type_of_a_column_can_be_replaced() {
        const ENUM: Oid = 16_384;
        let fields = [field("mood", ENUM, FormatCode::Binary)];
        let mut columns = Columns::of_portal(&RowDescription { fields: List::from(&fields) });
        let values = [Some(&b"happy"[..])];
        let row = row(&values);
        let error = columns.decode::<(&str,)>(&row).expect_err("the type is not known");
        assert_eq!(
            error.to_string(),
            "column 0 \"mood\" of type 16384 in binary format: the value is not a string: request text format, or use `Sql<T>`"
        );
        columns.set_type(0, oid::TEXT).expect("there is a column 0");
        assert_eq!(columns.decode::<(&str,)>(&row).expect("text"), ("happy",));
        assert!(matches!(columns.set_type(1, oid::TEXT), Err(RowError::NoColumn { index: 1, columns: 1 })));
    }

    /// Checks the values and the running time. If the search for each value began at the first value, this test would take many minutes.
    #[test]
    fn each_value_of_a_row_with_65535_columns_is_visited_once() {
        const MAX: usize = u16::MAX as usize;
        let fields = vec![field("n", oid::INT4, FormatCode::Text); MAX];
        let columns = Columns::of_portal(&RowDescription { fields: List::from(&fields[..]) });
        let values = vec![Some(&b"7"[..]); MAX];
        let mut body = Vec::from([0xff, 0xff]);
        body.extend_from_slice(&b"\0\0\0\x017".repeat(MAX));
        let wire = DataRow::decode(&body).expect("a row");
        for row in [row(&values), wire] {
            for _ in 0..4 {
                let mut reader = columns.read(&row).expect("as many values as columns");
                let sum: usize =
                    (0..MAX).map(|index| reader.value::<i32>(index).expect("a number") as usize).sum();
                assert_eq!(sum, 7 * MAX);
            }
        }
        let mut reader = columns.read(&wire).expect("as many values as columns");
        for index in [9, 3, 3, MAX - 1, 0] {
            assert_eq!(reader.value::<i32>(index).expect("a number"), 7);
        }
        assert!((0..MAX).all(|index| columns.get(index).is_some() && columns.name(index) == Some("n")));
    }
}
