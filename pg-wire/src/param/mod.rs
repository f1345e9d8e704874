//! Values that are sent to the server: parameters of a Bind, arguments of a function call.

pub(crate) mod bindable;
pub(crate) mod bound;
pub(crate) mod formats;
pub(crate) mod params;

pub use bindable::{Bindable, WrongType};
pub use bound::Bound;
pub use params::{Params, VisitParam};
