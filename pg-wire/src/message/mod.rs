//! The messages of both directions: of the client (`frontend`) and of the server (`backend`).
//!
//! # Adding a message
//!
//! 1. Declare the message with `message!` in a file of its direction: the fields in wire order, the layout, the link into the manual, and a
//!    test with the bytes on the wire (`testing::golden`).
//! 2. Add one row to the table of its direction, in `backend/mod.rs` or `frontend/mod.rs`.
//! 3. For a message of the client, add a method to `client/protocol.rs`.
//!
//! The tests of this file are an example: they declare a direction that has one message.

pub mod backend;
pub(crate) mod copy;
pub mod frontend;
pub(crate) mod table;

#[cfg(test)]
mod tests {
    use crate::basic::code::{MessageCode, Size};
    use crate::basic::text::Text;
    use crate::client::PutMessage;
    use crate::codec::frame::Frame;
    use crate::codec::message::{Direction, Message};
    use crate::encode::messages::Encode;
    use crate::message::table::{direction, message};
    use alloc::string::ToString;
    use alloc::vec::Vec;

    // Step 1 of adding a message: declare the message.
    message! {
        /// Tests whether the peer answers.
        ///
        /// `!`, length, Int32 number, String comment.
        PING => pub struct Ping<'a> {
            /// Any number, for the tests.
            pub number: i32,
            /// Any text, for the tests.
            pub comment: Text<'a>,
        }
    }

    // Step 2 of adding a message: add a row to the table of the direction.
    direction! {
        /// A direction with one message.
        pub enum Example, decoded by example {
            PING = b'!' => Ping<'a>, Cold, Control;
        }
    }

    // Step 3 of adding a message of the client: add a method, as in `client/protocol.rs`.
    trait ExampleProtocol: PutMessage {
        /// Tests whether the server answers. See [`Ping`].
        fn ping<'m>(&mut self, number: i32, comment: impl Into<Text<'m>>) -> Self::Chained<'_> {
            self.put_message(&Ping { number, comment: comment.into() })
        }
    }

    impl<T: PutMessage + ?Sized> ExampleProtocol for T {}

    #[test]
    fn the_method_of_a_message_of_the_client_appends_the_message() {
        let mut out = Vec::new();
        out.ping(7, "hi").and_then(|out| out.ping(8, "")).expect("both are valid");
        assert_eq!(out, b"!\0\0\0\x0b\0\0\0\x07hi\0!\0\0\0\x09\0\0\0\x08\0");
    }

    #[test]
    fn a_message_needs_its_declaration_and_one_row() {
        let ping = Ping { number: 7, comment: "hi".into() };
        let mut bytes = Vec::new();
        ping.encode(&mut bytes).expect("valid");
        assert_eq!(bytes, b"!\0\0\0\x0b\0\0\0\x07hi\0");
        let frame = Frame { code: MessageCode::PING, body: b"\0\0\0\x07hi\0" };
        assert_eq!(frame.example(), Ok(Example::Ping(ping)));
        assert_eq!(frame.to_owned().example(), Ok(Example::from(ping)));
        assert_eq!(ping.trace(Direction::Frontend).to_string(), "F\t11\tPing\t 7 \"hi\"");
        assert_eq!(
            (Example::CODES, Example::size(MessageCode::PING)),
            (&[MessageCode::PING][..], Size::Control)
        );
        let unknown = Frame { code: MessageCode(b'?'), body: b"" };
        assert_eq!(unknown.example(), Ok(Example::Unknown(unknown)));
    }
}
