//! The trait of values that can be sent, and its implementations for the types of the standard library.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::basic::enums::FormatCode;
use crate::basic::oid::{self, Oid};
use crate::param::bound::{Bound, Written, write_null};

/// A value that can be a parameter of a statement or an argument of a function.
///
/// | Rust | PostgreSQL | format |
/// | --- | --- | --- |
/// | `bool` | `bool` | binary |
/// | `i16`, `i32`, `i64` | `int2`, `int4`, `int8` | binary |
/// | `u32` | `oid` | binary |
/// | `f32`, `f64` | `float4`, `float8` | binary |
/// | `str`, `String`, `Cow<str>` | any type, in its text form | text |
/// | `[u8]`, `Vec<u8>`, `Bytes` | `bytea` | binary |
/// | `uuid::Uuid` | `uuid` | binary |
/// | `Option<T>` | the types of `T`; `None` is NULL | the format of `T` |
/// | [`AsText`](crate::value::AsText) | any of the types above | text |
///
/// A binary value must be in the binary form of the parameter's type. The server cannot check the form, because the message contains only
/// the length and the bytes. The server rejects an `i32` for an `int8`, because the length differs. But the server reads an `i64` for a
/// `float8`, for a `timestamp` or for an untyped `$1` (which is `text`) as **another value**. If the statement does not make the type
/// obvious, cast (`$1::int4`), name the type with [`ParseBuilder::param_types`](crate::client::ParseBuilder::param_types), or bind text.
/// With the description of the statement, [`StatementDescription::check`](crate::value::StatementDescription::check) finds such a value
/// before it is sent.
///
/// To bind a type of your own, return the bytes of the value from [`bound`](Self::bound): 1, 2, 4, 8 or 16 bytes by value; any other number
/// of bytes as a borrowed slice.
///
/// ```
/// use pg_wire::{Bindable, Bound};
///
/// /// A `point`: two float8.
/// struct Point { x: f64, y: f64 }
///
/// impl Bindable for Point {
///     fn bound(&self) -> Bound<'_> {
///         let mut bytes = [0; 16];
///         bytes[..8].copy_from_slice(&self.x.to_be_bytes());
///         bytes[8..].copy_from_slice(&self.y.to_be_bytes());
///         Bound::from(bytes)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a statement",
    note = "values of different types are a tuple `(a, b)` or `params![a, b]`",
    note = "types that can be bound are listed at `Bindable`; PostgreSQL has no unsigned `int8`: use an `i64`",
    note = "a type with `postgres_types::ToSql` is bound as `SqlParam` (feature `postgres-types`)"
)]
pub trait Bindable {
    /// Returns the value in the form in which it is sent. This method is called more than once for each message, and must return the same
    /// value each time.
    fn bound(&self) -> Bound<'_>;

    /// Checks that the server can read the encoded value as a value of the PostgreSQL type `type_oid`, which is the type of a parameter. A
    /// value in text format is accepted for every type. Types that are not built into PostgreSQL are not checked. An example is a domain: a
    /// domain has its own oid, but its values are encoded like the values of its base type.
    ///
    /// [`StatementDescription::check`](crate::value::StatementDescription::check) calls this method for each parameter. The default accepts
    /// every type.
    ///
    /// # Errors
    /// [`WrongType`] when the server would read the bytes as another value, or would reject the bytes.
    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        let _ = type_oid;
        Ok(())
    }

    /// Returns the format of the value; `None` for NULL. Implementations need not provide this method.
    #[doc(hidden)]
    #[inline]
    fn format(&self) -> Option<FormatCode> {
        self.bound().format()
    }

    /// Writes the value to the beginning of `room`, and returns the number of bytes. The value has the form of a value in a Bind: Int32
    /// length (-1 for NULL) and the bytes. Implementations need not provide this method.
    ///
    /// For a `dyn Bindable`, this method is faster than [`bound`](Self::bound). This method stores only the bytes of the value, and `bound`
    /// would store a whole [`Bound`] first.
    #[doc(hidden)]
    #[inline]
    fn write_to(&self, room: &mut [u8]) -> Written {
        self.bound().write_to(room)
    }
}

/// Error for a value that the server would read incorrectly: the PostgreSQL type of the value is not the type of its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType {
    /// Name of the Rust type.
    pub rust_type: &'static str,
    /// Oid of the PostgreSQL type in whose binary form the value is sent.
    pub sent_as: Oid,
}

/// Lowest oid that PostgreSQL assigns automatically. The type with such an oid can differ between servers, for example a domain of
/// `information_schema`. Types with a lower oid are the same on every server, so their binary forms are known.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT)
const FIRST_ASSIGNED_OID: Oid = 10_000;

/// Checks that a value of the Rust type `T` can be sent for a parameter of the type `type_oid`. `forms` are the built-in types that have
/// the binary form of a `T`, for example `oid` and `regclass` for a `u32`.
pub(crate) fn check<T>(type_oid: Oid, forms: &[Oid]) -> Result<(), WrongType> {
    if type_oid >= FIRST_ASSIGNED_OID || forms.contains(&type_oid) {
        return Ok(());
    }
    Err(WrongType { rust_type: core::any::type_name::<T>(), sent_as: forms.first().copied().unwrap_or(0) })
}

macro_rules! bind_number {
    ($($type:ty: $forms:expr),* $(,)?) => {
        $(impl Bindable for $type {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                Bound::from(self.to_be_bytes())
            }
            fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
                check::<Self>(type_oid, $forms)
            }
        })*
    };
}

bind_number! {
    i16: &[oid::INT2],
    i32: &[oid::INT4],
    i64: &[oid::INT8],
    u32: oid::UNSIGNED,
    f32: &[oid::FLOAT4],
    f64: &[oid::FLOAT8],
}

impl Bindable for bool {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        Bound::from([u8::from(*self)])
    }
    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        check::<Self>(type_oid, &[oid::BOOL])
    }
}

#[cfg(feature = "uuid")]
impl Bindable for uuid::Uuid {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        Bound::from(*self.as_bytes())
    }
    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        check::<Self>(type_oid, &[oid::UUID])
    }
}

macro_rules! bind_text {
    ($($type:ty),*) => {
        $(impl Bindable for $type {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                Bound::text(self)
            }
        })*
    };
}

bind_text!(str, String);

macro_rules! bind_bytes {
    ($($type:ty),*) => {
        $(impl Bindable for $type {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                Bound::binary(self)
            }
            fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
                check::<Vec<u8>>(type_oid, &[oid::BYTEA])
            }
        })*
    };
}

bind_bytes!([u8], Vec<u8>, bytes::Bytes);

impl Bindable for Cow<'_, str> {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        Bound::text(self.as_bytes())
    }
}

impl<const N: usize> Bindable for [u8; N] {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        Bound::binary(self)
    }
    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        self.as_slice().check_type(type_oid)
    }
}

macro_rules! bind_through {
    ($($pointer:ty),*) => {
        $(impl<T: Bindable + ?Sized> Bindable for $pointer {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                (**self).bound()
            }
            fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
                (**self).check_type(type_oid)
            }
            #[inline(always)]
            fn format(&self) -> Option<FormatCode> {
                (**self).format()
            }
            #[inline(always)]
            fn write_to(&self, room: &mut [u8]) -> Written {
                (**self).write_to(room)
            }
        })*
    };
}

bind_through!(&T, Box<T>);

impl<T: Bindable> Bindable for Option<T> {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        match self {
            Some(value) => value.bound(),
            None => Bound::NULL,
        }
    }
    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        self.as_ref().map_or(Ok(()), |value| value.check_type(type_oid))
    }
    #[inline(always)]
    fn format(&self) -> Option<FormatCode> {
        self.as_ref().and_then(T::format)
    }
    #[inline(always)]
    fn write_to(&self, room: &mut [u8]) -> Written {
        match self {
            Some(value) => value.write_to(room),
            None => write_null(room),
        }
    }
}

impl Bindable for Bound<'_> {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        *self
    }
}
