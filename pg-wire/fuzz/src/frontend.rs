use pg_wire::codec::Values;
use pg_wire::frontend::{Frontend, GssResponse, Initial, PasswordMessage, SaslInitialResponse, SaslResponse};
use pg_wire::{Direction, Encode, Frame, Message, MessageCode};

use crate::backend::check;

/// Decodes a message of the client, encodes the message again, and compares the bytes. Also prints the message, and reads its lists.
///
/// The input is the code and the body; there is no length field. The code 0 selects a packet that is sent before the session.
pub fn frontend(data: &[u8]) {
    let Some((&code, body)) = data.split_first() else { return };
    if code == 0 {
        return packet(body);
    }
    let frame = Frame { code: MessageCode(code), body };
    let Ok(message) = frame.frontend() else { return };
    check(&message, frame, Direction::Frontend);
    match message {
        Frontend::AuthenticationResponse(response) => {
            macro_rules! check_as {
                ($($message:ident)*) => {
                    $(if let Ok(message) = response.decode_as::<$message<'_>>() {
                        check(&message, frame, Direction::Frontend);
                    })*
                };
            }
            check_as!(PasswordMessage SaslInitialResponse SaslResponse GssResponse);
        }
        Frontend::Bind(bind) => read(&bind.parameters.values),
        Frontend::FunctionCall(call) => read(&call.arguments.values),
        _ => {}
    }
}

/// Reads all values of a decoded message of the client. No value may be malformed, because decoding has checked the values.
fn read(values: &Values<'_>) {
    assert_eq!(values.validate(), Ok(()));
    assert_eq!(values.iter().filter(Result::is_ok).count(), values.len());
}

fn packet(body: &[u8]) {
    let Ok(packet) = Initial::decode(body) else { return };
    let mut out = Vec::new();
    packet.encode(&mut out).expect("a decoded packet can be encoded");
    let length = u32::try_from(body.len() + 4).expect("an input is short");
    assert_eq!(out, [&length.to_be_bytes(), body].concat());
    let _ = format!("{packet:?} {}", packet.trace(Direction::Frontend));
    if let Initial::Startup(startup) = packet {
        for (name, _) in startup.parameters.iter() {
            let last = startup.parameters.iter().filter(|(other, _)| *other == name).last();
            if let Ok(name) = str::from_utf8(name.as_bytes()) {
                assert_eq!(startup.get(name), last.map(|(_, value)| value));
            }
        }
    }
}
