use pg_auth::accept::{Accept, AcceptStep, Credentials};
use pg_auth::link::TlsInfo;
use pg_wire::{Inbox, Limits, Outbox};

use crate::input::Input;

/// Passes arbitrary bytes to two servers that accept every user. The first server gets all bytes at once, the second server gets the bytes
/// in pieces. Both servers must return the same results and send the same answers.
pub fn first_packet(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let piece = usize::from(input.byte()) + 1;
    let stream = input.rest();
    let (whole, answer) = accept(settings, [stream]);
    let (in_pieces, other) = accept(settings, stream.chunks(piece));
    assert_eq!((whole, answer), (in_pieces, other));
}

/// Passes the pieces to the server's state machine. Returns the steps as text, and the bytes of the answer.
fn accept<'d>(settings: u8, pieces: impl IntoIterator<Item = &'d [u8]>) -> (Vec<String>, Vec<u8>) {
    let accept = Accept::new();
    let accept = if settings & 1 == 0 { accept } else { accept.tls(TlsInfo::default()) };
    let mut accept = if settings & 2 == 0 { accept } else { accept.gss_declined() };
    let (mut inbox, mut outbox) = (Inbox::new(Limits::FRONTEND), Outbox::new(1024));
    let (mut steps, mut answer) = (Vec::new(), Vec::new());
    let mut received = 0;
    'pieces: for piece in pieces {
        inbox.extend(piece);
        received += piece.len();
        loop {
            let step = accept.step(&mut inbox, &mut outbox);
            let (is_over, login) = match step {
                Ok(AcceptStep::Read) => break,
                Ok(AcceptStep::Authenticate(startup)) => {
                    let message = startup.message();
                    assert_eq!(message.get("user"), Some(startup.user()));
                    assert!(!startup.user().is_empty() && !startup.database().is_empty());
                    let debug = format!("{startup:?} {:?} {:?}", startup.version(), startup.tls().is_some());
                    steps.push(debug);
                    (false, true)
                }
                Ok(AcceptStep::Login(login)) => {
                    steps.push(format!("{login:?}"));
                    (true, false)
                }
                Ok(AcceptStep::Cancel(key)) => {
                    steps.push(format!("cancel {key:?}"));
                    (true, false)
                }
                Ok(step) => panic!("unexpected step {step:?}"),
                Err(error) => {
                    steps.push(format!("{error} {error:?}"));
                    (true, false)
                }
            };
            if login {
                let credentials = if settings & 4 == 0 { Credentials::Trust } else { Credentials::Reject };
                if let Err(error) = accept.authenticate(credentials, &mut inbox, &mut outbox) {
                    steps.push(error.to_string());
                    break 'pieces;
                }
            }
            if is_over {
                break 'pieces;
            }
        }
        assert!(inbox.capacity() <= 2 * (received + 2 * Limits::FRONTEND.read_size));
    }
    outbox.commit().expect("the answer can be sent");
    answer.extend_from_slice(outbox.pending());
    (steps, answer)
}
