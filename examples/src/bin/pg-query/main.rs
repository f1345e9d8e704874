//! Runs SQL by the simple protocol, and prints the results.
//!
//! `cargo run -p examples --bin pg-query -- postgres://user:secret@localhost/mydb "SELECT 1"`

mod arguments;
mod failure;
mod interrupts;
mod output;
mod query;
mod report;

use std::process::exit;

use pg_stream_tokio::connect;

use arguments::Task;
use failure::Failure;
use interrupts::Interrupts;
use output::Output;
use query::Query;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let task = arguments::task();
    let code = run(task).await;
    // `exit` ends the program even during a blocked read of standard input or a blocked write. Dropping the runtime would wait for the read
    // and the write.
    exit(code)
}

/// Runs the task to its end, and returns the exit status.
async fn run(task: Task) -> i32 {
    let mut output = Output::start(Interrupts::new());
    let outcome = query(&task, &mut output).await;
    let code = match outcome {
        Ok(()) => 0,
        Err(Failure::Interrupted) => return interrupts::give_up(),
        Err(failure) => match output.say(failure.text(&task)).await {
            Ok(()) => failure.code(),
            Err(_) => return interrupts::give_up(),
        },
    };
    let was_cut = output.was_cut();
    match output.finish().await {
        Err(_) => interrupts::give_up(),
        Ok(Some(error)) => {
            report::say(format_args!("pg-query: cannot write to standard output: {error}"));
            code.max(1)
        }
        // The answer was complete before the cancel request arrived, but rows were dropped after Ctrl-C. So the program reports an
        // interruption.
        Ok(None) if was_cut && code == 0 => interrupts::give_up(),
        Ok(None) => code,
    }
}

async fn query(task: &Task, output: &mut Output) -> Result<(), Failure> {
    let (conn, session) = tokio::select! {
        biased;
        // No statement is running yet, so Ctrl-C ends the program without a cancel request.
        _ = output.interrupts.heard() => return Err(Failure::Interrupted),
        made = connect(&task.config) => made?,
    };
    for notice in &session.notices {
        output.say(report::notice(notice.fields())).await?;
    }
    for notification in &session.notifications {
        let (channel, payload) = (&notification.channel, &notification.payload);
        output.say(report::notification(channel, payload, notification.pid)).await?;
    }
    if let Some(target) = session.cancel_target() {
        output.interrupts.can_cancel(task.config.clone(), target);
    }
    let mut query = Query::new(conn, output, task);
    let outcome = query.run().await;
    query.end(outcome).await
}
