//! Values on their way to the server.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::basic::error::EncodeErrorKind;
use crate::basic::short;
use crate::codec::field::FormatCode;
use crate::codec::message::LONGEST;
use crate::codec::put::{Put, write_one_by_one, write_slice};
use crate::codec::values::write_count;

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
    #[inline(always)]
    pub fn text(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { format: FormatCode::Text, repr: Repr::Borrowed(text.as_ref()) }
    }

    /// A value in its type's binary form.
    #[inline(always)]
    pub fn binary(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { format: FormatCode::Binary, repr: Repr::Borrowed(bytes.as_ref()) }
    }

    #[inline(always)]
    fn fixed(repr: Repr<'a>) -> Self {
        Self { format: FormatCode::Binary, repr }
    }

    /// The bytes; `None` is NULL.
    #[inline(always)]
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
    #[inline(always)]
    pub fn format(&self) -> Option<FormatCode> {
        if matches!(self.repr, Repr::Null) { None } else { Some(self.format) }
    }

    /// See [`Bindable::write_to`].
    #[inline(always)]
    fn write_to(&self, room: &mut [u8]) -> Written {
        // An arm for each size: inlined, the length is a constant.
        match &self.repr {
            Repr::Null => write_null(room),
            Repr::One(Aligned(bytes)) => write_fixed(bytes, room),
            Repr::Two(Aligned(bytes)) => write_fixed(bytes, room),
            Repr::Four(Aligned(bytes)) => write_fixed(bytes, room),
            Repr::Eight(Aligned(bytes)) => write_fixed(bytes, room),
            Repr::Sixteen(Aligned(bytes)) => write_fixed(bytes, room),
            Repr::Borrowed(bytes) => {
                let Some((field, room)) = room.split_first_chunk_mut() else { return Written::NO_ROOM };
                match room.get_mut(..bytes.len()) {
                    Some(room) if bytes.len() <= LONGEST => {
                        *field = (bytes.len() as u32).to_be_bytes();
                        short::copy(room, bytes);
                        Written::new(4 + bytes.len(), Some(self.format))
                    }
                    _ => Written::NO_ROOM,
                }
            }
        }
    }
}

#[inline(always)]
fn write_null(room: &mut [u8]) -> Written {
    let Some(room) = room.first_chunk_mut() else { return Written::NO_ROOM };
    *room = [0xff; 4];
    Written::new(4, None)
}

#[inline(always)]
fn write_fixed<const N: usize>(bytes: &[u8; N], room: &mut [u8]) -> Written {
    let fields = room.get_mut(..4 + N).and_then(<[u8]>::split_first_chunk_mut);
    let Some((field, room)) = fields else { return Written::NO_ROOM };
    *field = (N as u32).to_be_bytes();
    room.copy_from_slice(bytes);
    Written::new(4 + N, Some(FormatCode::Binary))
}

macro_rules! fixed {
    ($($size:literal $variant:ident),*) => {
        $(impl From<[u8; $size]> for Bound<'_> {
            /// A value in its type's binary form.
            #[inline(always)]
            fn from(bytes: [u8; $size]) -> Self {
                Self::fixed(Repr::$variant(Aligned(bytes)))
            }
        })*
    };
}

fixed!(1 One, 2 Two, 4 Four, 8 Eight, 16 Sixteen);

/// What [`Bindable::write_to`] has written: how many bytes, and their format. One register wide: the length in the lower half, the
/// [`Formats`] in the upper one.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Written(u64);

impl Written {
    /// No bytes, of no format: where [`see`](Self::see) begins.
    pub(crate) const NONE: Self = Self(0);

    /// That there was no room, or can be none: longer than any.
    const NO_ROOM: Self = Self(u32::MAX as u64);

    /// At most as many bytes as a message has.
    #[inline(always)]
    fn new(length: usize, format: Option<FormatCode>) -> Self {
        Self(length as u64 | u64::from(Formats::of(format).0) << 32)
    }

    /// How many bytes.
    #[inline(always)]
    pub(crate) fn length(self) -> usize {
        self.0 as u32 as usize
    }

    /// Of which format.
    #[inline(always)]
    pub(crate) fn formats(self) -> Formats {
        Formats((self.0 >> 32) as u32)
    }

    /// Adds the format of another to these. The length is none any more.
    #[inline(always)]
    pub(crate) fn see(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

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

    /// The format of [`bound`](Self::bound), without its bytes. There is no need to write this one.
    #[doc(hidden)]
    #[inline]
    fn format(&self) -> Option<FormatCode> {
        self.bound().format()
    }

    /// Writes [`bound`](Self::bound) to the beginning of `room` as a Bind has it, Int32 length (-1 for NULL) and the bytes, and
    /// says how many bytes these are. There is no need to write this one: made for the type, it is a store or two, where
    /// a `dyn Bindable` would hand over a whole [`Bound`].
    #[doc(hidden)]
    #[inline]
    fn write_to(&self, room: &mut [u8]) -> Written {
        self.bound().write_to(room)
    }
}

macro_rules! bind_number {
    ($($type:ty),*) => {
        $(impl Bindable for $type {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                Bound::from(self.to_be_bytes())
            }
        })*
    };
}

bind_number!(i16, i32, i64, u32, f32, f64);

impl Bindable for bool {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        Bound::from([u8::from(*self)])
    }
}

#[cfg(feature = "uuid")]
impl Bindable for uuid::Uuid {
    #[inline(always)]
    fn bound(&self) -> Bound<'_> {
        Bound::from(*self.as_bytes())
    }
}

macro_rules! bind_bytes {
    ($($form:ident $type:ty),*) => {
        $(impl Bindable for $type {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                Bound::$form(self)
            }
        })*
    };
}

bind_bytes!(text str, text String, binary [u8], binary Vec<u8>, binary bytes::Bytes);

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
}

macro_rules! bind_through {
    ($($pointer:ty),*) => {
        $(impl<T: Bindable + ?Sized> Bindable for $pointer {
            #[inline(always)]
            fn bound(&self) -> Bound<'_> {
                (**self).bound()
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
    /// Whether the lengths of the values can be had without a call for each, so that it pays to ask for them first.
    const KNOWN: bool = false;

    /// How many there are: as many as [`each`](Self::each) shows.
    fn count(&self) -> usize;

    /// Shows each to `visit`, in order. Called more than once for each message, and has to show the same each time.
    fn each(&self, visit: &mut impl VisitParam);

    /// Writes them as a Bind has them to the beginning of `room`, and says how many bytes these are; `None` if they do not fit
    /// or cannot be sent. There is no need to write this one.
    #[doc(hidden)]
    fn write_to(&self, room: &mut [u8]) -> Option<usize> {
        write_one_by_one(self, room)
    }
}

/// Looks at parameters, one after the other: what [`Params::each`] shows them to.
pub trait VisitParam {
    /// Looks at the next one.
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B);
}

impl<T: Bindable> Params for [T] {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        for value in self {
            visit.visit(value);
        }
    }

    #[inline(always)]
    fn write_to(&self, room: &mut [u8]) -> Option<usize> {
        write_slice(self, room)
    }
}

impl<T: Bindable, const N: usize> Params for [T; N] {
    #[inline]
    fn count(&self) -> usize {
        N
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        self.as_slice().each(visit);
    }

    #[inline(always)]
    fn write_to(&self, room: &mut [u8]) -> Option<usize> {
        write_slice(self, room)
    }
}

impl<T: Bindable> Params for Vec<T> {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        self.as_slice().each(visit);
    }

    #[inline(always)]
    fn write_to(&self, room: &mut [u8]) -> Option<usize> {
        write_slice(self, room)
    }
}

impl<P: Params + ?Sized> Params for &P {
    const KNOWN: bool = P::KNOWN;

    #[inline]
    fn count(&self) -> usize {
        (**self).count()
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        (**self).each(visit);
    }

    #[inline(always)]
    fn write_to(&self, room: &mut [u8]) -> Option<usize> {
        (**self).write_to(room)
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name: Bindable),*> Params for ($($name,)*) {
            const KNOWN: bool = true;

            #[inline(always)]
            fn count(&self) -> usize {
                <[&str]>::len(&[$(stringify!($name)),*])
            }

            #[inline(always)]
            #[allow(non_snake_case, unused_variables)]
            fn each(&self, visit: &mut impl VisitParam) {
                let ($($name,)*) = self;
                $(visit.visit($name);)*
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

/// What goes in front of the values, by what they are: no format code when all are text, one when all are binary, one each
/// otherwise. A NULL is neither, and goes along with whatever the others have.
///
/// A bit for text and one for binary: with two `bool`s the compiler makes a table of jumps out of each look at a format.
#[derive(Clone, Copy, Default)]
pub(crate) struct Formats(u32);

const TEXT: u32 = 1;
/// Where the upper half of these bits is the code, least byte first.
const BINARY: u32 = 1 << 24;

impl Formats {
    /// Looks at one.
    #[inline(always)]
    pub(crate) fn see(&mut self, one: Self) {
        self.0 |= one.0;
    }

    /// The code of one, where it needs one.
    #[inline(always)]
    pub(crate) fn code(self) -> [u8; 2] {
        ((self.0 >> 16) as u16).to_le_bytes()
    }

    /// A NULL has no format.
    #[inline(always)]
    pub(crate) fn of(format: Option<FormatCode>) -> Self {
        Self(match format {
            None => 0,
            Some(FormatCode::Text) => TEXT,
            Some(_) => BINARY,
        })
    }

    /// The one format code for all, if one is needed.
    #[inline(always)]
    pub(crate) fn in_common(self) -> Result<Option<FormatCode>, Mixed> {
        match self.0 {
            BINARY => Ok(Some(FormatCode::Binary)),
            0 | TEXT => Ok(None),
            _ => Err(Mixed),
        }
    }
}

/// Some are text and some binary: each needs a code of its own.
pub(crate) struct Mixed;

/// Looks at the formats, and counts.
#[derive(Default)]
struct Shown {
    formats: Formats,
    count: usize,
}

impl VisitParam for Shown {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.formats.see(Formats::of(value.format()));
        self.count += 1;
    }
}

/// Writes the format of each.
struct Codes<'a, P: ?Sized>(&'a mut P);

impl<P: Put + ?Sized> VisitParam for Codes<'_, P> {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.0.int16(u16::from_be_bytes(Formats::of(value.format()).code()));
    }
}

/// Writes the values.
pub(crate) struct Write<'a, P: ?Sized>(pub(crate) &'a mut P);

impl<P: Put + ?Sized> VisitParam for Write<'_, P> {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.0.param(value);
    }
}

/// Int16 n, Int16\[n\] formats, Int16 m and m values.
#[inline(always)]
pub(crate) fn write_params<T: Params + ?Sized, P: Put + ?Sized>(params: &T, out: &mut P) {
    let mut shown = Shown::default();
    params.each(&mut shown);
    if shown.count != params.count() {
        return out.refuse(EncodeErrorKind::Unstable);
    }
    match shown.formats.in_common() {
        Ok(format) => write_format_of_all(format, out),
        Err(Mixed) => {
            write_count("parameters", params.count(), out);
            params.each(&mut Codes(out));
        }
    }
    write_count("parameters", params.count(), out);
    params.each(&mut Write(out));
}

/// Int16 n, Int16\[n\] formats, where they are all the same: none for text, and otherwise one.
#[inline(always)]
pub(crate) fn write_format_of_all<P: Put + ?Sized>(format: Option<FormatCode>, out: &mut P) {
    match format {
        None => out.int16(0),
        Some(format) if out.wants_fields() => {
            out.int16(1);
            out.int16(format.code());
        }
        Some(format) => out.int32(1 << 16 | u32::from(format.code())),
    }
}

/// Int16 n, Int16\[n\] formats, refused when there are more than counts can tell.
#[inline(always)]
pub(crate) fn write_formats<P: Put + ?Sized>(formats: &[FormatCode], out: &mut P) {
    match formats {
        // All the same say as much as one, and all text as much as none.
        [first, rest @ ..] if rest.iter().all(|format| format == first) => {
            write_format_of_all((*first != FormatCode::Text).then_some(*first), out);
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
    use crate::codec::put::Fill;
    use alloc::vec;

    fn written<T: Params>(params: T) -> Vec<u8> {
        let mut measure = crate::codec::put::Measure::default();
        write_params(&params, &mut measure);
        let mut extent = crate::codec::put::Extent::default();
        write_params(&params, &mut extent);
        assert_eq!(extent.within(usize::MAX), Some(measure.length));
        // One field after the other, as whoever does not know better writes them.
        let mut bytes = vec![0; measure.length + 4];
        let mut fill = Fill::frame(None, &mut bytes).expect("there is room");
        write_params(&params, &mut fill);
        assert_eq!(fill.finish(), Some(&mut [][..]));
        // With no room to spare, and with enough for a code for each before it is known whether one does for all.
        for spare in [0, 1, 2 * params.count(), 2 * params.count() + 100] {
            let mut room = vec![0xee; bytes.len() + spare];
            let mut fill = Fill::frame(None, &mut room).expect("there is room");
            fill.params(&params);
            assert_eq!(fill.finish().map(|rest| rest.len()), Some(spare), "{spare} to spare");
            assert_eq!(room.get(..bytes.len()), Some(&bytes[..]), "{spare} to spare");
        }
        for short in 4..bytes.len() {
            let mut room = vec![0; short];
            let mut fill = Fill::frame(None, &mut room).expect("there is room for the length");
            fill.params(&params);
            assert_eq!(fill.finish(), None, "{short} bytes for {}", bytes.len());
        }
        bytes.split_off(4)
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
        for count in [2usize, 63, 64, 65, 300] {
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
            let mut bytes = [0; 12];
            let mut fill = Fill::frame(None, &mut bytes).expect("there is room");
            write_formats(formats, &mut fill);
            bytes[4..].to_vec()
        };
        assert_eq!(written(&[]), [0; 8]);
        assert_eq!(written(&[Text, Text]), [0; 8]);
        assert_eq!(written(&[Binary, Binary, Binary])[..4], [0, 1, 0, 1]);
        assert_eq!(written(&[Binary, Text])[..6], [0, 2, 0, 1, 0, 0]);
    }
}
