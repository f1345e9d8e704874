//! The checks: one file for each part of the protocol.
//!
//! A check that needs a table begins a transaction and makes a temporary table with `on commit drop`. So the check also works through a
//! pooler that gives each transaction another session of the server.

mod bind;
mod cancel;
mod copy_in;
mod copy_out;
mod describe;
mod encryption;
mod errors;
mod execute;
mod extended;
mod framing;
mod function;
mod large;
mod negotiation;
mod notification;
mod parameters;
mod password;
mod pipeline;
mod portals;
mod simple;
mod startup;
mod termination;
mod transaction;

use crate::check::Area;

/// All checks.
pub(crate) const AREAS: &[Area] = &[
    Area { title: "negotiation", checks: negotiation::CHECKS },
    Area { title: "encryption", checks: encryption::CHECKS },
    Area { title: "start-up", checks: startup::CHECKS },
    Area { title: "authentication", checks: password::CHECKS },
    Area { title: "cancel request", checks: cancel::CHECKS },
    Area { title: "simple query", checks: simple::CHECKS },
    Area { title: "transaction", checks: transaction::CHECKS },
    Area { title: "Parse and Close", checks: extended::CHECKS },
    Area { title: "Bind", checks: bind::CHECKS },
    Area { title: "Describe", checks: describe::CHECKS },
    Area { title: "Execute", checks: execute::CHECKS },
    Area { title: "portals", checks: portals::CHECKS },
    Area { title: "pipeline", checks: pipeline::CHECKS },
    Area { title: "large messages", checks: large::CHECKS },
    Area { title: "COPY to the client", checks: copy_out::CHECKS },
    Area { title: "COPY from the client", checks: copy_in::CHECKS },
    Area { title: "function call", checks: function::CHECKS },
    Area { title: "notification", checks: notification::CHECKS },
    Area { title: "errors and notices", checks: errors::CHECKS },
    Area { title: "parameters and encodings", checks: parameters::CHECKS },
    Area { title: "framing", checks: framing::CHECKS },
    Area { title: "termination", checks: termination::CHECKS },
];

// Pages of PostgreSQL's manual, each with an anchor.
const START_UP: &str = "protocol-flow.html#PROTOCOL-FLOW-START-UP";
const SIMPLE: &str = "protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY";
const MULTI: &str = "protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT";
const EXTENDED: &str = "protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY";
const PIPELINING: &str = "protocol-flow.html#PROTOCOL-FLOW-PIPELINING";
const FUNCTION: &str = "protocol-flow.html#PROTOCOL-FLOW-FUNCTION-CALL";
const COPY: &str = "protocol-flow.html#PROTOCOL-COPY";
const ASYNC: &str = "protocol-flow.html#PROTOCOL-ASYNC";
const CANCEL: &str = "protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS";
const TERMINATION: &str = "protocol-flow.html#PROTOCOL-FLOW-TERMINATION";
const SSL: &str = "protocol-flow.html#PROTOCOL-FLOW-SSL";
const GSSAPI: &str = "protocol-flow.html#PROTOCOL-FLOW-GSSAPI";
const CONCEPTS: &str = "protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS";
const FORMATS: &str = "protocol-overview.html#PROTOCOL-FORMAT-CODES";
const SASL: &str = "sasl-authentication.html";
const FIELDS: &str = "protocol-error-fields.html";
