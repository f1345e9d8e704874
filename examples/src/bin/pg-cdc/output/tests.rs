use super::*;
use std::fs;

const BEGIN: &str = "{\"kind\":\"begin\",\"lsn\":\"0/10\"}\n";

fn commit(end: u64) -> String {
    format!("{{\"kind\":\"commit\",\"lsn\":\"0/{:X}\",\"end\":\"{}\"}}\n", end - 1, Lsn(end))
}

fn send(output: &Output, piece: Piece) {
    output.sender().blocking_send(piece).expect("the thread runs");
}

fn lines(output: &Output, text: &str, boundary: Option<(usize, u64)>) {
    send(output, Piece::Lines(text.into(), boundary.map(|(length, lsn)| (length, Lsn(lsn)))));
}

fn settle(output: &Output) {
    let (done, settled) = oneshot::channel();
    send(output, Piece::Settle(done));
    settled.blocking_recv().expect("settled");
}

#[test]
fn lines_after_the_last_transaction_are_cut_at_the_next_start() {
    for with_state in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let (out, state) = (dir.path().join("out"), with_state.then(|| dir.path().join("state")));
        let open = || Output::open(Some(&out), state.clone(), "s", Format::Json).expect("opened");

        let (output, progress) = open();
        assert_eq!((progress.lsn, progress.length), (None, Some(0)));
        let whole = [BEGIN, &commit(0x20)].concat();
        lines(&output, &[&whole, BEGIN].concat(), Some((whole.len(), 0x20)));
        settle(&output);
        assert_eq!(output.durable.borrow().lsn, Some(Lsn(0x20)));
        // `finish` ends the output thread, which holds the lock on the file. Then the test can open the file again.
        output.finish().expect("written");
        assert_eq!(fs::read_to_string(&out).expect("read"), [&whole, BEGIN].concat());

        let (output, progress) = open();
        assert_eq!((progress.lsn, progress.length), (Some(Lsn(0x20)), Some(whole.len() as u64)));
        assert_eq!(fs::read_to_string(&out).expect("read"), whole);
        lines(&output, BEGIN, None);
        send(&output, Piece::Forget);
        let second = [BEGIN, &commit(0x30)].concat();
        lines(&output, &second, Some((second.len(), 0x30)));
        output.finish().expect("written");
        assert_eq!(fs::read_to_string(&out).expect("read"), [whole, second].concat());
        assert_eq!(open().1.lsn, Some(Lsn(0x30)));
    }
}

#[test]
fn lines_that_were_written_after_the_state_are_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let (out, state) = (dir.path().join("out"), dir.path().join("state"));
    let open = || Output::open(Some(&out), Some(state.clone()), "s", Format::Json);
    let whole = [BEGIN, &commit(0x20)].concat();
    let (output, _) = open().expect("opened");
    lines(&output, &whole, Some((whole.len(), 0x20)));
    output.finish().expect("written");
    // Simulates a kill between the write to the output and the write to the state file.
    let more = [whole.as_str(), BEGIN, &commit(0x30)].concat();
    fs::write(&out, more).expect("written");
    let (output, progress) = open().expect("opened");
    assert_eq!(progress.lsn, Some(Lsn(0x20)));
    output.finish().expect("written");
    assert_eq!(fs::read_to_string(&out).expect("read"), whole);
    // Checks that a file is rejected if it is shorter than its recorded length.
    fs::write(&out, BEGIN).expect("written");
    assert!(matches!(open(), Err(Failure::Refused(_))));
}

#[test]
fn a_snapshot_that_did_not_end_is_recorded() {
    for with_state in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let (out, state) = (dir.path().join("out"), with_state.then(|| dir.path().join("state")));
        let open = || Output::open(Some(&out), state.clone(), "s", Format::Json).expect("opened");
        let begin = b"{\"kind\":\"snapshot_begin\",\"lsn\":\"0/0\"}\n";
        let row = "{\"kind\":\"row\",\"lsn\":\"0/10\"}\n";

        let (output, _) = open();
        let (done, begun) = oneshot::channel();
        send(&output, Piece::BeginSnapshot(begin.to_vec(), done));
        begun.blocking_recv().expect("recorded");
        lines(&output, row, None);
        output.finish().expect("written");

        let (output, progress) = open();
        assert!(progress.in_snapshot, "with state: {with_state}");
        // Without a state file, only the first line of the snapshot records that a snapshot has begun. So this line must stay in the file.
        let kept = if with_state { 0 } else { begin.len() };
        assert_eq!(fs::metadata(&out).expect("a file").len(), kept as u64);
        let (done, begun) = oneshot::channel();
        send(&output, Piece::BeginSnapshot(begin.to_vec(), done));
        begun.blocking_recv().expect("recorded");
        let end = "{\"kind\":\"snapshot_end\",\"lsn\":\"0/10\"}\n";
        lines(&output, &[row, end].concat(), Some((row.len() + end.len(), 0x10)));
        output.finish().expect("written");
        let (output, progress) = open();
        assert_eq!((progress.in_snapshot, progress.lsn), (false, Some(Lsn(0x10))));
        let text = fs::read_to_string(&out).expect("read");
        assert_eq!(text, [std::str::from_utf8(begin).expect("text"), row, end].concat());
        output.finish().expect("written");
    }
}

#[test]
fn a_file_has_one_writer() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Output::open(Some(&dir.path().join("out")), None, "s", Format::Json);
    let (output, _) = open().expect("opened");
    assert!(matches!(open(), Err(Failure::Refused(_))));
    output.finish().expect("ended");
    open().expect("opened again");
}
