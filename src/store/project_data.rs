//! Removing what belonged to a deleted project, a little at a time. Nobody can reach it any more: it only takes room.
//!
//! The audit log stays, and the change log ends by its own age. A new table with a project's data has a line in
//! [`EMPTYING`]; a test compares it with the tables.

use super::Store;
use super::db::{Tx, values};
use super::error::Result;
use crate::domain::clock::Timestamp;
use crate::domain::id::ProjectId;

impl Store {
    /// Up to `limit` deleted projects that may still have data, each with the time of its deletion.
    pub async fn list_projects_to_empty(&self, limit: u32) -> Result<Vec<(ProjectId, Timestamp)>> {
        let rows = self.db.fetch_all(TO_EMPTY, values![limit]).await?;
        rows.iter().map(|row| Ok((ProjectId::stored(row.text("id")?), row.time("deleted_at")?))).collect()
    }

    /// Removes up to `batch` clients, keys, products, users and requests of a deleted project, with all that hangs on them; whether
    /// anything was left to remove.
    pub async fn empty_project(&self, project: &ProjectId, batch: u32) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        // Of several nodes that empty one project, one is at it at a time. A project that was not deleted is not touched.
        if tx.execute(CLAIM, values![project.as_str()]).await? == 0 {
            return Ok(false);
        }
        let mut removed = self.remove_products(&mut tx, project, batch).await?;
        for statement in EMPTYING {
            removed += tx.execute(statement, values![project.as_str(), batch]).await?;
        }
        // Grants name clients, and much names users, so these come when there is nothing else.
        if removed == 0 {
            for statement in EMPTYING_OF_CLIENTS {
                removed += tx.execute(statement, values![project.as_str(), batch]).await?;
            }
        }
        if removed == 0 {
            removed = self.remove_users(&mut tx, project, batch).await?;
        }
        tx.commit().await?;
        Ok(removed > 0)
    }

    /// Notes that nothing of a deleted project is left.
    pub async fn project_is_empty(&self, project: &ProjectId, now: Timestamp) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(EMPTIED, values![project.as_str(), now]).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn remove_products(&self, tx: &mut Tx, project: &ProjectId, batch: u32) -> Result<u64> {
        let mut removed = 0;
        for find in [PRODUCTS, DELETED_PRODUCTS] {
            for row in tx.fetch_all(find, values![project.as_str(), batch]).await? {
                let seq = row.int("seq")?;
                tx.execute(TAGS, values![seq]).await?;
                tx.execute(self.db.product_search().remove, values![seq]).await?;
                removed += tx.execute(PRODUCT, values![seq]).await?;
            }
        }
        Ok(removed)
    }

    async fn remove_users(&self, tx: &mut Tx, project: &ProjectId, batch: u32) -> Result<u64> {
        let mut removed = 0;
        for find in [USERS, DELETED_USERS] {
            for row in tx.fetch_all(find, values![project.as_str(), batch]).await? {
                let seq = row.int("seq")?;
                tx.execute(self.db.user_search().remove, values![seq]).await?;
                removed += tx.execute(USER, values![seq]).await?;
            }
        }
        Ok(removed)
    }
}

/// What removes the rows of project `$1`, `$2` things at a time, in an order in which nothing hangs on what goes. Within one
/// transaction the keys chosen are the same each time.
const EMPTYING: [&str; 37] = [
    DEVICE_REQUESTS,
    CODES,
    REFRESH_TOKENS,
    TOKENS_OF_GRANTS,
    ACCESS_TOKENS,
    GRANTS,
    KEY_SECRETS,
    KEY_SCOPES,
    KEY_ALLOWED_IPS,
    KEY_RATE_LIMITS,
    KEY_CREDITS,
    KEYS,
    SESSIONS,
    PASSWORDS,
    USER_SCOPES,
    SIGN_UP_SCOPES,
    REGISTRATION_SCOPES,
    RATE_LIMITS,
    SPENT_LIMITS,
    SCOPES,
    REQUESTS,
    ISSUERS,
    IDENTITIES,
    LEAK_REPORTS,
    USAGE_COUNTS,
    ACCESS_LOG,
    KEY_USES,
    KEY_SCOPE_USES,
    ALERT_RULES,
    ALERTS,
    ALERT_CLAIMS,
    ALERT_WATCH,
    WEBHOOK_DELIVERIES,
    WEBHOOK_LANES,
    WEBHOOK_SECRETS,
    WEBHOOK_KINDS,
    WEBHOOKS,
];

/// The same for clients.
const EMPTYING_OF_CLIENTS: [&str; 7] =
    [CONSENTS, PUSHED_REQUESTS, REGISTRATIONS, CLIENT_SECRETS, CLIENT_SCOPES, CLIENT_LISTS, CLIENTS];

/// No name is empty: the condition leads along the index.
const TO_EMPTY: &str = "SELECT id, deleted_at FROM projects WHERE deleted_at IS NOT NULL AND emptied_at IS NULL
        AND id > '' ORDER BY id LIMIT $1";
const CLAIM: &str = "UPDATE projects SET emptied_at = NULL WHERE id = $1 AND deleted_at IS NOT NULL";
const EMPTIED: &str = "UPDATE projects SET emptied_at = $2 WHERE id = $1 AND deleted_at IS NOT NULL";
const PRODUCTS: &str = "SELECT seq FROM products WHERE project = $1 AND environment IN ('live', 'test')
        AND deleted_at IS NULL LIMIT $2";
const DELETED_PRODUCTS: &str = "SELECT seq FROM products WHERE project = $1 AND deleted_at IS NOT NULL
    ORDER BY seq LIMIT $2";
const TAGS: &str = "DELETE FROM product_tags WHERE product = $1";
const PRODUCT: &str = "DELETE FROM products WHERE seq = $1";
const USERS: &str = "SELECT seq FROM users WHERE project = $1 AND environment IN ('live', 'test')
        AND deleted_at IS NULL LIMIT $2";
const DELETED_USERS: &str = "SELECT seq FROM users WHERE project = $1 AND deleted_at IS NOT NULL
    ORDER BY seq LIMIT $2";
const USER: &str = "DELETE FROM users WHERE seq = $1";
const REGISTRATIONS: &str = "DELETE FROM client_registrations WHERE client_id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const CLIENT_SECRETS: &str = "DELETE FROM client_secrets WHERE client_id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const CLIENT_SCOPES: &str = "DELETE FROM client_scopes WHERE client_id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const CLIENT_LISTS: &str = "DELETE FROM client_lists WHERE client_id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const CLIENTS: &str = "DELETE FROM clients WHERE id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const DEVICE_REQUESTS: &str = "DELETE FROM device_requests WHERE hash IN
    (SELECT d.hash FROM device_requests d WHERE d.project = $1 LIMIT $2)";
const CODES: &str = "DELETE FROM authorization_codes WHERE grant_id IN
    (SELECT g.id FROM grants g WHERE g.project = $1 ORDER BY g.environment, g.id LIMIT $2)";
const REFRESH_TOKENS: &str = "DELETE FROM refresh_tokens WHERE grant_id IN
    (SELECT g.id FROM grants g WHERE g.project = $1 ORDER BY g.environment, g.id LIMIT $2)";
const TOKENS_OF_GRANTS: &str = "DELETE FROM access_tokens WHERE grant_id IN
    (SELECT g.id FROM grants g WHERE g.project = $1 ORDER BY g.environment, g.id LIMIT $2)";
const ACCESS_TOKENS: &str = "DELETE FROM access_tokens WHERE hash IN
    (SELECT t.hash FROM access_tokens t WHERE t.project = $1 LIMIT $2)";
const GRANTS: &str = "DELETE FROM grants WHERE id IN
    (SELECT g.id FROM grants g WHERE g.project = $1 ORDER BY g.environment, g.id LIMIT $2)";
const PUSHED_REQUESTS: &str = "DELETE FROM pushed_requests WHERE client_id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const CONSENTS: &str = "DELETE FROM consents WHERE client_id IN
    (SELECT c.id FROM clients c WHERE c.project = $1 ORDER BY c.id LIMIT $2)";
const KEY_SECRETS: &str = "DELETE FROM key_secrets WHERE key_id IN
    (SELECT k.id FROM keys k WHERE k.project = $1 ORDER BY k.environment, k.id LIMIT $2)";
const KEY_SCOPES: &str = "DELETE FROM key_scopes WHERE key_id IN
    (SELECT k.id FROM keys k WHERE k.project = $1 ORDER BY k.environment, k.id LIMIT $2)";
const KEY_ALLOWED_IPS: &str = "DELETE FROM key_allowed_ips WHERE key_id IN
    (SELECT k.id FROM keys k WHERE k.project = $1 ORDER BY k.environment, k.id LIMIT $2)";
const KEY_RATE_LIMITS: &str = "DELETE FROM key_rate_limits WHERE key_id IN
    (SELECT k.id FROM keys k WHERE k.project = $1 ORDER BY k.environment, k.id LIMIT $2)";
const KEY_CREDITS: &str = "DELETE FROM key_credits WHERE key_id IN
    (SELECT k.id FROM keys k WHERE k.project = $1 ORDER BY k.environment, k.id LIMIT $2)";
const RATE_LIMITS: &str = "DELETE FROM project_rate_limits WHERE (project, kind, name) IN
    (SELECT l.project, l.kind, l.name FROM project_rate_limits l WHERE l.project = $1 ORDER BY l.kind, l.name LIMIT $2)";
const SPENT_LIMITS: &str = "DELETE FROM spent_limits WHERE bucket IN
    (SELECT s.bucket FROM spent_limits s WHERE s.project = $1 LIMIT $2)";
const KEYS: &str = "DELETE FROM keys WHERE id IN
    (SELECT k.id FROM keys k WHERE k.project = $1 ORDER BY k.environment, k.id LIMIT $2)";
const SESSIONS: &str = "DELETE FROM sessions WHERE hash IN
    (SELECT s.hash FROM sessions s WHERE s.project = $1 ORDER BY s.id LIMIT $2)";
const PASSWORDS: &str = "DELETE FROM passwords WHERE user_id IN
    (SELECT p.user_id FROM passwords p WHERE p.project = $1 ORDER BY p.user_id LIMIT $2)";
const USER_SCOPES: &str = "DELETE FROM user_scopes WHERE (user_id, plain) IN
    (SELECT c.user_id, c.plain FROM user_scopes c WHERE c.project = $1 ORDER BY c.plain, c.user_id LIMIT $2)";
const SIGN_UP_SCOPES: &str = "DELETE FROM sign_up_scopes WHERE (project, plain) IN
    (SELECT c.project, c.plain FROM sign_up_scopes c WHERE c.project = $1 ORDER BY c.plain LIMIT $2)";
const REGISTRATION_SCOPES: &str = "DELETE FROM registration_scopes WHERE (project, plain) IN
    (SELECT c.project, c.plain FROM registration_scopes c WHERE c.project = $1 ORDER BY c.plain LIMIT $2)";
const SCOPES: &str = "DELETE FROM scopes WHERE (project, plain) IN
    (SELECT s.project, s.plain FROM scopes s WHERE s.project = $1 ORDER BY s.plain LIMIT $2)";
const REQUESTS: &str = "DELETE FROM idempotency WHERE (project, environment, actor, idempotency_key) IN
    (SELECT i.project, i.environment, i.actor, i.idempotency_key FROM idempotency i WHERE i.project = $1
        ORDER BY i.environment, i.actor, i.idempotency_key LIMIT $2)";
const ISSUERS: &str = "DELETE FROM issuers WHERE id IN
    (SELECT i.id FROM issuers i WHERE i.project = $1 ORDER BY i.environment, i.id LIMIT $2)";
const IDENTITIES: &str = "DELETE FROM identities WHERE (project, environment, issuer, subject) IN
    (SELECT d.project, d.environment, d.issuer, d.subject FROM identities d WHERE d.project = $1
        ORDER BY d.environment, d.issuer, d.subject LIMIT $2)";
const LEAK_REPORTS: &str = "DELETE FROM leak_reports WHERE id IN
    (SELECT l.id FROM leak_reports l WHERE l.project = $1 ORDER BY l.environment, l.id LIMIT $2)";

const USAGE_COUNTS: &str =
    "DELETE FROM usage_counts WHERE (project, environment, grain, began_at, key_id, client_id, user_id, method, outcome) IN
    (SELECT u.project, u.environment, u.grain, u.began_at, u.key_id, u.client_id, u.user_id, u.method, u.outcome
        FROM usage_counts u WHERE u.project = $1 LIMIT $2)";
const ACCESS_LOG: &str = "DELETE FROM access_log WHERE id IN
    (SELECT l.id FROM access_log l WHERE l.project = $1 LIMIT $2)";
const KEY_USES: &str = "DELETE FROM key_uses WHERE key_id IN
    (SELECT s.key_id FROM key_uses s WHERE s.project = $1 ORDER BY s.key_id LIMIT $2)";
const KEY_SCOPE_USES: &str = "DELETE FROM key_scope_uses WHERE (key_id, plain) IN
    (SELECT s.key_id, s.plain FROM key_scope_uses s WHERE s.project = $1 ORDER BY s.key_id, s.plain LIMIT $2)";
const ALERT_RULES: &str = "DELETE FROM alert_rules WHERE (project, kind) IN
    (SELECT r.project, r.kind FROM alert_rules r WHERE r.project = $1 ORDER BY r.kind LIMIT $2)";
const ALERTS: &str = "DELETE FROM alerts WHERE id IN
    (SELECT l.id FROM alerts l WHERE l.project = $1 ORDER BY l.environment, l.id LIMIT $2)";
const ALERT_CLAIMS: &str = "DELETE FROM alert_claims WHERE (project, environment, kind, claim) IN
    (SELECT c.project, c.environment, c.kind, c.claim FROM alert_claims c WHERE c.project = $1
        ORDER BY c.environment, c.kind, c.claim LIMIT $2)";
const ALERT_WATCH: &str = "DELETE FROM alert_watch WHERE (project, environment, key_id) IN
    (SELECT w.project, w.environment, w.key_id FROM alert_watch w WHERE w.project = $1
        ORDER BY w.environment, w.key_id LIMIT $2)";
const WEBHOOK_DELIVERIES: &str = "DELETE FROM webhook_deliveries WHERE (webhook_id, id) IN
    (SELECT d.webhook_id, d.id FROM webhook_deliveries d WHERE d.project = $1 LIMIT $2)";
const WEBHOOK_LANES: &str = "DELETE FROM webhook_lanes WHERE webhook_id IN
    (SELECT w.id FROM webhooks w WHERE w.project = $1 ORDER BY w.environment, w.id LIMIT $2)";
const WEBHOOK_SECRETS: &str = "DELETE FROM webhook_secrets WHERE webhook_id IN
    (SELECT w.id FROM webhooks w WHERE w.project = $1 ORDER BY w.environment, w.id LIMIT $2)";
const WEBHOOK_KINDS: &str = "DELETE FROM webhook_kinds WHERE webhook_id IN
    (SELECT w.id FROM webhooks w WHERE w.project = $1 ORDER BY w.environment, w.id LIMIT $2)";
const WEBHOOKS: &str = "DELETE FROM webhooks WHERE id IN
    (SELECT w.id FROM webhooks w WHERE w.project = $1 ORDER BY w.environment, w.id LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (TO_EMPTY, "projects_to_empty"),
    (CLAIM, "sqlite_autoindex_projects_1"),
    (EMPTIED, "sqlite_autoindex_projects_1"),
    (PRODUCTS, "products_listed"),
    (DELETED_PRODUCTS, "products_deleted"),
    (TAGS, "PRIMARY KEY"),
    (PRODUCT, "PRIMARY KEY"),
    (USERS, "users_listed"),
    (DELETED_USERS, "users_deleted"),
    (USER, "PRIMARY KEY"),
    (CLIENT_SECRETS, "client_secrets_by_client"),
    (CLIENT_SCOPES, "PRIMARY KEY"),
    (CLIENT_LISTS, "PRIMARY KEY"),
    (CLIENTS, "sqlite_autoindex_clients_1"),
    (DEVICE_REQUESTS, "device_requests_of_project"),
    (KEY_SECRETS, "key_secrets_by_key"),
    (KEY_SCOPES, "PRIMARY KEY"),
    (KEY_ALLOWED_IPS, "PRIMARY KEY"),
    (KEY_RATE_LIMITS, "PRIMARY KEY"),
    (KEY_CREDITS, "PRIMARY KEY"),
    (RATE_LIMITS, "PRIMARY KEY"),
    (SPENT_LIMITS, "spent_limits_of_project"),
    (KEYS, "sqlite_autoindex_keys_1"),
    (SESSIONS, "sessions_of_project"),
    (PASSWORDS, "passwords_of_project"),
    (USER_SCOPES, "user_scopes_by_scope"),
    (SIGN_UP_SCOPES, "PRIMARY KEY"),
    (REGISTRATION_SCOPES, "PRIMARY KEY"),
    (REGISTRATIONS, "PRIMARY KEY"),
    (SCOPES, "PRIMARY KEY"),
    (REQUESTS, "PRIMARY KEY"),
    (ISSUERS, "issuers_listed"),
    (IDENTITIES, "PRIMARY KEY"),
    (LEAK_REPORTS, "leak_reports_listed"),
    (USAGE_COUNTS, "USING COVERING INDEX sqlite_autoindex_usage_counts_1 (project=?)"),
    (ACCESS_LOG, "access_log_listed"),
    (KEY_USES, "key_uses_of_project"),
    (KEY_SCOPE_USES, "key_scope_uses_of_project"),
    (ALERT_RULES, "PRIMARY KEY"),
    (ALERTS, "alerts_listed"),
    (ALERT_CLAIMS, "PRIMARY KEY"),
    (ALERT_WATCH, "PRIMARY KEY"),
    (WEBHOOK_DELIVERIES, "webhook_deliveries_of_project"),
    (WEBHOOK_LANES, "webhooks_listed"),
    (WEBHOOK_SECRETS, "webhooks_listed"),
    (WEBHOOK_KINDS, "webhooks_listed"),
    (WEBHOOKS, "webhooks_listed"),
];
