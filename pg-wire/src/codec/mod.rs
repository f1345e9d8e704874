//! Bodies and their fields: the reader, the trait of all writers, and the fields that messages consist of.

pub(crate) mod field;
pub(crate) mod frame;
pub(crate) mod list;
pub(crate) mod message;
pub(crate) mod params;
pub(crate) mod put;
pub(crate) mod reader;
pub(crate) mod values;
