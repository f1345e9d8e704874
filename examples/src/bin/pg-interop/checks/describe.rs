//! Describe of statements and portals.

use super::EXTENDED;
use crate::check::{Check, PREPARED, SQL};
use crate::message::{
    bind, bind_with, describe_portal, describe_statement, execute, named, parse, raw, sync,
};

const DESCRIBE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DESCRIBE";
const ROW: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ROWDESCRIPTION";

const IDLE: &str = "ReadyForQuery I";

pub(super) const CHECKS: &[Check] = &[
    Check::new("Describe of a statement returns its parameters and columns", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "select $1::int4 as a, $2::text as b"), describe_statement(""), sync()].concat(),
            &[
                "ParseComplete",
                "ParameterDescription 2 23 25",
                r#"RowDescription 2 "a" 0 0 23 4 -1 0 "b" 0 0 25 65535 -1 0"#,
                IDLE,
            ],
        )])
    }),
    Check::new("Describe of a statement without rows returns NoData", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "begin"), describe_statement(""), sync()].concat(),
            &["ParseComplete", "ParameterDescription 0", "NoData", IDLE],
        )])
    }),
    Check::new("Describe of an empty statement returns NoData", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", ""), describe_statement(""), sync()].concat(),
            &["ParseComplete", "ParameterDescription 0", "NoData", IDLE],
        )])
    }),
    Check::new(
        "Describe of a statement without columns returns an empty RowDescription",
        EXTENDED,
        &[SQL],
        |t| {
            t.talk([(
                [parse("", "select"), describe_statement(""), sync()].concat(),
                &["ParseComplete", "ParameterDescription 0", "RowDescription 0", IDLE],
            )])
        },
    ),
    Check::new("Describe of a named statement after Sync", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([
            ([parse("interop", "select 7::int4 as a"), sync()].concat(), &["ParseComplete", IDLE]),
            (
                [describe_statement("interop"), sync()].concat(),
                &["ParameterDescription 0", r#"RowDescription 1 "a" 0 0 23 4 -1 0"#, IDLE],
            ),
        ])
    }),
    Check::new("Describe of a portal returns the columns without the parameters", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "select $1::int4 as a"), bind("", "", &[Some(b"7")]), describe_portal(""), sync()]
                .concat(),
            &["ParseComplete", "BindComplete", r#"RowDescription 1 "a" 0 0 23 4 -1 0"#, IDLE],
        )])
    }),
    Check::new("Describe of a portal returns the format codes of Bind", ROW, &[SQL], |t| {
        t.talk([(
            [
                parse("", "select 1::int4 as a, 2::int4 as b"),
                bind_with("", "", &[], &[], &[0, 1]),
                describe_portal(""),
                sync(),
            ]
            .concat(),
            &[
                "ParseComplete",
                "BindComplete",
                r#"RowDescription 2 "a" 0 0 23 4 -1 0 "b" 0 0 23 4 -1 1"#,
                IDLE,
            ],
        )])
    }),
    Check::new("Describe of a portal without rows returns NoData", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "rollback"), bind("", "", &[]), describe_portal(""), sync()].concat(),
            &["ParseComplete", "BindComplete", "NoData", IDLE],
        )])
    }),
    Check::new("Describe between Bind and Execute does not change the result", EXTENDED, &[SQL], |t| {
        t.talk([(
            [
                parse("", "select 7::int4 as a"),
                describe_statement(""),
                bind("", "", &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            &[
                "ParseComplete",
                "ParameterDescription 0",
                r#"RowDescription 1 "a" 0 0 23 4 -1 0"#,
                "BindComplete",
                r#"RowDescription 1 "a" 0 0 23 4 -1 0"#,
                "DataRow 1 1 '7'",
                r#"CommandComplete "SELECT 1""#,
                IDLE,
            ],
        )])
    }),
    Check::new(
        "Describe of a statement that does not exist is rejected with SQLSTATE 26000",
        DESCRIBE,
        &[],
        |t| {
            t.talk([(
                [describe_statement("interop_none"), sync()].concat(),
                &["ErrorResponse ERROR 26000", IDLE],
            )])
        },
    ),
    Check::new(
        "Describe of a portal that does not exist is rejected with SQLSTATE 34000",
        DESCRIBE,
        &[],
        |t| {
            t.talk([(
                [describe_portal("interop_none"), sync()].concat(),
                &["ErrorResponse ERROR 34000", IDLE],
            )])
        },
    ),
    Check::new(
        "Describe of neither a statement nor a portal is rejected with SQLSTATE 08P01",
        DESCRIBE,
        &[SQL],
        |t| t.talk([([raw(b'D', &named(b'X', "")), sync()].concat(), &["ErrorResponse ERROR 08P01", IDLE])]),
    ),
];
