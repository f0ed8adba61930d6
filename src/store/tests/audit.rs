//! The audit log: that its lists hold what they should, that its chain is whole whoever writes at the same time, and that
//! nobody who writes the database behind our back stays unseen.

use std::time::Duration;

use tokio::task::JoinSet;

use super::on_both_engines;
use super::support::*;
use crate::domain::audit::{ActingToken, AuditEntry, AuditEvent};
use crate::domain::change::ChangeKind;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, KeyId, TokenId, UserId};
use crate::domain::page::PageRequest;
use crate::domain::scope::Scope;
use crate::store::{AuditCheck, AuditFilter, Break, BreakKind, ScopeDeleted, StoredScope};

on_both_engines! {
    a_change_and_its_entry_are_one,
    a_head_that_was_set_back_shows_whatever_follows,
    a_log_from_before_the_chain_is_counted,
    entries_come_back_as_they_were_written,
    lists_are_by_time_filtered_and_paged,
    many_writers_leave_one_chain,
    tampering_is_named,
}

/// An entry of the live environment about `target`, at a time.
fn entry(action: &str, target: &str, seconds: u64) -> AuditEvent {
    AuditEvent { action: action.to_owned(), target: target.to_owned(), occurred_at: at(seconds), ..event(&project()) }
}

fn acting_token() -> ActingToken {
    ActingToken { id: TokenId::new(at(0), &SystemEntropy), user: Some(UserId::new(at(0), &SystemEntropy)) }
}

async fn list(db: &TestDb, filter: &AuditFilter) -> Vec<AuditEntry> {
    db.store.list_audit_events(&project(), Environment::Live, filter, &first(1_000)).await.unwrap().items
}

async fn check(db: &TestDb) -> AuditCheck {
    // Few at a time, so that what is compared over two entries meets the end of a part.
    let check = db.store.check_audit_log(project().as_str(), 3).await.unwrap();
    for batch in [1, 2, 100] {
        assert_eq!(db.store.check_audit_log(project().as_str(), batch).await.unwrap(), check, "in parts of {batch}");
    }
    check
}

async fn whole(db: &TestDb, entries: i64) {
    let wanted = AuditCheck { project: project().to_string(), whole: entries, unchained: 0, broken: None };
    assert_eq!(check(db).await, wanted);
}

async fn entries_come_back_as_they_were_written(db: TestDb) {
    let mut full = event(&project());
    full.actor = Some(KeyId::new(at(0), &SystemEntropy).into());
    full.token = Some(acting_token());
    (full.before, full.after) = (Some("{\"a\":\"\u{fc}\"}".to_owned()), Some("{\"a\":null}".to_owned()));
    let mut bare = event(&project()).of_whole_project();
    (bare.request_id, bare.client_ip, bare.occurred_at) = (None, None, at(1));
    for event in [&full, &bare, &event(&other_project())] {
        db.store.record(event).await.unwrap();
    }
    let listed = list(&db, &AuditFilter::default()).await;
    assert_eq!(listed.iter().map(|entry| (entry.seq, entry.event.clone())).collect::<Vec<_>>(), [(2, bare), (1, full)]);
    whole(&db, 2).await;
    assert_eq!(db.store.list_audited_projects().await.unwrap(), ["default", "other-shop"]);
    assert_eq!(db.store.check_audit_log("other-shop", 10).await.unwrap().whole, 1);
}

async fn lists_are_by_time_filtered_and_paged(db: TestDb) {
    let ann = CredentialId::from(KeyId::new(at(0), &SystemEntropy));
    for n in 0..60_u64 {
        let action = ["key.created", "key.revoked", "scope.removed"][(n % 3) as usize];
        // Clocks of nodes are not quite the same, and much happens at one time.
        let mut event = entry(action, &format!("key_{}", n % 7), 100 + n / 4 + (n % 2) * 2);
        event.actor = (n % 5 == 0).then(|| ann.clone());
        event.environment = [Some(Environment::Live), Some(Environment::Test), None][(n / 3 % 3) as usize];
        db.store.record(&event).await.unwrap();
    }
    let seen = |entry: &AuditEntry| entry.event.environment != Some(Environment::Test);
    let all = list(&db, &AuditFilter::default()).await;
    assert!(all.iter().all(seen) && all.len() == 39, "{}", all.len());
    let key = |entry: &AuditEntry| (entry.event.occurred_at, entry.seq);
    assert!(all.is_sorted_by(|a, b| key(a) > key(b)));

    let word = |text: &str| Some(text.to_owned());
    type Passes = fn(&AuditEvent) -> bool;
    let cases: [(AuditFilter, Passes); 9] = [
        (AuditFilter::default(), |_| true),
        (AuditFilter { actor: Some(None), ..AuditFilter::default() }, |event| event.actor.is_none()),
        (AuditFilter { actor: Some(Some(ann)), ..AuditFilter::default() }, |event| event.actor.is_some()),
        (AuditFilter { target: word("key_3"), ..AuditFilter::default() }, |event| event.target == "key_3"),
        (AuditFilter { action: word("key.revoked"), ..AuditFilter::default() }, |event| event.action == "key.revoked"),
        (AuditFilter { noun: word("key"), ..AuditFilter::default() }, |event| event.action.starts_with("key.")),
        (AuditFilter { noun: word("ke"), ..AuditFilter::default() }, |_| false),
        (AuditFilter { from: Some(at(104)), before: Some(at(109)), ..AuditFilter::default() }, |event| {
            (at(104)..at(109)).contains(&event.occurred_at)
        }),
        (
            AuditFilter { noun: word("key"), target: word("key_3"), before: Some(at(110)), ..AuditFilter::default() },
            |event| event.noun() == "key" && event.target == "key_3" && event.occurred_at < at(110),
        ),
    ];
    for (filter, passes) in cases {
        let wanted: Vec<_> = all.iter().filter(|entry| passes(&entry.event)).cloned().collect();
        assert_eq!(list(&db, &filter).await, wanted, "{filter:?}");
        let page = async |request: &PageRequest| {
            db.store.list_audit_events(&project(), Environment::Live, &filter, request).await.unwrap()
        };
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let part = page(&PageRequest::After { limit: 4, after }).await;
            paged.extend(part.items);
            after = paged.last().map(|entry: &AuditEntry| entry.place.clone());
            if !part.has_more {
                break;
            }
        }
        assert_eq!(paged, wanted, "{filter:?}");
        let second = page(&numbered(4, 1)).await;
        assert_eq!(
            (second.items, second.total),
            (wanted.iter().skip(4).take(4).cloned().collect(), Some(wanted.len() as u64))
        );
    }
}

async fn a_change_and_its_entry_are_one(db: TestDb) {
    let made = key(at(1));
    db.create(&made).await;
    // What is refused leaves nothing, and takes no number.
    let mut stale = made.clone();
    stale.revoke(at(2));
    assert!(db.store.update_key(&stale, 7, ChangeKind::Revoked, &entry("key.revoked", "x", 2)).await.is_err());
    let scope = StoredScope {
        project: project(),
        scope: Scope::parse("read:budgets").unwrap(),
        description: String::new(),
        created_at: at(1),
    };
    db.store.create_scope(&scope, &entry("scope.registered", "read:budgets", 3)).await.unwrap();
    assert!(db.store.create_scope(&scope, &entry("scope.registered", "again", 3)).await.is_err());
    let mut holder = key(at(4));
    holder.details.scopes = crate::domain::scope::ScopeSet::new([scope.scope.clone()]);
    db.create(&holder).await;
    let delete =
        async |plain: &str| db.store.delete_scope(&project(), plain, &entry("scope.removed", plain, 5)).await.unwrap();
    assert_eq!(delete("read:budgets").await, ScopeDeleted::Held(1));
    assert_eq!(delete("read:nothing").await, ScopeDeleted::Missing);
    assert!(!db.store.update_scope(&project(), "read:nothing", "x", &event(&project())).await.unwrap());
    let actions: Vec<_> =
        list(&db, &AuditFilter::default()).await.into_iter().map(|entry| entry.event.action).collect();
    assert_eq!(actions, ["scope.registered", "key.created", "key.created"]);
    whole(&db, 3).await;
}

async fn many_writers_leave_one_chain(db: TestDb) {
    let nodes = [db.store.clone(), db.second().await];
    let mut writers = JoinSet::new();
    for n in 0..8_u64 {
        let node = nodes[(n % 2) as usize].clone();
        writers.spawn(async move {
            for step in 0..12 {
                let mut made = key(at(n * 100 + step));
                let hash = new_hash();
                node.create_key(&made, &hash, None, None, &event(&project())).await.unwrap();
                let name = format!("read:by{n}x{step}");
                let scope = StoredScope {
                    project: project(),
                    scope: Scope::parse(&name).unwrap(),
                    description: String::new(),
                    created_at: at(1),
                };
                node.create_scope(&scope, &event(&project())).await.unwrap();
                made.suspend(at(5)).unwrap();
                node.update_key(&made, 1, ChangeKind::Suspended, &event(&project())).await.unwrap();
                let gone = node.delete_scope(&project(), &name, &event(&project())).await.unwrap();
                assert_eq!(gone, ScopeDeleted::Deleted);
                node.record(&event(&other_project())).await.unwrap();
            }
        });
    }
    // Whoever checks meanwhile sees a whole log too.
    let reader = db.second().await;
    while !writers.is_empty() {
        let meanwhile = reader.check_audit_log(project().as_str(), 50).await.unwrap();
        assert!(meanwhile.broken.is_none() || meanwhile.whole == 0, "{meanwhile:?}");
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    whole(&db, 8 * 12 * 4).await;
    assert_eq!(db.store.check_audit_log("other-shop", 1_000).await.unwrap().whole, 8 * 12);
    let mut seqs: Vec<_> = list(&db, &AuditFilter::default()).await.into_iter().map(|entry| entry.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=8 * 12 * 4).collect::<Vec<_>>());
}

/// Each case is done to a copy of the same log of nine entries, and undone.
async fn tampering_is_named(db: TestDb) {
    for n in 1..=9 {
        let mut event = entry("key.revoked", &format!("key_{n}"), n);
        (event.before, event.after) = (Some(format!("{{\"n\":{n}}}")), Some("{}".to_owned()));
        event.token = (n == 6).then(acting_token);
        db.store.record(&event).await.unwrap();
    }
    let mut ids: Vec<_> =
        list(&db, &AuditFilter::default()).await.into_iter().map(|e| e.event.id.to_string()).collect();
    ids.reverse();
    for table in ["audit_events", "audit_chains"] {
        db.raw(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    let at_seq = |seq: i64, kind| (seq, Some(ids[seq as usize - 1].as_str()), kind);
    let insert = |seq: &str, id: &str| {
        format!(
            "INSERT INTO audit_events (id, project, environment, actor, action, noun, target, occurred_at, seq, link)
            SELECT '{id}', project, environment, actor, action, noun, target, occurred_at, {seq}, link
                FROM audit_events WHERE seq = 9 AND project = 'default'"
        )
    };
    // In two steps, because a number is there once.
    let shift = |from: i64, by: i64| {
        format!(
            "UPDATE audit_events SET seq = seq + 1000 WHERE seq >= {from} AND project = 'default';
            UPDATE audit_events SET seq = seq - 1000 + {by} WHERE seq >= 1000 AND project = 'default'"
        )
    };
    let swap = |a: i64, b: i64| {
        format!(
            "UPDATE audit_events SET seq = -1 WHERE seq = {a}; UPDATE audit_events SET seq = {a} WHERE seq = {b};
            UPDATE audit_events SET seq = {b} WHERE seq = -1"
        )
    };
    let head = |seq: i64| {
        format!(
            "UPDATE audit_chains SET seq = {seq},
                link = (SELECT link FROM audit_events WHERE seq = {seq} AND project = 'default')"
        )
    };
    let changed = BreakKind::Changed;
    type Place<'a> = (i64, Option<&'a str>, BreakKind);
    let mut cases: Vec<(String, Place<'_>)> = vec![
        ("DELETE FROM audit_events WHERE seq = 1".to_owned(), (1, Some(&ids[1]), BreakKind::Removed)),
        ("DELETE FROM audit_events WHERE seq = 5".to_owned(), (5, Some(&ids[5]), BreakKind::Removed)),
        ("DELETE FROM audit_events WHERE seq IN (5, 6)".to_owned(), (5, Some(&ids[6]), BreakKind::Removed)),
        ("DELETE FROM audit_events WHERE seq = 9".to_owned(), (9, None, BreakKind::Truncated)),
        ("DELETE FROM audit_events WHERE seq > 4".to_owned(), (5, None, BreakKind::Truncated)),
        ("DELETE FROM audit_events".to_owned(), (1, None, BreakKind::Truncated)),
        ("DELETE FROM audit_chains".to_owned(), (1, None, BreakKind::Truncated)),
        ("DELETE FROM audit_events; DELETE FROM audit_chains".to_owned(), (1, None, BreakKind::Truncated)),
        (swap(4, 5), at_seq_of(&ids, 4, 5, changed)),
        (swap(2, 8), at_seq_of(&ids, 2, 8, changed)),
        (swap(1, 9), at_seq_of(&ids, 1, 9, changed)),
        (insert("10", "evt_new"), (10, Some("evt_new"), BreakKind::Inserted)),
        (format!("{}; {}", insert("10", "evt_new"), head(10)), (10, Some("evt_new"), BreakKind::Inserted)),
        (insert("0", "evt_new"), (0, Some("evt_new"), BreakKind::Inserted)),
        (
            format!("{}; {}", shift(5, 1), insert("5", "evt_new").replace("seq = 9", "seq = 10")),
            (5, Some("evt_new"), BreakKind::Inserted),
        ),
        // The gap is closed, so that it looks as if the next one had been changed.
        (format!("DELETE FROM audit_events WHERE seq = 5; {}", shift(6, -1)), (5, Some(&ids[5]), changed)),
        // The end is cut off, and the head made to fit: its seal does not.
        (format!("DELETE FROM audit_events WHERE seq = 9; {}", head(8)), (8, None, changed)),
        ("UPDATE audit_chains SET seq = 12".to_owned(), (10, None, BreakKind::Truncated)),
        ("UPDATE audit_chains SET seal = CAST('x' AS %BYTES%)".to_owned(), (9, None, changed)),
        ("UPDATE audit_chains SET unchained = 1".to_owned(), (0, None, BreakKind::Removed)),
    ];
    let fields = [
        "id = 'evt_x'",
        "environment = 'test'",
        "environment = ''",
        "actor = 'key_x'",
        "actor = NULL",
        "action = 'key.created'",
        "noun = 'scope'",
        "target = 'key_8'",
        "request_id = NULL",
        "request_id = ''",
        "client_ip = 'junk'",
        "client_ip = NULL",
        "occurred_at = occurred_at + 1",
        "fields_before = NULL",
        "fields_after = '{ }'",
        "acting_token = NULL",
        "acting_user = NULL",
        "acting_token = NULL, acting_user = NULL",
        "acting_user = 'usr_x'",
        "link = CAST('x' AS %BYTES%)",
        "target = 'key_6\u{e9}'",
    ];
    for field in fields {
        let id = if field.starts_with("id") { "evt_x" } else { ids[5].as_str() };
        cases.push((format!("UPDATE audit_events SET {field} WHERE seq = 6"), (6, Some(id), changed)));
    }
    // The first and the last are nothing special.
    for seq in [1, 9] {
        cases.push((format!("UPDATE audit_events SET target = 'x' WHERE seq = {seq}"), at_seq(seq, changed)));
        let token = format!("UPDATE audit_events SET acting_token = 'tok_x' WHERE seq = {seq}");
        cases.push((token, at_seq(seq, changed)));
    }
    for (sql, (seq, id, kind)) in cases {
        db.raw(&sql).await;
        let broken = check(&db).await.broken;
        let wanted = Some(Break { seq, event: id.map(str::to_owned), kind });
        assert_eq!(broken, wanted, "{sql}");
        for table in ["audit_events", "audit_chains"] {
            db.raw(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
        whole(&db, 9).await;
    }
}

/// The entry that was at `other` and is at `seq` now.
fn at_seq_of(ids: &[String], seq: i64, other: usize, kind: BreakKind) -> (i64, Option<&str>, BreakKind) {
    (seq, Some(&ids[other - 1]), kind)
}

async fn a_head_that_was_set_back_shows_whatever_follows(db: TestDb) {
    for n in 1..=6 {
        db.store.record(&entry("key.revoked", "x", n)).await.unwrap();
    }
    db.raw("DELETE FROM audit_events WHERE seq > 4").await;
    db.raw("UPDATE audit_chains SET seq = 4, link = (SELECT link FROM audit_events WHERE seq = 4)").await;
    // The service goes on, and its own next entry does not heal the log.
    for n in 7..=9 {
        db.store.record(&entry("key.created", "x", n)).await.unwrap();
    }
    let broken = check(&db).await.broken.unwrap();
    assert_eq!((broken.seq, broken.kind), (5, BreakKind::Truncated));

    db.raw("DELETE FROM audit_chains").await;
    db.store.record(&entry("key.created", "x", 10)).await.unwrap();
    let broken = check(&db).await.broken.unwrap();
    assert_eq!((broken.seq, broken.kind), (5, BreakKind::Truncated), "a head that is gone is not begun anew");
}

async fn a_log_from_before_the_chain_is_counted(db: TestDb) {
    // As the migration leaves it.
    for (seq, id) in [(-1, "evt_a"), (0, "evt_b")] {
        db.raw(&format!(
            "INSERT INTO audit_events (id, project, action, target, occurred_at, seq, noun, actor)
            VALUES ('{id}', 'default', 'key.created', 'key_1', {}, {seq}, 'key', NULL)",
            at(1).micros()
        ))
        .await;
    }
    assert_eq!(db.store.list_projects_without_audit_log().await.unwrap(), [project(), other_project()]);
    db.store.record(&entry("key.revoked", "key_1", 2)).await.unwrap();
    assert_eq!(db.store.list_projects_without_audit_log().await.unwrap(), [other_project()]);
    let wanted = AuditCheck { project: project().to_string(), whole: 1, unchained: 2, broken: None };
    assert_eq!(check(&db).await, wanted);
    let seqs: Vec<_> = list(&db, &AuditFilter::default()).await.into_iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [1, 0, -1]);
    db.raw("DELETE FROM audit_events WHERE seq = -1").await;
    assert_eq!(check(&db).await.broken.map(|broken| broken.kind), Some(BreakKind::Removed));
}
