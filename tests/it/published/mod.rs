//! The four published APIs: the calls that each documents, word for word, and what their clients rely on beside.

mod billing;
mod example;
mod storefront;
mod user_keys;
