//! What projects say about alerts.

use std::collections::HashMap;
use std::iter;
use std::sync::LazyLock;
use std::time::Duration;

use super::Store;
use super::db::{Row, Tx, Value, damaged, values};
use super::error::{Conflict, Result, StoreError};
use crate::domain::alert::{AlertKind, AlertRule, AlertRules, Thresholds};
use crate::domain::audit::AuditEvent;
use crate::domain::id::ProjectId;

impl Store {
    /// The rules of a project.
    pub async fn find_alert_rules(&self, project: &ProjectId) -> Result<AlertRules> {
        let rows = self.db.fetch_all(FIND, values![project.as_str()]).await?;
        Ok(AlertRules::new(rows.iter().map(read).collect::<Result<Vec<_>>>()?))
    }

    /// Stores a changed rule, if the stored one still has the version expected.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn update_alert_rule(
        &self,
        project: &ProjectId,
        rule: &AlertRule,
        expected_version: i64,
        event: &AuditEvent,
    ) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let AlertRule { kind, enabled, thresholds, updated_at, version } = rule;
        let Thresholds { threshold, floor, window, cooldown } = thresholds;
        let values = values![
            project.as_str(),
            kind.as_str(),
            *enabled,
            *threshold,
            *floor,
            micros(*window),
            micros(*cooldown),
            updated_at.unwrap_or_default(),
            *version,
            expected_version,
        ];
        if tx.execute(PUT, values).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The rules of these projects, as far as they said something.
pub(super) async fn of_projects(tx: &mut Tx, projects: &[&ProjectId]) -> Result<HashMap<ProjectId, AlertRules>> {
    let mut found: HashMap<ProjectId, Vec<AlertRule>> = HashMap::new();
    for part in projects.chunks(ASKED) {
        let ids = part.iter().map(|project| project.as_str()).chain(iter::repeat("")).take(ASKED);
        let values: Vec<Value<'_>> = ids.map(Value::from).collect();
        for row in tx.fetch_all(*OF_PROJECTS, &values).await? {
            found.entry(ProjectId::stored(row.text("project")?)).or_default().push(read(&row)?);
        }
    }
    Ok(found.into_iter().map(|(project, rules)| (project, AlertRules::new(rules))).collect())
}

fn read(row: &Row) -> Result<AlertRule> {
    let span = |column| Ok::<_, StoreError>(Duration::from_micros(u64::try_from(row.int(column)?).unwrap_or(0)));
    Ok(AlertRule {
        kind: AlertKind::parse(row.str("kind")?).ok_or_else(|| damaged("alert_rules.kind"))?,
        enabled: row.bool("enabled")?,
        thresholds: Thresholds {
            threshold: row.int("threshold")?,
            floor: row.int("floor")?,
            window: span("window_micros")?,
            cooldown: span("cooldown_micros")?,
        },
        updated_at: Some(row.time("updated_at")?),
        version: row.int("version")?,
    })
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

macro_rules! rule_columns {
    () => {
        "r.project, r.kind, r.enabled, r.threshold, r.floor, r.window_micros, r.cooldown_micros, r.updated_at, r.version"
    };
}

const FIND: &str = concat!("SELECT ", rule_columns!(), " FROM alert_rules r WHERE r.project = $1 ORDER BY r.kind");
const PUT: &str =
    "INSERT INTO alert_rules (project, kind, enabled, threshold, floor, window_micros, cooldown_micros, updated_at,
        version)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE $10 = 0 OR EXISTS (SELECT 1 FROM alert_rules r
        WHERE r.project = $1 AND r.kind = $2)
    ON CONFLICT (project, kind) DO UPDATE SET enabled = excluded.enabled, threshold = excluded.threshold,
        floor = excluded.floor, window_micros = excluded.window_micros, cooldown_micros = excluded.cooldown_micros,
        updated_at = excluded.updated_at, version = excluded.version
    WHERE alert_rules.version = $10";
/// It is made once and holds nothing but the numbers of its placeholders, so it may stay.
static OF_PROJECTS: LazyLock<&'static str> = LazyLock::new(|| {
    let places: Vec<String> = (1..=ASKED).map(|place| format!("${place}")).collect();
    let (columns, projects) = (rule_columns!(), places.join(", "));
    format!("SELECT {columns} FROM alert_rules r WHERE r.project IN ({projects})").leak()
});

/// Projects that one statement asks about.
const ASKED: usize = 50;

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(FIND, "PRIMARY KEY")];
