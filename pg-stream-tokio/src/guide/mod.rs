//! Guides for writing pools, proxies and clients with these crates. The tests run the code of each page.

#[doc = include_str!("pool.md")]
pub mod pool {}

#[doc = include_str!("proxy.md")]
pub mod proxy {}

#[doc = include_str!("blocking.md")]
pub mod blocking {}

#[doc = include_str!("time_limits.md")]
pub mod time_limits {}
