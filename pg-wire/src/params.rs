//! Values on their way to the server.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::EncodeErrorKind;
use crate::field::FormatCode;
use crate::put::Put;
use crate::values::{write_count, write_value};

/// A value as it goes on the wire: its bytes, or NULL, and their format. What a [`Bindable`] gives.
///
/// Up to 16 bytes travel inside it; longer ones are borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    format: FormatCode,
    repr: Repr<'a>,
}

/// Fixed sizes, so that copying one is a store and not a call.
#[derive(Clone, Copy, Debug)]
enum Repr<'a> {
    Null,
    One(Aligned<1>),
    Two(Aligned<2>),
    Four(Aligned<4>),
    Eight(Aligned<8>),
    Sixteen(Aligned<16>),
    Borrowed(&'a [u8]),
}

/// Away from the byte that tells the size: what a store has written in one piece can then be loaded in one.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

impl<'a> Bound<'a> {
    /// NULL, which fits every format.
    pub const NULL: Bound<'static> = Bound { format: FormatCode::Text, repr: Repr::Null };

    /// A value in its type's text form.
    #[inline]
    pub fn text(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { format: FormatCode::Text, repr: Repr::Borrowed(text.as_ref()) }
    }

    /// A value in its type's binary form.
    #[inline]
    pub fn binary(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { format: FormatCode::Binary, repr: Repr::Borrowed(bytes.as_ref()) }
    }

    #[inline]
    fn fixed(repr: Repr<'a>) -> Self {
        Self { format: FormatCode::Binary, repr }
    }

    /// The bytes; `None` is NULL.
    #[inline]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.repr {
            Repr::Null => None,
            Repr::One(Aligned(bytes)) => Some(bytes),
            Repr::Two(Aligned(bytes)) => Some(bytes),
            Repr::Four(Aligned(bytes)) => Some(bytes),
            Repr::Eight(Aligned(bytes)) => Some(bytes),
            Repr::Sixteen(Aligned(bytes)) => Some(bytes),
            Repr::Borrowed(bytes) => Some(bytes),
        }
    }

    /// The format of the bytes; `None` for NULL, which has none of its own.
    #[inline]
    pub fn format(&self) -> Option<FormatCode> {
        if matches!(self.repr, Repr::Null) { None } else { Some(self.format) }
    }

    #[inline(always)]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        // An arm for each size: inlined, the length is a constant.
        match &self.repr {
            Repr::Null => write_value(None, out),
            Repr::One(Aligned(bytes)) => write_value(Some(bytes), out),
            Repr::Two(Aligned(bytes)) => write_value(Some(bytes), out),
            Repr::Four(Aligned(bytes)) => write_value(Some(bytes), out),
            Repr::Eight(Aligned(bytes)) => write_value(Some(bytes), out),
            Repr::Sixteen(Aligned(bytes)) => write_value(Some(bytes), out),
            Repr::Borrowed(bytes) => write_value(Some(bytes), out),
        }
    }
}

macro_rules! fixed {
    ($($size:literal $variant:ident),*) => {
        $(impl From<[u8; $size]> for Bound<'_> {
            /// A value in its type's binary form.
            #[inline]
            fn from(bytes: [u8; $size]) -> Self {
                Self::fixed(Repr::$variant(Aligned(bytes)))
            }
        })*
    };
}

fixed!(1 One, 2 Two, 4 Four, 8 Eight, 16 Sixteen);

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
/// | `Option<T>` | as `T`, or NULL | |
/// | [`AsText`](crate::value::AsText) | any of the types above | text |
///
/// The binary form has to be the one of the parameter's type, and nobody checks that: the server sees only how long a value
/// is. It refuses an `i32` for an `int8`, but it reads an `i64` for a `float8`, for a `timestamp` or for an untyped `$1` (which
/// is `text`) as **something else**. Where the type is not plain from the statement, cast (`$1::int4`), name it with
/// [`ParseBuilder::param_types`](crate::ParseBuilder::param_types), or bind text.
///
/// To bind a type of your own, give its bytes: on the spot up to 16 of them, borrowed beyond.
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
pub trait Bindable {
    /// The value as it goes on the wire. Called more than once for each message, and has to say the same each time.
    fn bound(&self) -> Bound<'_>;
}

macro_rules! bind_number {
    ($($type:ty),*) => {
        $(impl Bindable for $type {
            #[inline]
            fn bound(&self) -> Bound<'_> {
                Bound::from(self.to_be_bytes())
            }
        })*
    };
}

bind_number!(i16, i32, i64, u32, f32, f64);

impl Bindable for bool {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        Bound::from([u8::from(*self)])
    }
}

#[cfg(feature = "uuid")]
impl Bindable for uuid::Uuid {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        Bound::from(*self.as_bytes())
    }
}

macro_rules! bind_bytes {
    ($($form:ident $type:ty),*) => {
        $(impl Bindable for $type {
            #[inline]
            fn bound(&self) -> Bound<'_> {
                Bound::$form(self)
            }
        })*
    };
}

bind_bytes!(text str, text String, binary [u8], binary Vec<u8>, binary bytes::Bytes);

impl Bindable for Cow<'_, str> {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        Bound::text(self.as_bytes())
    }
}

impl<const N: usize> Bindable for [u8; N] {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        Bound::binary(self)
    }
}

impl<T: Bindable + ?Sized> Bindable for &T {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        (**self).bound()
    }
}

impl<T: Bindable + ?Sized> Bindable for Box<T> {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        (**self).bound()
    }
}

impl<T: Bindable> Bindable for Option<T> {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        match self {
            Some(value) => value.bound(),
            None => Bound::NULL,
        }
    }
}

impl Bindable for Bound<'_> {
    #[inline]
    fn bound(&self) -> Bound<'_> {
        *self
    }
}

/// The parameters of one Bind, the arguments of one function call.
///
/// A tuple of up to 16 [`Bindable`]s, whose formats and sizes the compiler knows, or a slice, an array or a `Vec` of
/// them; `&[&dyn Bindable]` and [`params!`](crate::params) for mixed types known at run time only. `()` for none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parameters of a statement",
    note = "a single parameter is written `(value,)`, and none is `()`",
    note = "values that can be bound are listed at `Bindable`; PostgreSQL has no unsigned `int8`: use an `i64`"
)]
pub trait Params {
    /// Hands each to `visit`, in order.
    fn each(&self, visit: impl FnMut(Bound<'_>));
}

impl<T: Bindable> Params for [T] {
    #[inline]
    fn each(&self, mut visit: impl FnMut(Bound<'_>)) {
        for value in self {
            visit(value.bound());
        }
    }
}

impl<T: Bindable, const N: usize> Params for [T; N] {
    #[inline]
    fn each(&self, visit: impl FnMut(Bound<'_>)) {
        self.as_slice().each(visit);
    }
}

impl<T: Bindable> Params for Vec<T> {
    #[inline]
    fn each(&self, visit: impl FnMut(Bound<'_>)) {
        self.as_slice().each(visit);
    }
}

impl<P: Params + ?Sized> Params for &P {
    #[inline]
    fn each(&self, visit: impl FnMut(Bound<'_>)) {
        (**self).each(visit);
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name: Bindable),*> Params for ($($name,)*) {
            #[inline]
            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn each(&self, mut visit: impl FnMut(Bound<'_>)) {
                let ($($name,)*) = self;
                $(visit($name.bound());)*
            }
        })*
    };
}

tuples! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O Q)
}

/// Parameters of mixed types, as a `&[&dyn Bindable]`.
///
/// ```
/// use pg_wire::{PgProtocol, Portal, Statement, params};
///
/// let name = String::from("Ada");
/// let mut out = Vec::new();
/// out.bind(Statement::UNNAMED, Portal::UNNAMED).finish(params![1i32, name, None::<bool>])?;
/// # Ok::<_, pg_wire::EncodeError>(())
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::Bindable),*] as &[&dyn $crate::Bindable]
    };
}

/// Parameters that have been looked at once: how many, in which formats, how long.
pub(crate) struct Measured<T> {
    params: T,
    count: usize,
    /// Whether any is text, or binary; a NULL is neither.
    text: bool,
    binary: bool,
    /// A bit for each of the first 128: whether it is binary. Asking again would be another virtual call.
    binaries: u128,
    /// Bytes of all values, their length fields included.
    length: usize,
    /// The last value that is too long for its length field.
    too_long: Option<usize>,
}

impl<T: Params> Measured<T> {
    #[inline]
    pub(crate) fn new(params: T) -> Self {
        let (mut count, mut length, mut too_long) = (0, 0usize, None);
        let (mut text, mut binary, mut binaries) = (false, false, 0u128);
        params.each(|value| {
            match value.format() {
                Some(FormatCode::Text) => text = true,
                Some(_) => {
                    binary = true;
                    if count < 128 {
                        binaries |= 1 << count;
                    }
                }
                None => {}
            }
            count += 1;
            let bytes = value.as_bytes().map_or(0, <[u8]>::len);
            length = length.saturating_add(4).saturating_add(bytes);
            if bytes > i32::MAX as usize {
                too_long = Some(bytes);
            }
        });
        Self { params, count, text, binary, binaries, length, too_long }
    }

    /// Int16 n, Int16\[n\] formats: none when all are text, one when all are binary, one each otherwise; then Int16 m and m
    /// values. A NULL goes along with whatever the others have.
    #[inline]
    pub(crate) fn write<P: Put + ?Sized>(&self, out: &mut P) {
        match (self.text, self.binary) {
            (_, false) => out.int16(0),
            (false, true) => {
                out.int16(1);
                out.int16(FormatCode::Binary.code());
            }
            (true, true) => self.write_codes(out),
        }
        write_count("parameters", self.count, out);
        if let Some(length) = self.too_long {
            out.refuse(EncodeErrorKind::ValueTooLong { length });
        }
        if !out.skip_measured(self.length) {
            self.params.each(|value| value.write(out));
        }
    }

    #[inline]
    fn write_codes<P: Put + ?Sized>(&self, out: &mut P) {
        write_count("parameters", self.count, out);
        if out.skip_measured(2 * self.count) {
            return;
        }
        if self.count <= 128 {
            for at in 0..self.count {
                out.int16(u16::from(self.binaries >> at & 1 == 1));
            }
        } else {
            self.params.each(|value| out.int16(value.format().unwrap_or_default().code()));
        }
    }
}

/// Int16 n, Int16\[n\] formats, refused when there are more than counts can tell.
#[inline]
pub(crate) fn write_formats<P: Put + ?Sized>(formats: &[FormatCode], out: &mut P) {
    match formats {
        // All the same say as much as one, and all text as much as none.
        [first, rest @ ..] if rest.iter().all(|format| format == first) => {
            if *first == FormatCode::Text {
                out.int16(0);
            } else {
                out.int16(1);
                out.int16(first.code());
            }
        }
        formats => {
            if formats.len() > usize::from(u16::MAX) {
                let most = usize::from(u16::MAX);
                return out.refuse(EncodeErrorKind::TooMany { what: "formats", given: formats.len(), most });
            }
            write_count("formats", formats.len(), out);
            for format in formats {
                out.int16(format.code());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put::Fill;
    use alloc::vec;

    fn written<T: Params>(params: T) -> Vec<u8> {
        let mut measure = crate::put::Measure::default();
        let params = Measured::new(params);
        params.write(&mut measure);
        let mut bytes = vec![0; measure.length];
        let mut fill = Fill::new(&mut bytes);
        params.write(&mut fill);
        assert!(fill.is_exact());
        bytes
    }

    #[test]
    fn all_text_sends_no_format_code() {
        assert_eq!(written(("a", String::from("b"))), b"\0\0\0\x02\0\0\0\x01a\0\0\0\x01b");
        assert_eq!(written(()), b"\0\0\0\0");
    }

    #[test]
    fn all_binary_sends_one() {
        assert_eq!(written((1i16, true)), b"\0\x01\0\x01\0\x02\0\0\0\x02\0\x01\0\0\0\x01\x01");
    }

    #[test]
    fn mixed_sends_one_each() {
        assert_eq!(written((1i16, "a")), b"\0\x02\0\x01\0\0\0\x02\0\0\0\x02\0\x01\0\0\0\x01a");
    }

    #[test]
    fn a_null_goes_along_with_the_others() {
        let null = b"\xff\xff\xff\xff";
        assert_eq!(
            written((1i16, None::<&str>)),
            [&b"\0\x01\0\x01\0\x02\0\0\0\x02\0\x01"[..], null].concat()
        );
        assert_eq!(written(("a", None::<i16>)), [&b"\0\0\0\x02\0\0\0\x01a"[..], null].concat());
        assert_eq!(written((None::<i16>,)), [&b"\0\0\0\x01"[..], null].concat());
    }

    #[test]
    fn formats_are_told_one_by_one_however_many_there_are() {
        for count in [2usize, 127, 128, 129, 300] {
            let values: Vec<Box<dyn Bindable>> = (0..count)
                .map(|at| if at % 3 == 0 { Box::new(7i32) as Box<dyn Bindable> } else { Box::new("x") })
                .collect();
            let bytes = written(values);
            let codes = bytes[2..].as_chunks::<2>().0.iter().take(count);
            assert_eq!(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])), count);
            for (at, code) in codes.enumerate() {
                assert_eq!(*code, [0, u8::from(at % 3 == 0)], "{at} of {count}");
            }
        }
    }

    #[test]
    fn tuples_slices_and_dynamic_ones_are_the_same() {
        let tuple = written((7i32, "x", Some(1.5f64), None::<bool>));
        let dynamic: &[&dyn Bindable] = &[&7i32, &"x", &Some(1.5f64), &None::<bool>];
        assert_eq!(written(dynamic), tuple);
        assert_eq!(written(params![7i32, "x", Some(1.5f64), None::<bool>]), tuple);
        assert_eq!(written([1i32, 2]), written((1i32, 2i32)));
        assert_eq!(written(vec![1i32, 2]), written((1i32, 2i32)));
    }

    #[test]
    fn result_formats_are_compacted_too() {
        use FormatCode::{Binary, Text};
        let written = |formats: &[FormatCode]| {
            let mut bytes = [0; 8];
            let mut fill = Fill::new(&mut bytes);
            write_formats(formats, &mut fill);
            bytes
        };
        assert_eq!(written(&[]), [0; 8]);
        assert_eq!(written(&[Text, Text]), [0; 8]);
        assert_eq!(written(&[Binary, Binary, Binary])[..4], [0, 1, 0, 1]);
        assert_eq!(written(&[Binary, Text])[..6], [0, 2, 0, 1, 0, 0]);
    }
}
