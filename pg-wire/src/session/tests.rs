//! Tests of the rules by which `SessionState` follows a session.

use alloc::format;
use alloc::string::String;

use super::*;
use crate::{Frame, MessageCode, TransactionStatus};

/// Returns a message of the client by its code. `s` is a Describe of a statement, `p` a Describe of a portal, and `h` an invalid Flush.
fn client(code: u8) -> Frame<'static> {
    match code {
        b's' => Frame { code: MessageCode::DESCRIBE, body: b"S\0" },
        b'h' => Frame { code: MessageCode::FLUSH, body: b"x" },
        b'p' => Frame { code: MessageCode::DESCRIBE, body: b"P\0" },
        code => Frame { code: MessageCode(code), body: b"" },
    }
}

/// Returns a message of the server by its code. `F` is a fatal ErrorResponse. `i`, `x` and `z` are ReadyForQuery with the transaction
/// status idle, in a transaction, and failed.
fn server(code: u8) -> Frame<'static> {
    let (code, body): (u8, &[u8]) = match code {
        b'E' => (b'E', b"SFEHLER\0VERROR\0\0"),
        b'F' => (b'E', b"SFATAL\0VFATAL\0\0"),
        b'Z' | b'i' => (b'Z', b"I"),
        b'x' => (b'Z', b"T"),
        b'z' => (b'Z', b"E"),
        b'S' => (b'S', b"TimeZone\0UTC\0"),
        code => (code, b""),
    };
    Frame { code: MessageCode(code), body }
}

/// Passes a conversation to the state. For example: `>Q <T0 <D0 <C0 <Z0!`.
///
/// - `>` and a code: the client sends a message.
/// - `<`, a code and a number: the server sends a reply to the request with this number.
/// - `<`, a code and `-`: the server sends a message that belongs to no request.
/// - `!`: the message is the last reply to its request. `?`: it is not certain to which request the reply belongs.
fn feed(state: &mut SessionState, text: &str) {
    for word in text.split_whitespace() {
        let (side, rest) = word.split_at(1);
        let (code, rest) = rest.split_at(1);
        let code = code.as_bytes()[0];
        if side == ">" {
            state.sent(client(code)).expect("the queue has room");
            continue;
        }
        let reply = state.received(server(code)).unwrap_or_else(|error| panic!("{word} of {text}: {error}"));
        let found = reply.map_or_else(
            || String::from("-"),
            |reply| {
                let marks = [(reply.last, "!"), (!reply.certain, "?")];
                let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
                format!("{}{marks}", reply.number)
            },
        );
        assert_eq!(found, rest, "{word} of {text}");
    }
}

fn fed(text: &str) -> SessionState {
    let mut state = SessionState::new();
    feed(&mut state, text);
    state
}

const ONE_OUTSTANDING: Result<(), NotIdle> = Err(NotIdle::Outstanding { ready: 1 });

#[test]
fn each_reply_belongs_to_its_request_and_the_end_is_idle() {
    for text in [
        // Simple queries: one statement, several statements, an empty query, an error in the second statement.
        ">Q <T0 <D0 <D0 <C0 <Z0!",
        ">Q <C0 <T0 <D0 <C0 <C0 <Z0!",
        ">Q <I0 <Z0!",
        ">Q <C0 <E0 <Z0! >Q <C1 <Z1!",
        ">Q <T0 <D0 <E0 <Z0!",
        // Extended queries: one statement, two statements in one transaction, a row limit, an empty statement, Close.
        ">P >B >s >p >E >S <10! <21! <t2 <T2! <n3! <D4 <C4! <Z5!",
        ">B >E >B >E >S <20! <C1! <22! <D3 <s3! <Z4!",
        ">P >B >E >C >S <10! <21! <I2! <33! <Z4!",
        // After an error, the server discards every message, even Flush and Query, up to the next Sync.
        ">P >B >E >S <E0! <Z3! >Q <C4 <Z4!",
        ">P >B >H >Q >E >S >S <E0! <Z4! <Z5!",
        ">s >S <t0 <E0! <Z1!",
        // Messages that are sent while the server discards messages.
        ">P <E0! >B >Q >F >d >c >S <Z5!",
        // A Query ends the transaction of extended queries.
        ">P >B >E >Q <10! <21! <C2! <T3 <D3 <C3 <Z3!",
        // The commit of the transaction fails.
        ">E >S <C0! <E1 <Z1!",
        ">F <V0 <Z0! >F <E1 <Z1! >F <V2 <E2 <Z2!",
        // The server sends notices, parameters and notifications between any two messages.
        ">Q <N- <T0 <S- <D0 <A- <D0 <C0 <S- <Z0! <A- <S- <N-",
        // COPY to the client.
        ">Q <H0 <d0 <N- <d0 <c0 <C0 <Z0!",
        ">Q <H0 <d0 <E0 <Z0!",
        ">E >S <H0 <d0 <c0 <C0! <Z1!",
        // COPY from the client. The client can send the end of the COPY before the COPY begins.
        ">Q <G0 >d >d >c <C0 <Z0!",
        ">Q >d >c <G0 <C0 <Z0!",
        ">Q <G0 >f <E0 <Z0!",
        ">Q >c >c <G0 <C0 <G0 <C0 <T0 <D0 <C0 <Z0!",
        ">Q >c >Q <C0 <Z0! <C2 <Z2!",
        // A Sync and a Flush before CopyDone are ignored. A Sync after CopyDone is not ignored.
        ">B >E >S <20! <G1 >H >S >d >c >S <C1! <Z5!",
        ">Q >S <G0 >c >S <C0 <Z0! <Z3!",
        // The COPY fails, because of a CopyFail or an error of the server. The client sends no Sync before the CopyFail or the error.
        ">E <G0 >d >f >S <E0! <Z2!",
        ">E <G0 <E0! >d >S >c >S <Z1! <Z3!",
        // Replication: a COPY in both directions.
        ">Q <W0 <d0 >d >c <d0 <c0 <C0 <C0 <Z0!",
        ">Q <W0 <c0 >c <T0 <D0 <C0 <C0 <Z0!",
        ">Q <W0 <d0 >c <c0 <d0 <d0 <C0 <Z0!",
        // A Flush with a body is an error. The server then discards every message up to the next Sync.
        ">h <E0! >P >S <Z2!",
        // CopyDone and CopyFail outside of a COPY have no reply.
        ">d >c >f >Q <C2 <Z2!",
    ] {
        let state = fed(text);
        assert_eq!(state.check_idle(), Ok(()), "{text}");
        assert_eq!((state.waiting(), state.next_step()), (Waiting::Nothing, Ok(None)), "{text}");
        assert_eq!((state.outstanding_ready(), state.oldest()), (0..=0, None), "{text}");
    }
}

#[test]
fn a_session_that_is_not_idle_has_a_reason_and_a_next_step() {
    for (text, reason, waiting, step) in [
        (">Q", ONE_OUTSTANDING, Waiting::Reply, Step::Receive),
        (">Q <C0", ONE_OUTSTANDING, Waiting::Reply, Step::Receive),
        (">P >B >E", Err(NotIdle::Outstanding { ready: 0 }), Waiting::Flush, Step::Sync),
        (">P >H", Err(NotIdle::Outstanding { ready: 0 }), Waiting::Reply, Step::Sync),
        (">P >H >B <10!", Err(NotIdle::Outstanding { ready: 0 }), Waiting::Flush, Step::Sync),
        (">P >H <10!", Err(NotIdle::Unsynced), Waiting::Sync, Step::Sync),
        (">P >H <E0!", Err(NotIdle::Skipping), Waiting::Sync, Step::Sync),
        (">P >Q <E0!", Err(NotIdle::Skipping), Waiting::Sync, Step::Sync),
        (">P >S >S", Err(NotIdle::Outstanding { ready: 2 }), Waiting::Reply, Step::Receive),
        (">Q <G0", Err(NotIdle::Copy(CopyDirection::In)), Waiting::CopyData, Step::CopyFail),
        (">Q >S <G0", Err(NotIdle::Copy(CopyDirection::In)), Waiting::CopyData, Step::CopyFail),
        (">Q <G0 >c", Err(NotIdle::Copy(CopyDirection::In)), Waiting::Reply, Step::Receive),
        (">E >S <G0", Err(NotIdle::Copy(CopyDirection::In)), Waiting::CopyData, Step::CopyFail),
        (">E >S <G0 >c", Err(NotIdle::Copy(CopyDirection::In)), Waiting::Flush, Step::Sync),
        (">E >S <G0 >c >S", Err(NotIdle::Copy(CopyDirection::In)), Waiting::Reply, Step::Receive),
        (">E >S <G0 >c <C0!", Err(NotIdle::Unsynced), Waiting::Sync, Step::Sync),
        // The server reads a Parse during the COPY, and therefore ends the session.
        (">E <G0 >P", Err(NotIdle::Copy(CopyDirection::In)), Waiting::Reply, Step::Sync),
        (">Q <H0 <d0", Err(NotIdle::Copy(CopyDirection::Out)), Waiting::Reply, Step::Receive),
        (">Q <W0", Err(NotIdle::Copy(CopyDirection::Both)), Waiting::Replication, Step::CopyDone),
        (">Q <W0 <c0", Err(NotIdle::Copy(CopyDirection::Both)), Waiting::CopyData, Step::CopyDone),
        (">Q <W0 >c", Err(NotIdle::Copy(CopyDirection::Both)), Waiting::Reply, Step::Receive),
        (
            ">Q <C0 <x0!",
            Err(NotIdle::Transaction(TransactionStatus::InTransaction)),
            Waiting::Nothing,
            Step::Query("ROLLBACK"),
        ),
        (
            ">Q <E0 <z0!",
            Err(NotIdle::Transaction(TransactionStatus::Failed)),
            Waiting::Nothing,
            Step::Query("ROLLBACK"),
        ),
        // It is unknown whether the server ignored the Sync.
        (">E >S <G0 >f >S <E0!", Err(NotIdle::Uncertain), Waiting::Reply, Step::Receive),
        (">E >S <G0 >f >S <E0! <Z1!?", Err(NotIdle::Uncertain), Waiting::Unknown, Step::Query("")),
        (">E >S <G0 >f >S <E0! <Z1!? >Q", Err(NotIdle::Uncertain), Waiting::Reply, Step::Receive),
        (">E >S <G0 <E0!", Err(NotIdle::Uncertain), Waiting::Unknown, Step::Sync),
        // It is unknown whether the Query was executed or discarded. If the Query was executed, an EmptyQueryResponse can be its reply. So
        // the next step is a Close instead of an empty Query.
        (">E >S <G0 <E0! >Q >S <Z1!?", Err(NotIdle::Uncertain), Waiting::Unknown, Step::ClosePortal),
    ] {
        let state = fed(text);
        assert_eq!(state.check_idle(), reason, "{text}");
        assert_eq!(state.waiting(), waiting, "{text}");
        assert_eq!(state.next_step(), Ok(Some(step)), "{text}");
    }
}

#[test]
fn an_uncertain_state_becomes_certain_with_a_reply_that_fits_one_state() {
    for (text, idle) in [
        (">E >S <G0 >f >S <E0! <Z1!? >Q <I4 <Z4!", Ok(())),
        (">E >S <G0 >f >S <E0! <Z1!? >Q <Z3! <I4 <Z4!", Ok(())),
        (">Q >S >S <G0 >c <E0 <Z0! >Q <Z1!? <I4 <Z4!", Ok(())),
        (">Q >S <G0 <E0 <Z0! >Q <I2", ONE_OUTSTANDING),
        (">E >S <G0 <E0! >Q >S <Z1!? >C >S <34! <Z5!", Ok(())),
        (">E >S <G0 <E0! >Q >S <Z1!? >C >S <I2 <Z2! <Z3! <34! <Z5!", Ok(())),
        // The ParseComplete shows that the server did not ignore the first Sync: otherwise, the server would have discarded the Parse.
        (">E >S >P >S <G0 <E0! <Z1!? <12! <Z3!", Ok(())),
    ] {
        let state = fed(text);
        assert!(state.is_certain(), "{text}");
        assert_eq!(state.check_idle(), idle, "{text}");
    }
    assert_eq!(fed(">Q >S >S <G0 >c <E0 <Z0!").outstanding_ready(), 0..=2);
}

#[test]
fn a_message_that_does_not_fit_the_state_ends_the_session() {
    let not = |request, number| UnexpectedKind::NotAReply { number, request };
    for (text, code, kind) in [
        ("", b'Z', UnexpectedKind::Unasked),
        ("", b'E', UnexpectedKind::Unasked),
        (">P >H <10!", b'1', UnexpectedKind::Unasked),
        (">P >H <E0! >B", b'2', UnexpectedKind::Unasked),
        (">P", b'2', not(Request::Parse, 0)),
        (">Q", b'D', not(Request::Query, 0)),
        (">Q", b'Z', not(Request::Query, 0)),
        (">Q <T0", b'Z', not(Request::Query, 0)),
        (">Q <G0", b'C', not(Request::Query, 0)),
        (">Q <G0 >P >c", b'C', not(Request::Query, 0)),
        (">E", b'T', not(Request::Execute, 0)),
        (">s", b'n', not(Request::DescribeStatement, 0)),
    ] {
        let mut state = fed(text);
        let code = server(code).code;
        let error = state.received(server(code.0)).map(|_| ()).err();
        assert_eq!(error, Some(Unexpected { code, kind }), "{text}");
        assert_eq!((state.over(), state.waiting()), (Some(Over::Lost), Waiting::Over));
        let again = state.received(server(b'N')).map_err(|error| error.kind);
        assert_eq!(again, Err(UnexpectedKind::Over(Over::Lost)));
    }
    let mut state = fed(">S");
    let malformed = state.received(Frame { code: MessageCode::READY_FOR_QUERY, body: b"" });
    assert!(matches!(malformed, Err(Unexpected { kind: UnexpectedKind::Malformed(_), .. })));
}

#[test]
fn a_fatal_error_ends_the_session_at_any_time() {
    for text in
        ["<F-", ">Q <F0!", ">Q <T0 <D0 <F0!", ">P >H <E0! <F-", ">E <G0 >P <E0! <F-", ">Q >S <G0 <E0 <F0!?"]
    {
        let state = fed(text);
        assert_eq!(state.check_idle(), Err(NotIdle::Over(Over::Fatal)), "{text}");
    }
    let mut starting = SessionState::starting();
    feed(&mut starting, "<R0 <E0!");
    assert_eq!(starting.over(), Some(Over::Fatal));
}

#[test]
fn a_session_starts_and_ends() {
    let mut state = SessionState::starting();
    assert_eq!(state.check_idle(), ONE_OUTSTANDING);
    feed(&mut state, "<R0 <R0 <v0 <S- <K0 <N- <Z0!");
    assert_eq!(state.check_idle(), Ok(()));
    assert_eq!(state.parameters().get("TimeZone"), Some("UTC".into()));
    feed(&mut state, ">Q >X >Q <C1 <Z1!");
    assert_eq!((state.over(), state.oldest()), (Some(Over::Terminated), None));
}

#[test]
fn the_queue_is_bounded() {
    let mut state = SessionState::new();
    state.set_bounds(Bounds { runs: 1, ..Bounds::default() });
    for _ in 0..1_000_000 {
        for code in *b"BES" {
            state.sent(client(code)).expect("repeated requests fit into one run");
        }
    }
    assert_eq!(state.outstanding_ready(), 1_000_000..=1_000_000);
    assert_eq!(state.sent(client(b'Q')), Err(QueueFull));
    assert_eq!(state.outstanding_ready(), 1_000_000..=1_000_000);
    feed(&mut state, "<20! <E1! <Z2! <23!");
    assert_eq!(state.next_number(), 3_000_000);
}

#[test]
fn too_many_possible_states_end_the_session() {
    let mut state = fed(">Q >S >S >S >S >S >S >S >S <G0");
    let error = state.received(server(b'E')).map_err(|error| error.kind);
    assert_eq!(error, Err(UnexpectedKind::TooUncertain));
}
