//! What devices ask for, by the hashes of their two codes.
//!
//! Whoever turns a request holds its row first, so that of two at the same time one sees what the other did; the turns are
//! those of the domain.

use std::time::Duration;

use super::access_tokens;
use super::grants::{self, NewTokens};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, GrantId, ProjectId, UserId};
use crate::domain::oauth::device::{Decided, DeviceRequest, DeviceState, Poll};
use crate::domain::oauth::token::Grant;
use crate::domain::secret::SecretHash;
use crate::domain::session::Session;
use crate::store::db::{Row, Tx, damaged, values};
use crate::store::error::Result;
use crate::store::{Store, changes, sessions};

/// What came of beginning a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeviceStarted {
    /// It is stored.
    Done,
    /// Another request has the user's code.
    SameCode,
    /// The client has as many as it may have at one time.
    TooMany,
}

/// Requests that are not past their end, for each client at most.
pub const MAX_DEVICE_REQUESTS: u32 = 5_000;

impl Store {
    /// Stores a request by the hashes of the device's code and the user's.
    pub async fn start_device(
        &self,
        request: &DeviceRequest,
        device: &SecretHash,
        user: &SecretHash,
    ) -> Result<DeviceStarted> {
        let mut tx = self.db.begin().await?;
        let values = values![request.client.as_str(), request.created_at, MAX_DEVICE_REQUESTS];
        if tx.fetch_one(COUNT, values).await?.int("total")? >= i64::from(MAX_DEVICE_REQUESTS) {
            return Ok(DeviceStarted::TooMany);
        }
        let (scopes, resources) = (request.scopes.to_string(), request.resources.join(" "));
        let values = values![
            device.as_bytes(),
            user.as_bytes(),
            request.project.as_str(),
            request.environment.as_str(),
            request.client.as_str(),
            &scopes,
            &resources,
            micros(request.interval),
            request.created_at,
            request.expires_at,
        ];
        if tx.execute(INSERT, values).await? == 0 {
            return Ok(DeviceStarted::SameCode);
        }
        tx.commit().await?;
        Ok(DeviceStarted::Done)
    }

    /// The request with this hash of its device's code, whatever became of it.
    pub async fn find_device(&self, device: &SecretHash) -> Result<Option<DeviceRequest>> {
        self.db.fetch_optional(FIND, values![device.as_bytes()]).await?.as_ref().map(read).transpose()
    }

    /// The request with this hash of its user's code, whatever became of it.
    pub async fn find_device_of_user_code(&self, user: &SecretHash) -> Result<Option<DeviceRequest>> {
        self.db.fetch_optional(FIND_BY_USER_CODE, values![user.as_bytes()]).await?.as_ref().map(read).transpose()
    }

    /// The device asks whether somebody decided; none if there is no such request.
    pub async fn poll_device(&self, device: &SecretHash, now: Timestamp) -> Result<Option<Poll>> {
        let mut tx = self.db.begin().await?;
        let Some(mut request) = held(&mut tx, device).await? else { return Ok(None) };
        let before = request.clone();
        let poll = request.poll(now);
        if request != before {
            put(&mut tx, device, &request).await?;
            tx.commit().await?;
        }
        Ok(Some(poll))
    }

    /// A user agrees to the request with this hash of the user's code, and gives this grant; whether that counts.
    pub async fn approve_device(
        &self,
        user: &SecretHash,
        by: &Session,
        grant: &Grant,
        now: Timestamp,
        event: &AuditEvent,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !sessions::hold(&mut tx, by, now).await? {
            return Ok(false);
        }
        let Some((device, mut request)) = held_by_user_code(&mut tx, user).await? else { return Ok(false) };
        if request.client != grant.client || !request.approve(grant.user.clone(), grant.id.clone(), now) {
            return Ok(false);
        }
        grants::insert(&mut tx, grant).await?;
        put(&mut tx, &device, &request).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A user does not agree to the request with this hash of the user's code; whether that counts.
    pub async fn deny_device(
        &self,
        user: &SecretHash,
        by: &UserId,
        now: Timestamp,
        event: &AuditEvent,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let Some((device, mut request)) = held_by_user_code(&mut tx, user).await? else { return Ok(false) };
        if !request.deny(by.clone(), now) {
            return Ok(false);
        }
        put(&mut tx, &device, &request).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The device gets the tokens of this grant, if nobody had them before; whether it does. The grant, which lasted as long as
    /// the request, lasts until `grant_ends` from then on.
    pub async fn redeem_device(
        &self,
        device: &SecretHash,
        grant: &GrantId,
        grant_ends: Timestamp,
        tokens: &NewTokens<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let Some(mut request) = held(&mut tx, device).await? else { return Ok(false) };
        if !request.redeem(grant, now) || !grants::prolong(&mut tx, grant, grant_ends, now).await? {
            return Ok(false);
        }
        put(&mut tx, device, &request).await?;
        grants::give(&mut tx, tokens).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes up to `batch` requests that are past their end; how many it were.
    pub async fn prune_devices(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![now, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

async fn held(tx: &mut Tx, device: &SecretHash) -> Result<Option<DeviceRequest>> {
    if tx.execute(HOLD, values![device.as_bytes()]).await? == 0 {
        return Ok(None);
    }
    tx.fetch_optional(FIND, values![device.as_bytes()]).await?.as_ref().map(read).transpose()
}

async fn held_by_user_code(tx: &mut Tx, user: &SecretHash) -> Result<Option<(SecretHash, DeviceRequest)>> {
    if tx.execute(HOLD_BY_USER_CODE, values![user.as_bytes()]).await? == 0 {
        return Ok(None);
    }
    let row = tx.fetch_optional(FIND_BY_USER_CODE, values![user.as_bytes()]).await?;
    row.map(|row| Ok((changes::hash(row.bytes("hash")?, "device_requests.hash")?, read(&row)?))).transpose()
}

/// Stores where a request stands whose row is held.
async fn put(tx: &mut Tx, device: &SecretHash, request: &DeviceRequest) -> Result<()> {
    let (state, user, grant) = match &request.state {
        DeviceState::Pending => (PENDING, None, None),
        DeviceState::Approved(decided) => (APPROVED, Some(&decided.user), Some(&decided.grant)),
        DeviceState::Denied(user) => (DENIED, Some(user), None),
        DeviceState::Redeemed(decided) => (REDEEMED, Some(&decided.user), Some(&decided.grant)),
    };
    let values = values![
        device.as_bytes(),
        state,
        user.map(UserId::as_str),
        grant.map(GrantId::as_str),
        micros(request.interval),
        request.polled_at,
    ];
    tx.execute(PUT, values).await?;
    Ok(())
}

fn read(row: &Row) -> Result<DeviceRequest> {
    let user = row.opt_text("user_id")?.map(UserId::stored);
    let grant = row.opt_text("grant_id")?.map(GrantId::stored);
    let state = match (row.str("state")?, user, grant) {
        (PENDING, None, None) => DeviceState::Pending,
        (APPROVED, Some(user), Some(grant)) => DeviceState::Approved(Decided { user, grant }),
        (DENIED, Some(user), None) => DeviceState::Denied(user),
        (REDEEMED, Some(user), Some(grant)) => DeviceState::Redeemed(Decided { user, grant }),
        _ => return Err(damaged("device_requests.state")),
    };
    let interval =
        u64::try_from(row.int("interval_micros")?).map_err(|_| damaged("device_requests.interval_micros"))?;
    Ok(DeviceRequest {
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?)
            .ok_or_else(|| damaged("device_requests.environment"))?,
        client: ClientId::stored(row.text("client_id")?),
        scopes: access_tokens::scopes(row.str("scopes")?)?,
        resources: access_tokens::words(row.str("resources")?),
        state,
        interval: Duration::from_micros(interval),
        polled_at: row.opt_time("polled_at")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

/// No interval is longer than a request lasts.
fn micros(interval: Duration) -> i64 {
    i64::try_from(interval.as_micros()).unwrap_or(i64::MAX)
}

const PENDING: &str = "pending";
const APPROVED: &str = "approved";
const DENIED: &str = "denied";
const REDEEMED: &str = "redeemed";

/// The columns of a request `d`, as [`read`] expects them. A deleted project or client has none.
macro_rules! find {
    ($condition:literal) => {
        concat!(
            "SELECT d.hash, d.project, d.environment, d.client_id, d.scopes, d.resources, d.state, d.user_id, d.grant_id,
        d.interval_micros, d.polled_at, d.created_at, d.expires_at
    FROM device_requests d JOIN projects o ON o.id = d.project JOIN clients c ON c.id = d.client_id
    WHERE ",
            $condition,
            " AND o.deleted_at IS NULL AND c.deleted_at IS NULL"
        )
    };
}

const COUNT: &str = "SELECT COUNT(*) AS total FROM (SELECT 1 AS one FROM device_requests d
    WHERE d.client_id = $1 AND d.expires_at > $2 LIMIT $3) AS newest";
const INSERT: &str = "INSERT INTO device_requests (hash, user_code, project, environment, client_id, scopes, resources,
        state, interval_micros, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10) ON CONFLICT (user_code) DO NOTHING";
const FIND: &str = find!("d.hash = $1");
const FIND_BY_USER_CODE: &str = find!("d.user_code = $1");
/// Changes nothing; the row is held until the transaction ends.
const HOLD: &str = "UPDATE device_requests SET scopes = scopes WHERE hash = $1";
const HOLD_BY_USER_CODE: &str = "UPDATE device_requests SET scopes = scopes WHERE user_code = $1";
const PUT: &str = "UPDATE device_requests SET state = $2, user_id = $3, grant_id = $4, interval_micros = $5,
        polled_at = $6 WHERE hash = $1";
const PRUNE: &str = "DELETE FROM device_requests WHERE hash IN
    (SELECT d.hash FROM device_requests d WHERE d.expires_at <= $1 ORDER BY d.expires_at LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[
    (COUNT, "device_requests_of_client"),
    (FIND, "SEARCH d USING PRIMARY KEY"),
    (FIND_BY_USER_CODE, "device_requests_by_user_code"),
    (HOLD, "PRIMARY KEY"),
    (HOLD_BY_USER_CODE, "device_requests_by_user_code"),
    (PUT, "PRIMARY KEY"),
    (PRUNE, "device_requests_ending"),
];
