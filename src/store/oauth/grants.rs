//! Grants, and the codes and refresh tokens by which their tokens are had.
//!
//! Whatever is single-use is claimed by the statement that uses it. A refresh holds its grant's row first, so that of two at
//! the same time one sees what the other did.

use super::access_tokens::{self, NewAccessToken};
use super::registrations;
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, CredentialId, GrantId, ProjectId, UserId};
use crate::domain::oauth::pkce::CodeChallenge;
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::oauth::token::{AuthorizationCode, Grant, RefreshToken};
use crate::domain::secret::SecretHash;
use crate::domain::session::Session;
use crate::store::db::{Row, Tx, damaged, values};
use crate::store::error::Result;
use crate::store::{Store, changes, sessions};

/// What a code or a refresh token is exchanged for.
#[derive(Clone, Copy, Debug)]
pub struct NewTokens<'a> {
    /// The access token.
    pub access: NewAccessToken<'a>,
    /// The refresh token, and until when it waits to be used.
    pub refresh: Option<(&'a SecretHash, Timestamp)>,
    /// The key that the refresh token is bound to.
    pub refresh_key: Option<&'a Thumbprint>,
}

/// What came of a refresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refreshed {
    /// The tokens are stored.
    Done,
    /// The token was used before, and what that gave was used too: two hold what one should.
    Stolen,
    /// The token or its grant is not good any more.
    Ended,
}

impl Store {
    /// Stores a grant with the code that begins it, and remembers what was agreed to; whether the session in which it was agreed
    /// to had not ended by then.
    pub async fn create_grant(
        &self,
        by: &Session,
        grant: &Grant,
        hash: &SecretHash,
        code: &AuthorizationCode,
        event: &AuditEvent,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !sessions::hold(&mut tx, by, grant.created_at).await? {
            return Ok(false);
        }
        insert(&mut tx, grant).await?;
        let challenge = code.challenge.as_ref().map(|challenge| &challenge.as_bytes()[..]);
        let values = values![
            hash.as_bytes(),
            code.grant.as_str(),
            &code.redirect_uri,
            code.redirect_uri_named,
            challenge,
            code.expires_at,
            access_tokens::bytes(code.key.as_ref()),
        ];
        tx.execute(INSERT_CODE, values).await?;
        remember(&mut tx, grant).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What a user agreed to that a client may have, at any time.
    pub async fn find_consent(&self, user: &UserId, client: &ClientId) -> Result<Option<OAuthScopes>> {
        let row = self.db.fetch_optional(FIND_CONSENT, values![user.as_str(), client.as_str()]).await?;
        row.map(|row| access_tokens::scopes(row.str("scopes")?)).transpose()
    }

    /// The grant of this id, whatever became of it.
    pub async fn find_grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        self.db.fetch_optional(FIND, values![id.as_str()]).await?.as_ref().map(read).transpose()
    }

    /// The code with this hash and its grant, whatever became of them.
    pub async fn find_code(&self, hash: &SecretHash) -> Result<Option<(Grant, AuthorizationCode)>> {
        let row = self.db.fetch_optional(FIND_CODE, values![hash.as_bytes()]).await?;
        row.map(|row| Ok((read(&row)?, read_code(&row)?))).transpose()
    }

    /// Takes a code away from whoever presented it wrongly.
    pub async fn spoil_code(&self, hash: &SecretHash, now: Timestamp) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(USE_CODE, values![hash.as_bytes(), now]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Exchanges a code for tokens, if nobody did before; whether it was. Its grant, which lasted as long as the code, lasts
    /// until `grant_ends` from then on.
    pub async fn redeem_code(
        &self,
        hash: &SecretHash,
        grant: &GrantId,
        grant_ends: Timestamp,
        tokens: &NewTokens<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if tx.execute(USE_CODE, values![hash.as_bytes(), now]).await? == 0
            || !prolong(&mut tx, grant, grant_ends, now).await?
        {
            return Ok(false);
        }
        give(&mut tx, tokens).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The refresh token with this hash and its grant, whatever became of them.
    pub async fn find_refresh_token(&self, hash: &SecretHash) -> Result<Option<(Grant, RefreshToken)>> {
        let row = self.db.fetch_optional(FIND_REFRESH, values![hash.as_bytes()]).await?;
        row.map(|row| Ok((read(&row)?, read_refresh(&row)?))).transpose()
    }

    /// Exchanges a refresh token for the next. One that was used before gives tokens once more if what it gave was never used:
    /// then the first answer was lost on its way, and what was in it ends.
    pub async fn refresh(
        &self,
        grant: &GrantId,
        hash: &SecretHash,
        tokens: &NewTokens<'_>,
        now: Timestamp,
    ) -> Result<Refreshed> {
        let Some((next, _)) = tokens.refresh else { return Ok(Refreshed::Ended) };
        let mut tx = self.db.begin().await?;
        if tx.execute(HOLD, values![grant.as_str(), now]).await? == 0 {
            return Ok(Refreshed::Ended);
        }
        let Some(row) = tx.fetch_optional(FIND_STATE, values![hash.as_bytes(), grant.as_str()]).await? else {
            return Ok(Refreshed::Ended);
        };
        if row.time("idle_until")? <= now {
            return Ok(Refreshed::Ended);
        }
        if row.opt_time("spent_at")?.is_some() {
            let refresh = row.bytes("successor")?.to_vec();
            let access = row.bytes("successor_access")?.to_vec();
            // Each is taken away only if it was never used: the statement says so, whoever uses it at the same time.
            let unused = tx.execute(TAKE_BACK_REFRESH, values![&refresh, now]).await? > 0
                && tx.execute(TAKE_BACK_ACCESS, values![&access]).await? > 0;
            if !unused {
                return Ok(Refreshed::Stolen);
            }
        }
        give(&mut tx, tokens).await?;
        let values = values![hash.as_bytes(), now, next.as_bytes(), tokens.access.hash.as_bytes()];
        tx.execute(SPEND, values).await?;
        tx.commit().await?;
        Ok(Refreshed::Done)
    }

    /// Ends a grant with all that came of it; none if it had ended.
    pub async fn revoke_grant(&self, grant: &Grant, now: Timestamp, event: &AuditEvent) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        let Some(hashes) = end(&mut tx, &grant.id, now).await? else { return Ok(None) };
        self.record_in(&mut tx, event).await?;
        let subject = CredentialId::Grant(grant.id.clone());
        let (project, environment) = (&grant.project, grant.environment);
        let change =
            changes::write_of(&mut tx, project, environment, subject, ChangeKind::Revoked, hashes, now).await?;
        tx.commit().await?;
        Ok(Some(change))
    }

    /// The open grants of this user to this client that are more than `most`, oldest first: up to 10 of them.
    pub async fn list_surplus_grants(
        &self,
        user: &UserId,
        client: &ClientId,
        most: u32,
        now: Timestamp,
    ) -> Result<Vec<Grant>> {
        let values = values![user.as_str(), client.as_str(), now, most];
        self.db.fetch_all(LIST_SURPLUS, values).await?.iter().map(read).collect()
    }

    /// Removes up to `batch` refresh tokens that waited too long to be used; how many it were.
    pub async fn prune_refresh_tokens(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE_REFRESH, values![now, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }

    /// Removes up to `batch` grants that are past their end, with all that came of them; how many grants it were.
    pub async fn prune_grants(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let ended = tx.fetch_all(ENDED, values![now, batch]).await?;
        for row in &ended {
            let grant = row.str("id")?;
            for statement in [DELETE_CODES, DELETE_REFRESH, DELETE_ACCESS, DELETE] {
                tx.execute(statement, values![grant]).await?;
            }
        }
        tx.commit().await?;
        Ok(ended.len() as u64)
    }
}

/// Ends a grant: the hashes of its tokens that were not past their end; none if it had ended.
pub(in crate::store) async fn end(tx: &mut Tx, grant: &GrantId, now: Timestamp) -> Result<Option<Vec<SecretHash>>> {
    if tx.execute(REVOKE, values![grant.as_str(), now]).await? == 0 {
        return Ok(None);
    }
    access_tokens::of_grant(tx, grant, now).await.map(Some)
}

/// Lets a grant last until another time, if it has not ended; whether it does.
pub(super) async fn prolong(tx: &mut Tx, grant: &GrantId, ends: Timestamp, now: Timestamp) -> Result<bool> {
    Ok(tx.execute(PROLONG, values![grant.as_str(), ends, now]).await? > 0)
}

/// Adds what was agreed to now to what was agreed to before.
async fn remember(tx: &mut Tx, grant: &Grant) -> Result<()> {
    let (user, client) = (grant.user.as_str(), grant.client.as_str());
    let before = match tx.fetch_optional(FIND_CONSENT, values![user, client]).await? {
        Some(row) => access_tokens::scopes(row.str("scopes")?)?,
        None => OAuthScopes::default(),
    };
    let scopes = before.and(&grant.scopes).to_string();
    tx.execute(REMEMBER, values![user, client, &scopes, grant.created_at]).await?;
    Ok(())
}

/// Stores a grant.
pub(super) async fn insert(tx: &mut Tx, grant: &Grant) -> Result<()> {
    let (scopes, resources) = (grant.scopes.to_string(), grant.resources.join(" "));
    let values = values![
        grant.id.as_str(),
        grant.project.as_str(),
        grant.environment.as_str(),
        grant.client.as_str(),
        grant.user.as_str(),
        &scopes,
        &resources,
        grant.authenticated_at,
        grant.nonce.as_deref(),
        grant.created_at,
        grant.expires_at,
    ];
    tx.execute(INSERT, values).await?;
    registrations::agreed(tx, &grant.client, grant.created_at).await
}

/// Stores the tokens of a grant.
pub(super) async fn give(tx: &mut Tx, tokens: &NewTokens<'_>) -> Result<()> {
    access_tokens::insert(tx, &tokens.access).await?;
    if let (Some((hash, idle_until)), Some(grant)) = (tokens.refresh, &tokens.access.token.grant) {
        let key = access_tokens::bytes(tokens.refresh_key);
        tx.execute(INSERT_REFRESH, values![hash.as_bytes(), grant.as_str(), idle_until, key]).await?;
    }
    Ok(())
}

pub(super) fn read(row: &Row) -> Result<Grant> {
    Ok(Grant {
        id: GrantId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("grants.environment"))?,
        client: ClientId::stored(row.text("client_id")?),
        user: UserId::stored(row.text("user_id")?),
        scopes: access_tokens::scopes(row.str("scopes")?)?,
        resources: access_tokens::words(row.str("resources")?),
        authenticated_at: row.time("authenticated_at")?,
        nonce: row.opt_text("nonce")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("grant_expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}

fn read_code(row: &Row) -> Result<AuthorizationCode> {
    let challenge = row.opt_bytes("challenge")?.map(<[u8; 32]>::try_from).transpose();
    Ok(AuthorizationCode {
        grant: GrantId::stored(row.text("id")?),
        redirect_uri: row.text("redirect_uri")?,
        redirect_uri_named: row.bool("redirect_uri_named")?,
        challenge: challenge.map_err(|_| damaged("authorization_codes.challenge"))?.map(CodeChallenge::stored),
        expires_at: row.time("expires_at")?,
        used_at: row.opt_time("used_at")?,
        key: access_tokens::thumbprint(row, "jkt")?,
    })
}

fn read_refresh(row: &Row) -> Result<RefreshToken> {
    Ok(RefreshToken {
        grant: GrantId::stored(row.text("id")?),
        idle_until: row.time("idle_until")?,
        spent_at: row.opt_time("spent_at")?,
        key: access_tokens::thumbprint(row, "jkt")?,
    })
}

/// The columns of a grant `g`, as [`read`] expects them. A deleted project, client or user has none.
macro_rules! grant_columns {
    () => {
        "g.id, g.project, g.environment, g.client_id, g.user_id, g.scopes, g.resources, g.authenticated_at, g.nonce,
        g.created_at, g.expires_at AS grant_expires_at, g.revoked_at"
    };
}
pub(super) use grant_columns;

const INSERT: &str = "INSERT INTO grants (id, project, environment, client_id, user_id, scopes, resources,
        authenticated_at, nonce, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const REMEMBER: &str = "INSERT INTO consents (user_id, client_id, scopes, given_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id, client_id) DO UPDATE SET scopes = $3, given_at = $4";
const FIND_CONSENT: &str = "SELECT scopes FROM consents WHERE user_id = $1 AND client_id = $2";
const INSERT_CODE: &str =
    "INSERT INTO authorization_codes (hash, grant_id, redirect_uri, redirect_uri_named, challenge, expires_at,
        jkt) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FIND: &str = concat!(
    "SELECT ",
    grant_columns!(),
    " FROM grants g JOIN projects o ON o.id = g.project WHERE g.id = $1 AND o.deleted_at IS NULL"
);
const FIND_CODE: &str = concat!(
    "SELECT ",
    grant_columns!(),
    ", c.redirect_uri, c.redirect_uri_named, c.challenge, c.expires_at, c.used_at, c.jkt
    FROM authorization_codes c JOIN grants g ON g.id = c.grant_id JOIN projects o ON o.id = g.project
    WHERE c.hash = $1 AND o.deleted_at IS NULL"
);
const USE_CODE: &str =
    "UPDATE authorization_codes SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
/// A grant lasts no longer than its code until that is redeemed.
const PROLONG: &str = "UPDATE grants SET expires_at = $2, refreshed_at = $3
    WHERE id = $1 AND revoked_at IS NULL AND expires_at > $3";
const FIND_REFRESH: &str = concat!(
    "SELECT ",
    grant_columns!(),
    ", r.idle_until, r.spent_at, r.jkt
    FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id JOIN projects o ON o.id = g.project
    WHERE r.hash = $1 AND o.deleted_at IS NULL"
);
/// The row is held until the transaction ends.
const HOLD: &str = "UPDATE grants SET refreshed_at = $2 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2";
const FIND_STATE: &str =
    "SELECT idle_until, spent_at, successor, successor_access FROM refresh_tokens WHERE hash = $1 AND grant_id = $2";
/// It is its own successor from then on, and so is used: whoever presents it has it, and somebody else what came in its place.
const TAKE_BACK_REFRESH: &str = "UPDATE refresh_tokens SET spent_at = $2, successor = hash, successor_access = hash
    WHERE hash = $1 AND spent_at IS NULL";
const TAKE_BACK_ACCESS: &str = "DELETE FROM access_tokens WHERE hash = $1 AND waits = true";
const SPEND: &str = "UPDATE refresh_tokens SET spent_at = COALESCE(spent_at, $2), successor = $3, successor_access = $4
    WHERE hash = $1";
const INSERT_REFRESH: &str = "INSERT INTO refresh_tokens (hash, grant_id, idle_until, jkt) VALUES ($1, $2, $3, $4)";
const LIST_SURPLUS: &str = concat!(
    "SELECT ",
    grant_columns!(),
    " FROM grants g WHERE g.user_id = $1 AND g.client_id = $2 AND g.revoked_at IS NULL AND g.expires_at > $3
    ORDER BY g.id DESC LIMIT 10 OFFSET $4"
);
const PRUNE_REFRESH: &str = "DELETE FROM refresh_tokens WHERE hash IN
    (SELECT r.hash FROM refresh_tokens r WHERE r.idle_until <= $1 ORDER BY r.idle_until LIMIT $2)";
const ENDED: &str = "SELECT id FROM grants WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2";
const DELETE_CODES: &str = "DELETE FROM authorization_codes WHERE grant_id = $1";
const DELETE_REFRESH: &str = "DELETE FROM refresh_tokens WHERE grant_id = $1";
const DELETE_ACCESS: &str = "DELETE FROM access_tokens WHERE grant_id = $1";
const DELETE: &str = "DELETE FROM grants WHERE id = $1";
const REVOKE: &str = "UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[
    (FIND_CONSENT, "PRIMARY KEY"),
    (FIND, "sqlite_autoindex_grants_1"),
    (FIND_CODE, "PRIMARY KEY"),
    (USE_CODE, "PRIMARY KEY"),
    (FIND_REFRESH, "PRIMARY KEY"),
    (HOLD, "sqlite_autoindex_grants_1"),
    (FIND_STATE, "PRIMARY KEY"),
    (TAKE_BACK_REFRESH, "PRIMARY KEY"),
    (TAKE_BACK_ACCESS, "sqlite_autoindex_access_tokens_1"),
    (SPEND, "PRIMARY KEY"),
    (REVOKE, "sqlite_autoindex_grants_1"),
    (PROLONG, "sqlite_autoindex_grants_1"),
    (LIST_SURPLUS, "grants_of_user"),
    (PRUNE_REFRESH, "refresh_tokens_ending"),
    (ENDED, "grants_ending"),
    (DELETE_CODES, "authorization_codes_of_grant"),
    (DELETE_REFRESH, "refresh_tokens_of_grant"),
    (DELETE_ACCESS, "access_tokens_of_grant"),
    (DELETE, "sqlite_autoindex_grants_1"),
];
