//! Integer fields whose values have names.

/// Declares an enum for an integer field: one variant for each named value, and `Other` for all other values.
///
/// Two values are equal when their integers are equal: if `Text` is 0, `Other(0)` equals `Text`.
macro_rules! wire_enum {
    ($(#[$doc:meta])* pub enum $name:ident, $method:ident() -> $int:ident {
        $($(#[$vdoc:meta])* $variant:ident = $value:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// An integer for which PostgreSQL defines no meaning.
            Other($int),
        }

        impl $name {
            /// Returns the integer that a message contains for this value.
            #[inline]
            pub fn $method(self) -> $int {
                match self {
                    $(Self::$variant => $value,)*
                    Self::Other(value) => value,
                }
            }
        }

        impl From<$int> for $name {
            #[inline]
            fn from(value: $int) -> Self {
                match value {
                    $($value => Self::$variant,)*
                    value => Self::Other(value),
                }
            }
        }

        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.$method() == other.$method()
            }
        }

        impl Eq for $name {}

        impl core::hash::Hash for $name {
            fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
                self.$method().hash(state);
            }
        }
    };
}

wire_enum! {
    /// The format of a value: text, or the binary form of its type.
    ///
    /// Int16 on the wire.
    #[derive(Default)]
    pub enum FormatCode, code() -> u16 {
        /// 0: the text form of the type, in the client encoding of the session.
        #[default]
        Text = 0,
        /// 1: the binary form of the type, as the type's send function on the server writes it.
        Binary = 1,
    }
}

wire_enum! {
    /// The kind of object that a name refers to. Byte1 on the wire.
    pub enum Target, byte() -> u8 {
        /// `S`: a prepared statement.
        Statement = b'S',
        /// `P`: a portal.
        Portal = b'P',
    }
}

wire_enum! {
    /// The transaction status of a session. Byte1 on the wire.
    pub enum TransactionStatus, byte() -> u8 {
        /// `I`: the session is not in a transaction block.
        Idle = b'I',
        /// `T`: the session is in a transaction block.
        InTransaction = b'T',
        /// `E`: the session is in a failed transaction block. The server rejects every statement until the block ends.
        Failed = b'E',
    }
}

wire_enum! {
    /// The format of a COPY. Int8 on the wire.
    pub enum CopyFormat, byte() -> u8 {
        /// 0: text format, with one line for each row.
        Text = 0,
        /// 1: the binary format of COPY.
        Binary = 1,
    }
}

pub(crate) use wire_enum;
