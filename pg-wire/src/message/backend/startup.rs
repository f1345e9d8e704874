//! The messages at the start of a session.

use crate::basic::text::Text;
use crate::codec::field::Secret;
use crate::codec::list::List;
use crate::message::frontend::ProtocolVersion;
use crate::message::table::message;

message! {
    /// Contains the process id and the key of this session. A [`CancelRequest`](crate::frontend::CancelRequest) for the session must
    /// contain both values.
    ///
    /// `K`, length, Int32 pid, bytes key. The key has 4 bytes in protocol 3.0, and 4 to 256 bytes from 3.2 on.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BACKENDKEYDATA)
    BACKEND_KEY_DATA => pub struct BackendKeyData<'a> {
        /// Process id of the session.
        pub pid: i32,
        /// Key of the session. The key is a secret.
        pub key: Secret<'a>,
    }
}

message! {
    /// Reports the value of a parameter, at the start of the session and whenever the value changes. The message may arrive between any two
    /// messages.
    ///
    /// `S`, length, String name, String value.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARAMETERSTATUS)
    PARAMETER_STATUS => pub struct ParameterStatus<'a> {
        /// Name of the parameter.
        pub name: Text<'a>,
        /// New value of the parameter.
        pub value: Text<'a>,
    }
}

message! {
    /// Reports that the server does not support the requested version of the protocol, or some of the requested `_pq_.` options.
    ///
    /// `v`, length, Int32 version, Int32 n, String\[n\] unrecognized.
    ///
    /// The manual describes the first field as a minor version, but servers send the whole version, with the major version in
    /// the upper 16 bits.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NEGOTIATEPROTOCOLVERSION)
    NEGOTIATE_PROTOCOL_VERSION => pub struct NegotiateProtocolVersion<'a> {
        /// Version that the server will use: at most the requested version.
        pub version: ProtocolVersion,
        /// Names of the options that the server does not know.
        pub unrecognized: List<'a, Text<'a>, u32>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn keys_of_4_and_32_bytes_are_encoded_and_decoded() {
        golden(
            BackendKeyData { pid: 7, key: Secret(b"\x01\x02\x03\x04") },
            b"K\0\0\0\x0c\0\0\0\x07\x01\x02\x03\x04",
            "B\t12\tBackendKeyData\t 7 'BBBB'",
        );
        golden(
            BackendKeyData { pid: 7, key: Secret(b"0123456789abcdef0123456789abcdef") },
            b"K\0\0\0\x28\0\0\0\x070123456789abcdef0123456789abcdef",
            "B\t40\tBackendKeyData\t 7 'BBBB'",
        );
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = BackendKeyData { pid: 7, key: Secret(b"hush") };
        assert_eq!(alloc::format!("{key:?}"), "BackendKeyData { pid: 7, key: Secret(***) }");
    }

    #[test]
    fn a_parameter_is_encoded_and_decoded() {
        golden(
            ParameterStatus { name: "TimeZone".into(), value: "UTC".into() },
            b"S\0\0\0\x11TimeZone\0UTC\0",
            "B\t17\tParameterStatus\t \"TimeZone\" \"UTC\"",
        );
    }

    #[test]
    fn a_negotiation_carries_the_whole_version() {
        golden(
            NegotiateProtocolVersion { version: ProtocolVersion::V3_2, unrecognized: List::EMPTY },
            b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0",
            "B\t12\tNegotiateProtocolVersion\t 196610 0",
        );
        golden(
            NegotiateProtocolVersion {
                version: ProtocolVersion::V3_0,
                unrecognized: List::from(&["_pq_.x".into()]),
            },
            b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.x\0",
            "B\t19\tNegotiateProtocolVersion\t 196608 1 \"_pq_.x\"",
        );
    }
}
