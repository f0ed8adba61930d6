//! The suite that says what a store is: each test runs on each engine.
//!
//! SQLite always takes part. PostgreSQL does when `GATEPOST_TEST_POSTGRES` is the URL of a server where databases may be
//! made; without it the tests say what they left out, and with `GATEPOST_TEST_REQUIRED=1` they fail instead.

mod alerts;
mod audit;
mod changes;
mod clients;
mod credentials;
mod credits;
mod devices;
mod documents;
mod faults;
mod given;
mod grants;
mod issuers;
mod keys;
mod leaks;
mod limits;
mod master_keys;
mod migrations;
mod outbox;
mod plans;
mod products;
mod projects;
mod proofs;
mod races;
mod scopes;
mod sessions;
mod signing_keys;
mod statements;
pub(crate) mod support;
mod usage;
mod user_keys;
mod users;
mod webhooks;

/// Makes a test on each engine of each of these functions, which take a [`support::TestDb`].
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn $name() {
                super::super::support::on_sqlite(super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn $name() {
                super::super::support::on_postgres(super::$name).await;
            })*
        }
    };
}
use on_both_engines;
