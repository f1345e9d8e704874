//! libpq, by its C interface.

// The one client here that is not Rust.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::slice;

use anyhow::{Result, bail, ensure};
use pq_sys::*;

use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::touch::Touch;
use crate::sockets::place::Place;

/// A connection.
pub(crate) struct Libpq {
    conn: *mut PGconn,
    prepared: bool,
}

/// A result, freed when dropped.
struct Outcome(*mut PGresult);

impl Drop for Outcome {
    fn drop(&mut self) {
        // SAFETY: it came from libpq and is freed once; null is allowed.
        unsafe { PQclear(self.0) };
    }
}

impl Drop for Libpq {
    fn drop(&mut self) {
        // SAFETY: as for a result.
        unsafe { PQfinish(self.conn) };
    }
}

impl Libpq {
    /// Connects.
    pub(crate) fn connect(place: &Place) -> Result<Self> {
        let words = CString::new(place.words())?;
        // SAFETY: a C string; the connection is finished when it is dropped, also when it has failed.
        let this = unsafe { Self { conn: PQconnectdb(words.as_ptr()), prepared: false } };
        // SAFETY: a connection.
        ensure!(unsafe { PQstatus(this.conn) } == ConnStatusType::CONNECTION_OK, this.message());
        Ok(this)
    }

    fn message(&self) -> String {
        // SAFETY: libpq gives a C string that lives until its next call.
        unsafe { CStr::from_ptr(PQerrorMessage(self.conn)) }.to_string_lossy().into_owned()
    }

    fn check(&self, ok: bool) -> Result<()> {
        if ok { Ok(()) } else { bail!(self.message()) }
    }

    fn prepare(&mut self) -> Result<()> {
        if !self.prepared {
            let sql = CString::new(ONE)?;
            // SAFETY: C strings and a live connection.
            let outcome =
                unsafe { Outcome(PQprepare(self.conn, c"one".as_ptr(), sql.as_ptr(), 1, [23].as_ptr())) };
            outcome.expect(ExecStatusType::PGRES_COMMAND_OK, self)?;
            self.prepared = true;
        }
        Ok(())
    }

    /// Sends the prepared statement with a value, without waiting.
    fn send_one(&self, value: &[u8; 4]) -> Result<()> {
        // SAFETY: one value of four bytes, in arrays of one; the connection lives.
        let sent = unsafe {
            PQsendQueryPrepared(
                self.conn,
                c"one".as_ptr(),
                1,
                [value.as_ptr().cast::<c_char>()].as_ptr(),
                [4].as_ptr(),
                [1].as_ptr(),
                1,
            )
        };
        self.check(sent == 1)
    }

    /// The next result; `None` is the end of a statement's.
    fn next(&self) -> Option<Outcome> {
        // SAFETY: a live connection.
        let outcome = unsafe { PQgetResult(self.conn) };
        (!outcome.is_null()).then_some(Outcome(outcome))
    }

    /// All results of what was sent: rows are looked at.
    fn rows(&self, touch: &mut Touch) -> Result<()> {
        while let Some(outcome) = self.next() {
            outcome.expect(ExecStatusType::PGRES_TUPLES_OK, self)?;
            outcome.look(touch);
        }
        Ok(())
    }
}

impl Outcome {
    fn status(&self) -> ExecStatusType {
        // SAFETY: null is allowed.
        unsafe { PQresultStatus(self.0) }
    }

    fn expect(&self, status: ExecStatusType, conn: &Libpq) -> Result<()> {
        conn.check(self.status() == status)
    }

    /// Looks at every value.
    fn look(&self, touch: &mut Touch) {
        // SAFETY: rows and columns are within what the result says it has.
        unsafe {
            let (rows, columns) = (PQntuples(self.0), PQnfields(self.0));
            for row in 0..rows {
                for column in 0..columns {
                    touch.value(self.value(row, column));
                }
            }
        }
    }

    /// # Safety
    /// The row and the column are there.
    unsafe fn value(&self, row: c_int, column: c_int) -> Option<&[u8]> {
        // SAFETY: by the caller; libpq keeps the bytes as long as the result.
        unsafe {
            if PQgetisnull(self.0, row, column) != 0 {
                return None;
            }
            let length = PQgetlength(self.0, row, column) as usize;
            Some(slice::from_raw_parts(PQgetvalue(self.0, row, column).cast(), length))
        }
    }
}

impl Client for Libpq {
    /// All rows at once: a result for each, as single-row mode has it, costs it more time (and this more memory).
    fn read_text(&mut self, sql: &str) -> Result<u64> {
        let (sql, mut touch) = (CString::new(sql)?, Touch::default());
        // SAFETY: a C string and a live connection.
        self.check(unsafe { PQsendQuery(self.conn, sql.as_ptr()) } == 1)?;
        self.rows(&mut touch)?;
        Ok(touch.sum())
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        let (sql, mut touch) = (CString::new(sql)?, Touch::default());
        let none = ptr::null();
        // SAFETY: a C string, no parameters, and a live connection.
        let sent = unsafe {
            PQsendQueryParams(self.conn, sql.as_ptr(), 0, none, ptr::null(), ptr::null(), ptr::null(), 1)
        };
        self.check(sent == 1)?;
        self.rows(&mut touch)?;
        Ok(touch.sum())
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        let (sql, mut touch) = (CString::new(sql)?, Touch::default());
        // SAFETY: a C string and a live connection.
        let outcome = unsafe { Outcome(PQexec(self.conn, sql.as_ptr())) };
        outcome.expect(ExecStatusType::PGRES_COPY_OUT, self)?;
        loop {
            let mut data = ptr::null_mut();
            // SAFETY: libpq allocates the data, which is freed with its own function.
            unsafe {
                let length = PQgetCopyData(self.conn, &mut data, 0);
                if length < 0 {
                    break;
                }
                touch.value(Some(slice::from_raw_parts(data.cast(), length as usize)));
                PQfreemem(data.cast());
            }
        }
        while let Some(outcome) = self.next() {
            outcome.expect(ExecStatusType::PGRES_COMMAND_OK, self)?;
        }
        Ok(touch.sum())
    }

    fn copy_in(&mut self, sql: &str, pieces: Pieces) -> Result<u64> {
        let sql = CString::new(sql)?;
        // SAFETY: a C string and a live connection.
        let outcome = unsafe { Outcome(PQexec(self.conn, sql.as_ptr())) };
        outcome.expect(ExecStatusType::PGRES_COPY_IN, self)?;
        for _ in 0..pieces.times {
            // SAFETY: as many bytes as are told.
            let put = unsafe {
                PQputCopyData(self.conn, pieces.piece.as_ptr().cast(), pieces.piece.len() as c_int)
            };
            self.check(put == 1)?;
        }
        // SAFETY: a live connection.
        self.check(unsafe { PQputCopyEnd(self.conn, ptr::null()) } == 1)?;
        while let Some(outcome) = self.next() {
            outcome.expect(ExecStatusType::PGRES_COMMAND_OK, self)?;
        }
        Ok(0)
    }

    fn pipeline(&mut self, pipeline: Pipeline) -> Result<u64> {
        self.prepare()?;
        let mut touch = Touch::default();
        // SAFETY: a live connection, idle.
        self.check(unsafe { PQenterPipelineMode(self.conn) } == 1)?;
        for batch in 0..pipeline.batches {
            let mut syncs = 0;
            for place in 0..pipeline.depth {
                self.send_one(&((batch + place) as i32).to_be_bytes())?;
                if pipeline.sync_each || place + 1 == pipeline.depth {
                    // Sends what there is, too; one that only notes it came with libpq 17.
                    // SAFETY: a live connection in pipeline mode.
                    self.check(unsafe { PQpipelineSync(self.conn) } == 1)?;
                    syncs += 1;
                }
            }
            while syncs > 0 {
                match self.next() {
                    // Between the results of two statements.
                    None => {}
                    Some(outcome) if outcome.status() == ExecStatusType::PGRES_PIPELINE_SYNC => syncs -= 1,
                    Some(outcome) => {
                        outcome.expect(ExecStatusType::PGRES_TUPLES_OK, self)?;
                        outcome.look(&mut touch);
                    }
                }
            }
        }
        // SAFETY: a live connection, idle.
        self.check(unsafe { PQexitPipelineMode(self.conn) } == 1)?;
        Ok(touch.sum())
    }

    fn round_trips(&mut self, count: u64) -> Result<u64> {
        self.prepare()?;
        let mut touch = Touch::default();
        for value in 0..count as i32 {
            self.send_one(&value.to_be_bytes())?;
            self.rows(&mut touch)?;
        }
        Ok(touch.sum())
    }
}
