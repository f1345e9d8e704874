use pg_wire::backend::Backend;
use pg_wire::frontend::Initial;
use pg_wire::testing::{Script, Transcript, block_on};
use pg_wire::{Connection, Direction, Frame, Inbox, Limits, Message};

/// Parses an arbitrary transcript, and encodes its messages. Prints each message as a trace, and checks that the trace is encoded as the
/// same bytes. Also plays both sides of the transcript with a peer that sends arbitrary bytes.
///
/// The input is the transcript, a NUL, and the bytes that the peer sends.
pub fn transcript(data: &[u8]) {
    let (text, peer) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &data[..0]),
    };
    let Ok(text) = str::from_utf8(text) else { return };
    let transcript: Transcript = match text.parse() {
        Ok(transcript) => transcript,
        Err(error) => return drop(format!("{error} {error:?}")),
    };
    for (role, limits) in [(Direction::Frontend, Limits::BACKEND), (Direction::Backend, Limits::FRONTEND)] {
        let other = if role == Direction::Frontend { Direction::Backend } else { Direction::Frontend };
        let _ = play(&transcript, role, limits, peer);
        let (Ok(_), Ok(bytes)) = (transcript.bytes(role), transcript.bytes(other)) else { continue };
        let traces = traces(&bytes, other);
        if let Some((line, bytes)) = traces.iter().find(|(line, bytes)| !is_encoded(line, bytes, other)) {
            panic!("{line} is not {}", bytes.escape_ascii());
        }
    }
}

/// Plays one side of the transcript with a peer that sends the bytes `peer` and then closes the stream.
fn play(transcript: &Transcript, role: Direction, limits: Limits, peer: &[u8]) -> Result<(), String> {
    let mut conn = Connection::new(Script::sends(peer), limits);
    block_on(transcript.play(role, &mut conn)).map_err(|error| error.to_string())
}

/// Returns the trace and the bytes of each message whose trace shows the whole message.
fn traces(mut stream: &[u8], sender: Direction) -> Vec<(String, Vec<u8>)> {
    let mut traces = Vec::new();
    let mut push = |trace: String, bytes: &[u8]| {
        let masks = ["'BBBB'", "\"SSSS\"", "Unknown ", "MD5Password"];
        // Not every trace can be parsed as a transcript. A trace does not escape strings, so a quote or a newline in a string may end the
        // string. A trace prints a Byte1 without quotes, so a Byte1 that is a space is read as a separator. Such traces are not checked.
        let is_whole = !masks.iter().any(|mask| trace.contains(mask))
            && !bytes.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\n' | b'\r'))
            && !trace.contains('\u{fffd}')
            && !trace.contains("  ");
        if is_whole {
            traces.push((trace, bytes.to_vec()));
        }
    };
    if sender == Direction::Frontend {
        let mut inbox = Inbox::new(Limits::FRONTEND);
        inbox.extend(stream);
        while let Ok(Some(body)) = inbox.next_packet(Initial::MAX_LENGTH) {
            let length = body.len() + 4;
            let (bytes, rest) = stream.split_at(length);
            if let Ok(packet) = Initial::decode(body) {
                push(packet.trace(sender).to_string(), bytes);
            }
            stream = rest;
        }
    }
    let limits = if sender == Direction::Frontend { Limits::FRONTEND } else { Limits::BACKEND };
    let mut inbox = Inbox::new(limits);
    inbox.extend(stream);
    while let Ok(Some(Frame { code, body })) = inbox.next() {
        let (bytes, rest) = stream.split_at(body.len() + 5);
        let frame = Frame { code, body };
        let trace = match sender {
            Direction::Frontend => frame.frontend().map(|message| message.trace(sender).to_string()),
            // Decoding a DataRow does not read its values. If a value is malformed, the trace does not show the whole message.
            Direction::Backend => frame.backend().and_then(|message| match message {
                Backend::DataRow(row) => row.values.validate().map(|()| message.trace(sender).to_string()),
                _ => Ok(message.trace(sender).to_string()),
            }),
        };
        if let Ok(trace) = trace {
            push(trace, bytes);
        }
        stream = rest;
    }
    traces
}

/// Whether the trace, as a line of a transcript, is encoded as these bytes.
fn is_encoded(line: &str, bytes: &[u8], sender: Direction) -> bool {
    let encoded = line.parse::<Transcript>().and_then(|transcript| transcript.bytes(sender));
    encoded.is_ok_and(|encoded| encoded == bytes)
}
