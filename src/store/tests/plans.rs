//! That lists and look-ups walk along an index, whatever is stored.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};

use super::support::*;
use crate::store::{
    access_log, alert_raising, alert_rules, alert_watch, alerts, audit, audit_check, changes, client_rows, clients,
    credentials, credits, deliveries, idempotency, identities, issuers, key_lists, key_uses, keys, leaks, limits,
    master_keys, oauth, outbox, passwords, products, project_data, projects, resealing, scopes, sessions, signing_keys,
    usage, user_keys, users, webhooks,
};

/// Each statement with the index it must use; a statement of two steps names the first.
fn statements() -> Vec<(&'static str, &'static str)> {
    let mut all = Vec::new();
    for module in [
        access_log::PLANNED,
        alert_raising::PLANNED,
        alert_rules::PLANNED,
        alert_watch::PLANNED,
        alerts::PLANNED,
        audit::PLANNED,
        audit_check::PLANNED,
        changes::PLANNED,
        client_rows::PLANNED,
        clients::PLANNED,
        credentials::PLANNED,
        credits::PLANNED,
        deliveries::PLANNED,
        idempotency::PLANNED,
        identities::PLANNED,
        issuers::PLANNED,
        key_lists::PLANNED,
        key_uses::PLANNED,
        keys::PLANNED,
        leaks::PLANNED,
        limits::PLANNED,
        master_keys::PLANNED,
        outbox::PLANNED,
        passwords::PLANNED,
        products::PLANNED,
        project_data::PLANNED,
        projects::PLANNED,
        resealing::PLANNED,
        scopes::PLANNED,
        sessions::PLANNED,
        signing_keys::PLANNED,
        usage::PLANNED,
        user_keys::PLANNED,
        users::PLANNED,
        webhooks::PLANNED,
        oauth::PLANNED[0],
        oauth::PLANNED[1],
        oauth::PLANNED[2],
        oauth::PLANNED[3],
        oauth::PLANNED[4],
        oauth::PLANNED[5],
    ] {
        all.extend_from_slice(module);
    }
    all
}

#[tokio::test]
async fn every_statement_walks_along_an_index() {
    on_sqlite(async |db| {
        let mut all = statements();
        let words = "SCAN w VIRTUAL TABLE INDEX";
        for search in [db.store.db.product_search(), db.store.db.user_search()] {
            all.extend([(search.page, words), (search.count, words)]);
        }

        let Home::File(directory) = &db.home else { unreachable!() };
        let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
        let mut connection = options.connect().await.unwrap();
        for (sql, index) in all {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let plan = steps.join("\n");
            assert!(plan.contains(index), "{sql}\ndoes not use {index}:\n{plan}");
            for step in &steps {
                // What is walked whole is no table, the few rows a step before has left, or the index of words.
                let few = ["CONSTANT ROW", "recent", "holders", "newest", "w VIRTUAL"];
                let whole = step.starts_with("SCAN") && !few.iter().any(|of| step.contains(of));
                assert!(!whole, "{sql}\nwalks a table whole:\n{plan}");
                // The keys of one part of a walk and their secrets are sorted once more; they are few.
                let sorts = is_sort(step) && !sql.contains("recent_id") && !sql.contains("newest_own");
                let few = step.contains("string_agg");
                assert!(!sorts || few, "{sql}\nsorts:\n{plan}");
            }
            // What two walks have found is put in order, but neither walk sorts.
            assert!(steps.iter().filter(|step| is_sort(step)).count() <= 2, "{sql}\nsorts:\n{plan}");
        }
    })
    .await;
}

fn is_sort(step: &str) -> bool {
    step.contains("USE TEMP B-TREE")
}

/// The audit log of two environments is merged from two walks along an index, at any depth.
#[tokio::test]
async fn a_page_of_the_audit_log_reads_what_it_shows() {
    on_postgres(async |db| {
        db.raw(
            "INSERT INTO audit_events (id, project, environment, actor, action, noun, target, occurred_at, seq)
            SELECT 'evt_' || n, 'default', (ARRAY['live', 'test', ''])[n % 3 + 1], 'key_' || n % 50,
                'noun' || n % 20 || '.verb' || n % 40, 'noun' || n % 20, 'key_' || n % 20, n, n FROM generate_series(1, 30000) n; ANALYZE",
        )
        .await;
        let Home::Server { url, .. } = &db.home else { unreachable!() };
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        for (sql, index) in audit::PLANNED.iter().filter(|(sql, _)| sql.contains("UNION ALL")) {
            let filter = |part: &str, value: &'static str| sql.contains(part).then_some(value);
            let rows = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {sql}")))
                .bind("default")
                .bind("live")
                .bind(filter(" AND e.actor = $3 AND (e.o", "key_3"))
                .bind(filter(" AND e.target = $4 AND (e.o", "key_3"))
                .bind(filter(" AND e.action = $5 AND (e.o", "noun3.verb3"))
                .bind(filter(" AND e.noun = $6 AND (e.o", "noun3"))
                .bind(0_i64)
                .bind(15_000_i64)
                .bind(0_i64)
                .bind(21_i64)
                .bind(0_i64)
                .persistent(false);
            let plan: Vec<String> = rows.fetch_all(&mut connection).await.unwrap();
            assert!(plan.iter().any(|step| step.contains(index.trim())), "{index}: {plan:#?}");
            assert!(!plan.iter().any(|step| step.contains("Seq Scan")), "{plan:#?}");
            let read =
                plan.iter().filter_map(|step| step.split_once("rows=")?.1.split(' ').next()?.parse::<u64>().ok());
            // A page of each of the two walks at most, and those of other environments or places are not among them.
            assert!(read.max().is_some_and(|most| most <= 2 * 21), "{plan:#?}");
            let passed = plan.iter().find(|step| step.contains("Rows Removed"));
            assert!(passed.is_none(), "{plan:#?}");
        }
    })
    .await;
}

/// On PostgreSQL it is the planner's estimate that decides, so a small project is set beside a large one.
#[tokio::test]
async fn a_small_project_does_not_pay_for_a_large_one() {
    on_postgres(async |db| {
        let mut batch: Vec<_> = (0..20_000).map(|n| (key(at(n)), new_hash())).collect();
        for (key, _) in &mut batch[..20] {
            key.project = other_project();
        }
        db.store.import_keys(&batch).await.unwrap();
        db.raw("ANALYZE").await;
        let Home::Server { url, .. } = &db.home else { unreachable!() };
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let (page, _) = key_lists::PLANNED[0];
        let explain = format!("EXPLAIN {page}");
        let none = None::<&str>;
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .bind(other_project().as_str().to_owned())
            .bind("live")
            .bind(none)
            .bind(none)
            .bind(none)
            .bind(none)
            .bind(0_i64)
            .bind(none)
            .bind("~")
            .bind(51_i64)
            .bind(0_i64)
            .persistent(false)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert!(plan.iter().any(|step| step.contains("keys_listed")), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("on keys k") && step.contains("Seq Scan")), "{plan:#?}");
    })
    .await;
}
