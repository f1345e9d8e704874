//! The two macros of this folder. `message!` declares a message by its fields. `direction!` declares a direction: all messages of the
//! client, or all messages of the server.

/// Declares a message: `CODE => pub struct Name { fields }`. If the name in the manual differs from the name of the Rust type, the name in
/// the manual follows the code: `CODE "SASLResponse" => …`.
///
/// The fields are listed in wire order. From this list, the macro generates the struct, the decoding, the encoding and, through
/// [`Writer`](crate::codec::Writer), the trace line.
macro_rules! message {
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $wire:literal) => { $wire };
    ($(#[$doc:meta])* $code:ident $($wire:literal)? => pub struct $name:ident $(<$life:lifetime>)? {
        $($(#[$fdoc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name $(<$life>)? { $($(#[$fdoc])* pub $field: $type,)* }

        impl $(<$life>)? $crate::codec::message::Message for $name $(<$life>)? {
            #[inline]
            fn code(&self) -> Option<$crate::MessageCode> { Some($crate::MessageCode::$code) }
            #[inline]
            fn name(&self) -> &'static str { <Self as $crate::codec::message::Decode<'_>>::NAME }
            #[inline(always)]
            fn write<P: $crate::codec::writer::Writer + ?Sized>(&self, out: &mut P) {
                let _ = &out;
                $($crate::codec::field::Field::write(&self.$field, out);)*
            }
        }

        impl<'m $(, $life)?> $crate::codec::message::Decode<'m> for $name $(<$life>)? $(where 'm: $life)? {
            const CODE: Option<$crate::MessageCode> = Some($crate::MessageCode::$code);
            const NAME: &'static str = $crate::message::table::message!(@name $name $($wire)?);
            #[inline]
            fn read(body: &mut $crate::codec::reader::Reader<'m>) -> Result<Self, $crate::DecodeError> {
                let _ = &body;
                Ok(Self { $($field: $crate::codec::field::Field::read(body)?,)* })
            }
        }
    };
}

/// How the decoding of a message is compiled: inlined into the caller, or out of line.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    /// Inlined, for the few kinds of messages that are received very often.
    Hot,
    /// Not inlined, for all other messages. So a loop that receives `Hot` messages does not construct the large enum of all messages.
    Cold,
}

impl Path {
    pub(crate) const fn is_hot(self) -> bool {
        matches!(self, Self::Hot)
    }
}

/// Declares a direction (all messages of the client, or all messages of the server) by a table. Each row declares one message: `CODE = byte
/// => Message, path, size class;`. The path is a variant of [`Path`], and selects whether the decoding is inlined. The size class is a
/// variant of [`Size`](crate::basic::code::Size), and selects the limit for the length of the message.
///
/// - If both directions have a message with the same code, the row in the second table has the form `CODE also byte`. The first table has
///   already declared the constant.
/// - For a message that is generic over its parameters, the row has the form `Message of Decoded`. `Decoded` is the type that decoding
///   returns.
///
/// The macro generates the constants of [`MessageCode`](crate::MessageCode), the list `CODES`, the [`Size`](crate::basic::code::Size) of
/// each message, and the enum of all messages with its decoding. If two rows have the same byte, the compiler reports an unreachable match
/// arm.
macro_rules! direction {
    ($(#[$doc:meta])* pub enum $name:ident, decoded by $method:ident {
        $($code:ident $(= $byte:literal)? $(also $same:literal)?
            => $message:ident $(<$life:lifetime>)? $(of $decoded:ty)?, $path:ident, $size:ident;)*
    }) => {
        impl $crate::MessageCode {
            $($(
                #[doc = concat!("[`", stringify!($message), "`](crate::", stringify!($method), "::", stringify!($message), ").")]
                pub const $code: Self = Self($byte);
            )?)*
        }

        $($(const _: () = assert!($crate::MessageCode::$code.0 == $same);)?)*

        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name<'a> {
            $(#[doc = concat!("See [`", stringify!($message), "`].")]
            $message($message $(<$life>)? $(<$decoded>)?),)*
            /// A message with a code that this crate does not know: the received frame.
            Unknown($crate::codec::frame::Frame<'a>),
        }

        impl<'a> $name<'a> {
            /// Codes of all messages of this direction that this crate knows.
            pub const CODES: &'static [$crate::MessageCode] = &[$($crate::MessageCode::$code),*];

            /// Decodes a frame of this direction.
            ///
            /// # Errors
            /// Returns an error if the body does not have the fields that the code requires. The frame has been consumed, so the next
            /// message can be read.
            #[inline]
            pub fn decode(frame: $crate::codec::frame::Frame<'a>) -> Result<Self, $crate::DecodeError> {
                match frame.code {
                    $($crate::MessageCode::$code if const { $crate::message::table::Path::$path.is_hot() } => {
                        $crate::codec::message::Decode::decode(frame.body).map(Self::$message)
                    })*
                    code => match Self::decode_cold(code, frame.body) {
                        // Never used: `decode_cold` returns no `Hot` message. But the compiler does not know this. Without these arms,
                        // the compiler generates the caller's loop twice, once for the case that `decode_cold` returns a `Hot` message.
                        $(Ok(Self::$message(_)) if const { $crate::message::table::Path::$path.is_hot() } => {
                            Ok(Self::Unknown(frame))
                        })*
                        other => other,
                    },
                }
            }

            #[inline(never)]
            fn decode_cold(code: $crate::MessageCode, body: &'a [u8]) -> Result<Self, $crate::DecodeError> {
                match code {
                    $($crate::MessageCode::$code if const { !$crate::message::table::Path::$path.is_hot() } => {
                        $crate::codec::message::Decode::decode(body).map(Self::$message)
                    })*
                    _ => Ok(Self::Unknown($crate::codec::frame::Frame { code, body })),
                }
            }

            /// Returns the size class of messages with this code.
            pub(crate) fn size(code: $crate::MessageCode) -> $crate::basic::code::Size {
                match code {
                    $($crate::MessageCode::$code => $crate::basic::code::Size::$size,)*
                    _ => $crate::basic::code::Size::Control,
                }
            }
        }

        impl<'a> $crate::codec::frame::Frame<'a> {
            #[doc = concat!("Decodes the body as a message of the ", stringify!($method), ".")]
            ///
            /// # Errors
            /// Returns an error if the body does not have the fields that the code requires.
            #[inline]
            pub fn $method(self) -> Result<$name<'a>, $crate::DecodeError> {
                $name::decode(self)
            }
        }

        impl $crate::codec::frame::FrameBuf {
            #[doc = concat!("Decodes the body as a message of the ", stringify!($method), ".")]
            ///
            /// # Errors
            /// Returns an error if the body does not have the fields that the code requires.
            pub fn $method(&self) -> Result<$name<'_>, $crate::DecodeError> {
                self.frame().$method()
            }
        }

        impl $crate::codec::message::Message for $name<'_> {
            fn code(&self) -> Option<$crate::MessageCode> {
                match self {
                    $(Self::$message(message) => message.code(),)*
                    Self::Unknown(frame) => frame.code(),
                }
            }
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$message(message) => message.name(),)*
                    Self::Unknown(frame) => frame.name(),
                }
            }
            fn write<P: $crate::codec::writer::Writer + ?Sized>(&self, out: &mut P) {
                match self {
                    $(Self::$message(message) => message.write(out),)*
                    Self::Unknown(frame) => frame.write(out),
                }
            }
        }

        $(impl<'a> From<$message $(<$life>)? $(<$decoded>)?> for $name<'a> {
            fn from(message: $message $(<$life>)? $(<$decoded>)?) -> Self { Self::$message(message) }
        })*
    };
}

pub(crate) use {direction, message};
