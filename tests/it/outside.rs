//! The programs and the database server that the other tests rely on are there and work, or are said to be missing.

use sqlx::{Connection, PgConnection};

use crate::support::postgres::{Engine, TestDatabase};
use crate::support::tools::{Tool, run_node};

#[tokio::test]
async fn the_programs_run() {
    for (tool, argument) in [(Tool::Buf, "--version"), (Tool::Curl, "--version"), (Tool::Grpcurl, "--version")] {
        let Some(answer) = tool.run(&[argument]).await else { continue };
        assert!(answer.success, "{tool:?}: {answer:?}");
        let refused = tool.run(&["--no-such-flag"]).await.expect("it was there a moment ago");
        assert!(!refused.success && !refused.stderr.is_empty(), "{tool:?}: {refused:?}");
    }
}

#[tokio::test]
async fn node_finds_the_packages_and_its_arguments() {
    let module = r#"
        import { createGrpcWebTransport } from "@connectrpc/connect-web";
        console.log(typeof createGrpcWebTransport, process.argv[2]);
    "#;
    let Some(answer) = run_node(module, &["an argument"]).await else { return };
    assert!(answer.success, "{answer:?}");
    assert_eq!(answer.stdout, "function an argument\n");
}

#[tokio::test]
async fn a_test_database_is_empty_and_goes_with_its_owner() -> sqlx::Result<()> {
    let Some(database) = TestDatabase::create().await else {
        assert_eq!(Engine::chosen(), Engine::Sqlite, "the suite was asked to run on PostgreSQL");
        return Ok(());
    };
    let url = database.url();
    let mut connection = PgConnection::connect(&url).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut connection)
        .await?;
    assert_eq!(tables, 0);

    drop(database);
    let error = PgConnection::connect(&url).await.expect_err("the database is gone, though we were connected");
    assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("3D000"), "{error}");
    Ok(())
}
