//! How a key lies in its tables.

use std::collections::BTreeMap;
use std::time::Duration;

use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::{credits, limits};
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, KeyId, ProjectId, UserId};
use crate::domain::key::{Key, KeyDetails, KeyKind, Rotation, RotationMode};
use crate::domain::network::{AddressMode, AllowList};
use crate::domain::scope::{Scope, ScopeSet};

/// The columns of a key `k` with its sets, as [`read`] expects them.
macro_rules! key_columns {
    () => {
        "k.id, k.project, k.environment, k.kind, k.name, k.alias, k.description, k.owner, k.metadata, k.recoverable,
        k.hint, k.expires_at, k.rotated_at, k.rotation_mode, k.grace_micros, k.old_expires_at, k.created_by,
        k.created_at, k.updated_at, k.suspended_at, k.revoked_at, k.version, k.user_id, k.allowed_ips_mode, k.honey,
        (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM key_scopes c WHERE c.key_id = k.id) AS scopes,
        (SELECT string_agg(a.ip_range, ' ') FROM key_allowed_ips a WHERE a.key_id = k.id) AS allowed_ips,
        (SELECT string_agg(l.name || ' ' || l.calls || ' ' || l.window_micros
                || CASE WHEN l.shared THEN ' shared' ELSE ' own' END, ' ')
            FROM key_rate_limits l WHERE l.key_id = k.id) AS rate_limits,
        (SELECT q.epoch || ' ' || q.remaining || ' ' || q.granted || ' ' || q.amount || ' ' || q.day || ' '
                || q.period_start || ' ' || q.refill
            FROM key_credits q WHERE q.key_id = k.id) AS credits"
    };
}
pub(super) use key_columns;

/// Reads a key.
pub(super) fn read(row: &Row) -> Result<Key> {
    let environment = Environment::parse(row.str("environment")?).ok_or_else(|| damaged("keys.environment"))?;
    let kind = KeyKind::parse(row.str("kind")?).ok_or_else(|| damaged("keys.kind"))?;
    let metadata =
        serde_json::from_str::<BTreeMap<_, _>>(row.str("metadata")?).map_err(|_| damaged("keys.metadata"))?;
    Ok(Key {
        id: KeyId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment,
        kind,
        user: row.opt_text("user_id")?.map(UserId::stored),
        details: KeyDetails {
            name: row.text("name")?,
            alias: row.opt_text("alias")?,
            description: row.text("description")?,
            owner: row.opt_text("owner")?,
            scopes: scopes(row.opt_str("scopes")?)?,
            allowed_ips: allowed_ips(row.opt_str("allowed_ips")?)?,
            metadata: metadata.into(),
            expires_at: row.opt_time("expires_at")?,
            rate_limits: limits::read(row.opt_str("rate_limits")?)?,
            credits: credits::read(row.opt_str("credits")?)?.map(Box::new),
            allowed_ips_mode: AddressMode::parse(row.str("allowed_ips_mode")?)
                .ok_or_else(|| damaged("keys.allowed_ips_mode"))?,
            honey: row.bool("honey")?,
        },
        recoverable: row.bool("recoverable")?,
        hint: row.str("hint")?.into(),
        rotation: rotation(row)?,
        created_by: row.opt_text("created_by")?.map(CredentialId::stored),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        suspended_at: row.opt_time("suspended_at")?,
        revoked_at: row.opt_time("revoked_at")?,
        version: row.int("version")?,
    })
}

/// Stores a new key without its secret and sets.
pub(super) async fn insert(tx: &mut Tx, key: &Key) -> Result<()> {
    let metadata = metadata(key)?;
    let rotation = RotationColumns::of(key);
    let details = &key.details;
    let values = values![
        key.id.as_str(),
        key.project.as_str(),
        key.environment.as_str(),
        key.kind.as_str(),
        &details.name,
        details.alias.as_deref(),
        &details.description,
        details.owner.as_deref(),
        &metadata,
        key.recoverable,
        &*key.hint,
        details.expires_at,
        rotation.rotated_at,
        rotation.mode,
        rotation.grace_micros,
        rotation.old_expires_at,
        key.created_by.as_ref().map(CredentialId::as_str),
        key.created_at,
        key.updated_at,
        key.suspended_at,
        key.revoked_at,
        key.version,
        key.user.as_ref().map(UserId::as_str),
        details.allowed_ips_mode.as_str(),
        details.honey,
    ];
    let taken = if key.kind == KeyKind::User { Conflict::KeyHandle } else { Conflict::Alias };
    tx.execute(INSERT, values).await.map_err(|failure| failure.or_conflict(taken))?;
    Ok(())
}

/// Stores what can change about a key, its sets aside, if it still has the version expected.
pub(super) async fn update(tx: &mut Tx, key: &Key, expected_version: i64) -> Result<()> {
    let metadata = metadata(key)?;
    let rotation = RotationColumns::of(key);
    let details = &key.details;
    let values = values![
        key.id.as_str(),
        key.project.as_str(),
        key.environment.as_str(),
        expected_version,
        &details.name,
        details.alias.as_deref(),
        &details.description,
        details.owner.as_deref(),
        &metadata,
        &*key.hint,
        details.expires_at,
        rotation.rotated_at,
        rotation.mode,
        rotation.grace_micros,
        rotation.old_expires_at,
        key.updated_at,
        key.suspended_at,
        key.revoked_at,
        key.version,
        details.allowed_ips_mode.as_str(),
        details.honey,
    ];
    let changed = tx.execute(UPDATE, values).await.map_err(|failure| failure.or_conflict(Conflict::Alias))?;
    if changed == 0 { Err(StoreError::Conflict(Conflict::Version)) } else { Ok(()) }
}

/// Stores the scopes, ranges and limits of a key that has none.
pub(super) async fn insert_sets(tx: &mut Tx, key: &Key) -> Result<()> {
    for scope in &key.details.scopes {
        let values = values![key.id.as_str(), scope.plain(), scope.spelling(), key.project.as_str()];
        tx.execute(INSERT_SCOPE, values).await?;
    }
    for range in key.details.allowed_ips.iter() {
        tx.execute(INSERT_ALLOWED_IP, values![key.id.as_str(), &range.to_string()]).await?;
    }
    limits::insert_of_key(tx, &key.id, &key.details.rate_limits).await?;
    credits::set(tx, key).await
}

/// Stores the scopes, ranges and limits of a key in place of those it had.
pub(super) async fn replace_sets(tx: &mut Tx, key: &Key) -> Result<()> {
    tx.execute(DELETE_SCOPES, values![key.id.as_str()]).await?;
    tx.execute(DELETE_ALLOWED_IPS, values![key.id.as_str()]).await?;
    limits::remove_of_key(tx, &key.id).await?;
    insert_sets(tx, key).await
}

/// The free pairs as they are stored.
pub(super) fn metadata(key: &Key) -> Result<String> {
    // Text keys and values can always be written as JSON; the error is passed on only so as not to have to say so.
    serde_json::to_string(&key.details.metadata.iter().collect::<BTreeMap<_, _>>())
        .map_err(|_| damaged("keys.metadata"))
}

/// A rotation as it is stored.
pub(super) struct RotationColumns {
    pub(super) rotated_at: Option<i64>,
    pub(super) mode: Option<&'static str>,
    pub(super) grace_micros: Option<i64>,
    pub(super) old_expires_at: Option<i64>,
}

impl RotationColumns {
    pub(super) fn of(key: &Key) -> Self {
        let rotation = key.rotation.as_ref();
        Self {
            rotated_at: rotation.map(|rotation| rotation.rotated_at.micros()),
            mode: rotation.map(|rotation| rotation.mode.as_str()),
            grace_micros: rotation.map(|rotation| i64::try_from(rotation.grace.as_micros()).unwrap_or(i64::MAX)),
            old_expires_at: rotation.and_then(|rotation| rotation.old_expires_at).map(|end| end.micros()),
        }
    }
}

fn rotation(row: &Row) -> Result<Option<Rotation>> {
    let Some(rotated_at) = row.opt_time("rotated_at")? else { return Ok(None) };
    let mode = row.opt_str("rotation_mode")?.and_then(RotationMode::parse);
    let grace = row.opt_int("grace_micros")?.and_then(|micros| u64::try_from(micros).ok());
    Ok(Some(Rotation {
        rotated_at,
        mode: mode.ok_or_else(|| damaged("keys.rotation_mode"))?,
        grace: grace.map(Duration::from_micros).ok_or_else(|| damaged("keys.grace_micros"))?,
        old_expires_at: row.opt_time("old_expires_at")?,
    }))
}

/// Scopes lie as plain form and spelling in turn, parted by spaces, which neither holds.
pub(super) fn scopes(text: Option<&str>) -> Result<ScopeSet> {
    let mut words = text.unwrap_or_default().split_ascii_whitespace();
    let mut scopes = Vec::new();
    while let Some(plain) = words.next() {
        let spelling = words.next().ok_or_else(|| damaged("scopes.spelling"))?;
        scopes.push(Scope::stored(plain, spelling));
    }
    Ok(ScopeSet::new(scopes))
}

/// A range that cannot be read is damage: leaving it out could open the list to any address.
fn allowed_ips(text: Option<&str>) -> Result<AllowList> {
    let ranges = text.unwrap_or_default().split_ascii_whitespace().map(str::parse);
    Ok(AllowList::new(ranges.collect::<Result<Vec<_>, _>>().map_err(|_| damaged("key_allowed_ips.ip_range"))?))
}

const INSERT: &str =
    "INSERT INTO keys (id, project, environment, kind, name, alias, description, owner, metadata, recoverable, hint,
        expires_at, rotated_at, rotation_mode, grace_micros, old_expires_at, created_by, created_at, updated_at,
        suspended_at, revoked_at, version, user_id, allowed_ips_mode, honey)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25)";
const UPDATE: &str = "UPDATE keys SET name = $5, alias = $6, description = $7, owner = $8, metadata = $9, hint = $10,
        expires_at = $11, rotated_at = $12, rotation_mode = $13, grace_micros = $14, old_expires_at = $15,
        updated_at = $16, suspended_at = $17, revoked_at = $18, version = $19, allowed_ips_mode = $20, honey = $21
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4";
const INSERT_SCOPE: &str = "INSERT INTO key_scopes (key_id, plain, spelling, project) VALUES ($1, $2, $3, $4)";
const INSERT_ALLOWED_IP: &str = "INSERT INTO key_allowed_ips (key_id, ip_range) VALUES ($1, $2)";
const DELETE_SCOPES: &str = "DELETE FROM key_scopes WHERE key_id = $1";
const DELETE_ALLOWED_IPS: &str = "DELETE FROM key_allowed_ips WHERE key_id = $1";
