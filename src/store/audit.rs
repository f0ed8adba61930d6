//! The audit log.

use super::Store;
use super::db::{Row, Tx, damaged, values};
use super::error::Result;
use crate::domain::audit::AuditEvent;
use crate::domain::id::{AuditEventId, KeyId, ProjectId};

impl Store {
    /// Writes an entry about something that changes nothing else.
    pub async fn record(&self, event: &AuditEvent) -> Result<()> {
        let mut tx = self.db.begin().await?;
        record(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The project's entries after (older than) the one given, newest first.
    pub async fn list_audit_events(
        &self,
        project: &ProjectId,
        after: Option<&AuditEventId>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        let after = after.map_or(AFTER_ALL, AuditEventId::as_str);
        let rows = self.db.fetch_list(LIST, values![project.as_str(), after, limit]).await?;
        rows.iter().map(read).collect()
    }
}

/// Writes an entry with what it is about.
pub(super) async fn record(tx: &mut Tx, event: &AuditEvent) -> Result<()> {
    let client_ip = event.client_ip.map(|address| address.to_string());
    let values = values![
        event.id.as_str(),
        event.project.as_str(),
        event.actor.as_ref().map(KeyId::as_str),
        &event.action,
        &event.target,
        event.request_id.as_deref(),
        client_ip.as_deref(),
        event.occurred_at,
    ];
    tx.execute(INSERT, values).await?;
    Ok(())
}

fn read(row: &Row) -> Result<AuditEvent> {
    let client_ip = row.opt_str("client_ip")?.map(str::parse).transpose();
    Ok(AuditEvent {
        id: AuditEventId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        actor: row.opt_text("actor")?.map(KeyId::stored),
        action: row.text("action")?,
        target: row.text("target")?,
        request_id: row.opt_text("request_id")?,
        client_ip: client_ip.map_err(|_| damaged("audit_events.client_ip"))?,
        occurred_at: row.time("occurred_at")?,
    })
}

/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";

const INSERT: &str = "INSERT INTO audit_events (id, project, actor, action, target, request_id, client_ip, occurred_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const LIST: &str = "SELECT id, project, actor, action, target, request_id, client_ip, occurred_at FROM audit_events
    WHERE project = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(LIST, "audit_events_listed")];
