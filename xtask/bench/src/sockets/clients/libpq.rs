//! A client that uses libpq by its C interface.

// This is the only client that calls C functions, and such calls need `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::slice;

use anyhow::{Result, bail, ensure};
use pq_sys::*;

use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::touch::Touch;
use crate::sockets::place::Place;

/// A connection of libpq.
pub(crate) struct Libpq {
    conn: *mut PGconn,
    prepared: bool,
}

/// A result of libpq. Dropping this value frees the result.
struct Outcome(*mut PGresult);

impl Drop for Outcome {
    fn drop(&mut self) {
        // SAFETY: the result is from libpq and is freed only here. PQclear accepts null.
        unsafe { PQclear(self.0) };
    }
}

impl Drop for Libpq {
    fn drop(&mut self) {
        // SAFETY: the connection is from libpq and is freed only here. PQfinish accepts null.
        unsafe { PQfinish(self.conn) };
    }
}

impl Libpq {
    /// Connects to the server.
    pub(crate) fn connect(place: &Place) -> Result<Self> {
        let words = CString::new(place.words())?;
        // SAFETY: the argument is a C string. Dropping `Libpq` frees the connection, even if connecting has failed.
        let this = unsafe { Self { conn: PQconnectdb(words.as_ptr()), prepared: false } };
        // SAFETY: the connection is from PQconnectdb.
        ensure!(unsafe { PQstatus(this.conn) } == ConnStatusType::CONNECTION_OK, this.message());
        Ok(this)
    }

    fn message(&self) -> String {
        // SAFETY: libpq returns a C string that is valid until the next call of libpq.
        unsafe { CStr::from_ptr(PQerrorMessage(self.conn)) }.to_string_lossy().into_owned()
    }

    fn check(&self, ok: bool) -> Result<()> {
        if ok { Ok(()) } else { bail!(self.message()) }
    }

    fn prepare(&mut self) -> Result<()> {
        if !self.prepared {
            let sql = CString::new(ONE)?;
            // SAFETY: the arguments are C strings, an array of one type, and an open connection.
            let outcome =
                unsafe { Outcome(PQprepare(self.conn, c"one".as_ptr(), sql.as_ptr(), 1, [23].as_ptr())) };
            outcome.expect(ExecStatusType::PGRES_COMMAND_OK, self)?;
            self.prepared = true;
        }
        Ok(())
    }

    /// Sends the prepared statement with a value. Does not wait for the result.
    fn send_one(&self, value: &[u8; 4]) -> Result<()> {
        // SAFETY: the connection is open, and each array has one element. The value has four bytes, as the array of lengths declares.
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

    /// Returns the next result of a statement, or `None` after its last result.
    fn next(&self) -> Option<Outcome> {
        // SAFETY: the connection is open.
        let outcome = unsafe { PQgetResult(self.conn) };
        (!outcome.is_null()).then_some(Outcome(outcome))
    }

    /// Reads all results of a statement, and adds their values to the sum in `touch`.
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
        // SAFETY: PQresultStatus accepts null.
        unsafe { PQresultStatus(self.0) }
    }

    fn expect(&self, status: ExecStatusType, conn: &Libpq) -> Result<()> {
        conn.check(self.status() == status)
    }

    /// Adds every value of the result to the sum in `touch`.
    fn look(&self, touch: &mut Touch) {
        // SAFETY: each row index is less than `rows`, and each column index is less than `columns`.
        unsafe {
            let (rows, columns) = (PQntuples(self.0), PQnfields(self.0));
            for row in 0..rows {
                for column in 0..columns {
                    touch.value(self.value(row, column));
                }
            }
        }
    }

    /// Returns the bytes of a value; `None` is NULL.
    ///
    /// # Safety
    /// The result must have this row and this column.
    unsafe fn value(&self, row: c_int, column: c_int) -> Option<&[u8]> {
        // SAFETY: the caller ensures that row and column exist. The bytes are valid as long as the result.
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
    /// Reads all rows as one result. Single-row mode, which makes a separate result for each row, would take more time and less memory.
    fn read_text(&mut self, sql: &str) -> Result<u64> {
        let (sql, mut touch) = (CString::new(sql)?, Touch::default());
        // SAFETY: the arguments are a C string and an open connection.
        self.check(unsafe { PQsendQuery(self.conn, sql.as_ptr()) } == 1)?;
        self.rows(&mut touch)?;
        Ok(touch.sum())
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        let (sql, mut touch) = (CString::new(sql)?, Touch::default());
        let none = ptr::null();
        // SAFETY: the arguments are a C string, no parameters, and an open connection.
        let sent = unsafe {
            PQsendQueryParams(self.conn, sql.as_ptr(), 0, none, ptr::null(), ptr::null(), ptr::null(), 1)
        };
        self.check(sent == 1)?;
        self.rows(&mut touch)?;
        Ok(touch.sum())
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        let (sql, mut touch) = (CString::new(sql)?, Touch::default());
        // SAFETY: the arguments are a C string and an open connection.
        let outcome = unsafe { Outcome(PQexec(self.conn, sql.as_ptr())) };
        outcome.expect(ExecStatusType::PGRES_COPY_OUT, self)?;
        loop {
            let mut data = ptr::null_mut();
            // SAFETY: libpq allocates the data and returns its length. The data is freed once, with PQfreemem.
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
        // SAFETY: the arguments are a C string and an open connection.
        let outcome = unsafe { Outcome(PQexec(self.conn, sql.as_ptr())) };
        outcome.expect(ExecStatusType::PGRES_COPY_IN, self)?;
        for _ in 0..pieces.times {
            // SAFETY: the pointer and the length belong to the slice.
            let put = unsafe {
                PQputCopyData(self.conn, pieces.piece.as_ptr().cast(), pieces.piece.len() as c_int)
            };
            self.check(put == 1)?;
        }
        // SAFETY: the connection is open.
        self.check(unsafe { PQputCopyEnd(self.conn, ptr::null()) } == 1)?;
        while let Some(outcome) = self.next() {
            outcome.expect(ExecStatusType::PGRES_COMMAND_OK, self)?;
        }
        Ok(0)
    }

    fn pipeline(&mut self, pipeline: Pipeline) -> Result<u64> {
        self.prepare()?;
        let mut touch = Touch::default();
        // SAFETY: the connection is open and idle.
        self.check(unsafe { PQenterPipelineMode(self.conn) } == 1)?;
        for batch in 0..pipeline.batches {
            let mut syncs = 0;
            for place in 0..pipeline.depth {
                self.send_one(&((batch + place) as i32).to_be_bytes())?;
                if pipeline.sync_each || place + 1 == pipeline.depth {
                    // PQpipelineSync also sends the buffered messages. PQsendPipelineSync would only add the Sync, but needs libpq 17.
                    // SAFETY: the connection is open and in pipeline mode.
                    self.check(unsafe { PQpipelineSync(self.conn) } == 1)?;
                    syncs += 1;
                }
            }
            while syncs > 0 {
                match self.next() {
                    // `None` is the end of the results of one statement.
                    None => {}
                    Some(outcome) if outcome.status() == ExecStatusType::PGRES_PIPELINE_SYNC => syncs -= 1,
                    Some(outcome) => {
                        outcome.expect(ExecStatusType::PGRES_TUPLES_OK, self)?;
                        outcome.look(&mut touch);
                    }
                }
            }
        }
        // SAFETY: the connection is open and idle.
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
