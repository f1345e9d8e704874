//! Two flat macros: a message says its fields once, a direction says its messages once.

/// Declares a message of named fields. Field order is wire order; from the list come the struct, both directions and,
/// through [`Put`](crate::Put), the trace line.
macro_rules! message {
    ($(#[$doc:meta])* $code:ident => pub struct $name:ident $(<$life:lifetime>)? {
        $($(#[$fdoc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name $(<$life>)? { $($(#[$fdoc])* pub $field: $type,)* }

        impl $(<$life>)? $crate::Message for $name $(<$life>)? {
            #[inline]
            fn code(&self) -> Option<$crate::MessageCode> { Some($crate::MessageCode::$code) }
            #[inline]
            fn name(&self) -> &'static str { stringify!($name) }
            #[inline(always)]
            fn write<P: $crate::Put + ?Sized>(&self, out: &mut P) {
                let _ = &out;
                $($crate::Field::write(&self.$field, out);)*
            }
        }

        impl<'m $(, $life)?> $crate::Decode<'m> for $name $(<$life>)? $(where 'm: $life)? {
            const CODE: Option<$crate::MessageCode> = Some($crate::MessageCode::$code);
            const NAME: &'static str = stringify!($name);
            #[inline]
            fn read(body: &mut $crate::Reader<'m>) -> Result<Self, $crate::DecodeError> {
                let _ = &body;
                Ok(Self { $($field: $crate::Field::read(body)?,)* })
            }
        }
    };
}

/// Declares a direction: an enum with one variant a message, and `Unknown` for the codes nobody has declared. The messages
/// that come by the million stand first, before a semicolon, and are decoded where they are used.
macro_rules! direction {
    ($(#[$doc:meta])* pub enum $name:ident, read by $method:ident {
        $($hot_code:ident => $hot:ident $(<$hot_life:lifetime>)?),+;
        $($code:ident => $message:ident $(<$life:lifetime>)?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name<'a> {
            $(#[doc = concat!("See [`", stringify!($hot), "`].")]
            $hot($hot $(<$hot_life>)?),)+
            $(#[doc = concat!("See [`", stringify!($message), "`].")]
            $message($message $(<$life>)?),)*
            /// A message whose code this crate does not know, as it came.
            Unknown($crate::Frame<'a>),
        }

        impl<'a> $name<'a> {
            /// Reads the body of a frame of this direction.
            ///
            /// # Errors
            /// When the body is not what the code promises. The frame has been consumed and the stream is in step.
            #[inline]
            pub fn decode(frame: $crate::Frame<'a>) -> Result<Self, $crate::DecodeError> {
                match frame.code {
                    $($crate::MessageCode::$hot_code => $crate::Decode::decode(frame.body).map(Self::$hot),)+
                    code => match Self::decode_other(code, frame.body) {
                        // Never; said because a loop over rows would be made twice otherwise.
                        $(Ok(Self::$hot(_)) => Ok(Self::Unknown(frame)),)+
                        other => other,
                    },
                }
            }

            /// Apart, so that the enum of all messages is only built where one of these has come.
            #[inline(never)]
            fn decode_other(code: $crate::MessageCode, body: &'a [u8]) -> Result<Self, $crate::DecodeError> {
                match code {
                    $($crate::MessageCode::$code => $crate::Decode::decode(body).map(Self::$message),)*
                    _ => Ok(Self::Unknown($crate::Frame { code, body })),
                }
            }
        }

        impl<'a> $crate::Frame<'a> {
            #[doc = concat!("Reads the body as a message of the ", stringify!($method), ".")]
            ///
            /// # Errors
            /// When the body is not what the code promises.
            #[inline]
            pub fn $method(self) -> Result<$name<'a>, $crate::DecodeError> {
                $name::decode(self)
            }
        }

        impl $crate::FrameBuf {
            #[doc = concat!("Reads the body as a message of the ", stringify!($method), ".")]
            ///
            /// # Errors
            /// When the body is not what the code promises.
            pub fn $method(&self) -> Result<$name<'_>, $crate::DecodeError> {
                self.frame().$method()
            }
        }

        impl $crate::Message for $name<'_> {
            fn code(&self) -> Option<$crate::MessageCode> {
                match self {
                    $(Self::$hot(message) => message.code(),)+
                    $(Self::$message(message) => message.code(),)*
                    Self::Unknown(frame) => frame.code(),
                }
            }
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$hot(message) => message.name(),)+
                    $(Self::$message(message) => message.name(),)*
                    Self::Unknown(frame) => frame.name(),
                }
            }
            fn write<P: $crate::Put + ?Sized>(&self, out: &mut P) {
                match self {
                    $(Self::$hot(message) => message.write(out),)+
                    $(Self::$message(message) => message.write(out),)*
                    Self::Unknown(frame) => frame.write(out),
                }
            }
        }

        $(impl<'a> From<$hot $(<$hot_life>)?> for $name<'a> {
            fn from(message: $hot $(<$hot_life>)?) -> Self { Self::$hot(message) }
        })+

        $(impl<'a> From<$message $(<$life>)?> for $name<'a> {
            fn from(message: $message $(<$life>)?) -> Self { Self::$message(message) }
        })*
    };
}

pub(crate) use {direction, message};
