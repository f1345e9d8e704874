//! One value in the form in which it is sent.

use crate::basic::enums::FormatCode;
use crate::basic::length::MAX_LENGTH;
use crate::basic::short;
use crate::param::formats::Formats;

/// A value in the form in which it is sent: bytes and their format, or NULL. A [`Bindable`](crate::Bindable) returns its value in this
/// form.
///
/// Values of 1, 2, 4, 8 and 16 bytes can be stored in the `Bound` itself. All other values are borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    format: FormatCode,
    repr: Repr<'a>,
}

/// Representation of a value. Each size has its own variant, so that a copy of the bytes has a constant length and compiles to stores.
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

/// Bytes of a value. The alignment of 8 bytes puts these bytes and the tag of the enum into different words of memory. So a single store
/// writes a whole word, and a later load of this word need not wait for several stores (store forwarding).
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

impl<'a> Bound<'a> {
    /// NULL, which is valid in every format.
    pub const NULL: Bound<'static> = Bound { format: FormatCode::Text, repr: Repr::Null };

    /// Creates a value in the text form of its type.
    #[inline(always)]
    pub fn text(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { format: FormatCode::Text, repr: Repr::Borrowed(text.as_ref()) }
    }

    /// Creates a value in the binary form of its type.
    #[inline(always)]
    pub fn binary(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { format: FormatCode::Binary, repr: Repr::Borrowed(bytes.as_ref()) }
    }

    #[inline(always)]
    fn fixed(repr: Repr<'a>) -> Self {
        Self { format: FormatCode::Binary, repr }
    }

    /// Returns the bytes of the value; `None` is NULL.
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

    /// Returns the format of the bytes; `None` for NULL, which has no format.
    #[inline(always)]
    pub fn format(&self) -> Option<FormatCode> {
        if matches!(self.repr, Repr::Null) { None } else { Some(self.format) }
    }

    /// Writes the value to the beginning of `room`, as [`Bindable::write_to`](crate::Bindable::write_to) does.
    #[inline(always)]
    pub(crate) fn write_to(&self, room: &mut [u8]) -> Written {
        // Each size has its own match arm, so that the compiler knows the length of the value.
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
                    Some(room) if bytes.len() <= MAX_LENGTH => {
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
pub(crate) fn write_null(room: &mut [u8]) -> Written {
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
            /// Creates a value in the binary form of its type.
            #[inline(always)]
            fn from(bytes: [u8; $size]) -> Self {
                Self::fixed(Repr::$variant(Aligned(bytes)))
            }
        })*
    };
}

fixed!(1 One, 2 Two, 4 Four, 8 Eight, 16 Sixteen);

/// Result of [`Bindable::write_to`](crate::Bindable::write_to): the number of bytes written, and their format.
///
/// The result fits into one register: the length is in the lower half, the [`Formats`] are in the upper half.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Written(u64);

impl Written {
    /// Start value for [`add_formats`](Self::add_formats): no bytes and no format.
    pub(crate) const NONE: Self = Self(0);

    /// Result for a value that does not fit into the buffer, or is longer than the longest message. The length in this result is
    /// `u32::MAX`, which exceeds the length of every buffer.
    const NO_ROOM: Self = Self(u32::MAX as u64);

    /// Creates the result for `length` written bytes. Precondition: `length` is at most the length of a message.
    #[inline(always)]
    fn new(length: usize, format: Option<FormatCode>) -> Self {
        Self(length as u64 | u64::from(Formats::of(format).0) << 32)
    }

    /// Returns the number of bytes written.
    #[inline(always)]
    pub(crate) fn length(self) -> usize {
        self.0 as u32 as usize
    }

    /// Returns the format of the bytes.
    #[inline(always)]
    pub(crate) fn formats(self) -> Formats {
        Formats((self.0 >> 32) as u32)
    }

    /// Adds the formats of another value to `self`. After this call, the length in `self` has no meaning.
    #[inline(always)]
    pub(crate) fn add_formats(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
