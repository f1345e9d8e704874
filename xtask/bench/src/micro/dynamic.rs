//! Measurements of encoding a Bind with `dyn` parameters, whose types are known only at run time.

use std::hint::black_box;

use anyhow::{Result, bail};
use bytes::BytesMut;
use pg_wire::{Bindable, FormatCode, Outbox, PgProtocol, Portal, Statement};
use postgres_protocol::message::frontend;
use postgres_types::{ToSql, Type};

use super::encode::{FORMATS, OPERATIONS, VALUES, into, limit_bind, outbox};
use crate::line::{Line, Target, Who};

/// Returns three measurements of encoding Bind, Execute and Sync. In the first two measurements, the parameters are listed in the call, as
/// with `params!`, so the compiler knows their types. In the third measurement (`from elsewhere`), `black_box` hides the list of parameters
/// from the compiler, as if another function had made the list.
pub(crate) fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = [2, 8].map(|count| line(count, "", ours(count))).into();
    lines.push(line(8, ", from elsewhere", Box::new(into(outbox(), ours_from_elsewhere))));
    lines
}

fn line(count: usize, how: &str, ours: Box<dyn FnMut() -> Result<u64>>) -> Line {
    let name = format!("micro: bind {count}, &[&dyn]{how}");
    Line::new(name, "bind+execute+sync", OPERATIONS, Target::new(2.5, 3.0))
        .with(Who::Limit, limit_bind(count))
        .with(Who::Ours, ours)
        .with(Who::Peer("postgres-protocol"), postgres_protocol(count))
        .with(Who::Peer("pg_stream"), pg_stream::bind(count))
}

// Inlined, so that no additional function call is measured: in a program, this chain of calls is part of a larger function.
#[inline(always)]
fn bind(out: &mut Outbox, params: &[&dyn Bindable]) {
    out.bind(Statement("s1"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]).execute_and_sync(params);
}

fn ours(count: usize) -> Box<dyn FnMut() -> Result<u64>> {
    if count == 2 {
        return Box::new(into(outbox(), |out| {
            let v = black_box(&VALUES);
            bind(out, &[&v.id, &v.name]);
            Ok(())
        }));
    }
    Box::new(into(outbox(), |out| {
        let v = black_box(&VALUES);
        bind(out, &[&v.id, &v.name, &v.amount, &v.ratio, &v.active, &v.parent, &v.text, &v.kind]);
        Ok(())
    }))
}

fn ours_from_elsewhere(out: &mut Outbox) -> Result<()> {
    let v = black_box(&VALUES);
    let params: &[&dyn Bindable] =
        &[&v.id, &v.name, &v.amount, &v.ratio, &v.active, &v.parent, &v.text, &v.kind];
    bind(out, black_box(params));
    Ok(())
}

/// Binds with postgres-protocol as tokio-postgres does: the values implement `ToSql`, and the type of each value is checked against the
/// type that the server has reported.
fn postgres_protocol(count: usize) -> Box<dyn FnMut() -> Result<u64>> {
    let types =
        [Type::INT4, Type::TEXT, Type::INT8, Type::FLOAT8, Type::BOOL, Type::INT8, Type::TEXT, Type::INT2];
    let bind = move |out: &mut BytesMut, params: &[&dyn ToSql]| {
        let values = params.iter().zip(&types);
        let write = |(value, ty): (&&dyn ToSql, &Type), out: &mut BytesMut| {
            value.to_sql_checked(ty, out).map(|null| match null {
                postgres_types::IsNull::Yes => postgres_protocol::IsNull::Yes,
                postgres_types::IsNull::No => postgres_protocol::IsNull::No,
            })
        };
        // tokio-postgres would send all values in binary format. This code uses the formats `FORMATS`, so that it writes the same bytes as
        // the other libraries.
        let formats = FORMATS[..params.len()].iter().copied();
        if frontend::bind("", "s1", formats, values, write, [1], out).is_err() {
            bail!("postgres-protocol rejected a bind");
        }
        frontend::execute("", 0, out)?;
        frontend::sync(out);
        Ok(())
    };
    if count == 2 {
        return Box::new(into(BytesMut::new(), move |out| {
            let v = black_box(&VALUES);
            bind(out, &[&v.id, &v.name])
        }));
    }
    Box::new(into(BytesMut::new(), move |out| {
        let v = black_box(&VALUES);
        bind(out, &[&v.id, &v.name, &v.amount, &v.ratio, &v.active, &v.parent, &v.text, &v.kind])
    }))
}

/// A separate module, because the traits of pg_stream and pg-wire have the same names.
pub(crate) mod pg_stream {
    use std::hint::black_box;

    use anyhow::Result;
    use bytes::BufMut;
    use pg_stream::PgProtocol;
    use pg_stream::message::{Bindable, FormatCode};

    use crate::micro::encode::{VALUES, into};

    /// Binds with pg_stream, which accepts only `&[&dyn Bindable]`. A `Vec` is the fastest of the buffers that pg_stream can write to.
    pub(crate) fn bind(count: usize) -> Box<dyn FnMut() -> Result<u64>> {
        #[inline(always)]
        fn bind(out: &mut Vec<u8>, params: &[&dyn Bindable]) -> Result<()> {
            out.bind(None)
                .statement("s1")
                .result_format(FormatCode::Binary)
                .finish(params)
                .execute(None, 0)
                .sync();
            Ok(())
        }
        match count {
            0 => Box::new(into(Vec::new(), |out| bind(out, &[]))),
            2 => Box::new(into(Vec::new(), |out| {
                let v = black_box(&VALUES);
                bind(out, &[&v.id, &v.name])
            })),
            _ => Box::new(into(Vec::new(), |out| {
                let v = black_box(&VALUES);
                let parent = Parent(v.parent);
                bind(out, &[&v.id, &v.name, &v.amount, &v.ratio, &v.active, &parent, &v.text, &v.kind])
            })),
        }
    }

    /// An `Option` that sends NULL with the text format, as pg-wire does. pg_stream itself sends NULL with the binary format.
    struct Parent(Option<i64>);

    impl Bindable for Parent {
        fn format_code(&self) -> FormatCode {
            self.0.map_or(FormatCode::Text, |_| FormatCode::Binary)
        }
        fn encoded_len(&self) -> usize {
            self.0.encoded_len()
        }
        fn encode(&self, out: &mut dyn BufMut) {
            self.0.encode(out);
        }
    }
}
