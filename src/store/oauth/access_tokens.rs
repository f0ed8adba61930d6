//! Access tokens, by the hash of the whole token: opaque ones and signed ones alike. What is not here opens nothing, whoever
//! signed it.

use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::credential::ActingUser;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, CredentialId, GrantId, ProjectId, TokenId, UserId};
use crate::domain::oauth::document::DocumentUrl;
use crate::domain::oauth::exchange::{Subject, SubjectKind};
use crate::domain::oauth::scope::{OAuthScope, OAuthScopes};
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::oauth::token::AccessToken;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::SecretHash;
use crate::domain::user::Standing;
use crate::store::db::{Row, Tx, damaged, values};
use crate::store::error::Result;
use crate::store::{Store, changes, key_rows};

/// An access token to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewAccessToken<'a> {
    /// The hash of the whole token.
    pub hash: &'a SecretHash,
    /// What it says.
    pub token: &'a AccessToken,
}

impl Store {
    /// Stores an access token that nobody had to agree to.
    pub async fn issue_access_token(&self, new: &NewAccessToken<'_>) -> Result<()> {
        if let Some(issuing) = &self.issuing {
            return issuing.store(new, self.db.deadline()).await;
        }
        let mut tx = self.db.begin().await?;
        insert(&mut tx, new).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The access token with this hash and the user it acts for, whatever their state; none of a client or project that was
    /// deleted. One query.
    pub async fn find_access_token(&self, hash: &SecretHash) -> Result<Option<(AccessToken, Option<ActingUser>)>> {
        let row = self.db.fetch_optional(FIND, values![hash.as_bytes()]).await?;
        let Some(row) = row else { return Ok(None) };
        let (mut token, user) = (read(&row)?, acting_user(&row)?);
        let client = key_rows::scopes(row.opt_str("client_scopes")?)?;
        // One that was exchanged is held to what it was exchanged for, which is held to the user.
        let user_holds = |plain: &str| match &user {
            Some(user) => token.subject.is_some() || user.scopes.holds(plain),
            None => true,
        };
        // What the client may not ask for any more counts no more, nor what its user may not do.
        let held = |plain: &str| client.holds(plain) && user_holds(plain);
        let held: Vec<_> = token.scopes.registered.iter().filter(|scope| held(scope.plain())).cloned().collect();
        token.scopes.registered = ScopeSet::new(held);
        Ok(Some((token, user)))
    }

    /// Notes the first use of a token that came of a refresh; whether there is such a token that was not used. If there is
    /// not, it was taken back meanwhile, or is in use already.
    pub async fn use_access_token(&self, hash: &SecretHash, token: &AccessToken) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        if tx.execute(USE, values![hash.as_bytes()]).await? == 0 {
            return Ok(None);
        }
        let change = tell(&mut tx, hash, token, ChangeKind::Updated, token.issued_at).await?;
        tx.commit().await?;
        Ok(Some(change))
    }

    /// Ends an access token; none if it had ended.
    pub async fn revoke_access_token(
        &self,
        hash: &SecretHash,
        token: &AccessToken,
        now: Timestamp,
    ) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        if tx.execute(REVOKE, values![hash.as_bytes(), now]).await? == 0 {
            return Ok(None);
        }
        let change = tell(&mut tx, hash, token, ChangeKind::Revoked, now).await?;
        tx.commit().await?;
        Ok(Some(change))
    }

    /// Removes up to `batch` access tokens that are past their end; how many it were.
    pub async fn prune_access_tokens(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![now, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

/// Ends an access token: its id; none if it had ended.
pub(in crate::store) async fn end(tx: &mut Tx, hash: &SecretHash, now: Timestamp) -> Result<Option<TokenId>> {
    let row = tx.fetch_optional(END, values![hash.as_bytes(), now]).await?;
    row.map(|row| Ok(TokenId::stored(row.text("id")?))).transpose()
}

/// Stores an access token.
pub(super) async fn insert(tx: &mut Tx, new: &NewAccessToken<'_>) -> Result<()> {
    let NewAccessToken { hash, token } = new;
    let (scopes, audiences) = (token.scopes.to_string(), token.audiences.join(" "));
    let values = values![
        hash.as_bytes(),
        token.id.as_str(),
        token.project.as_str(),
        token.environment.as_str(),
        token.client.as_str(),
        token.user.as_ref().map(UserId::as_str),
        token.grant.as_ref().map(GrantId::as_str),
        &scopes,
        &audiences,
        token.issued_at,
        token.expires_at,
        token.waits_for_first_use,
        bytes(token.key.as_ref()),
        token.subject.as_ref().map(|subject| &subject.hash.as_bytes()[..]),
        token.subject.as_ref().map(|subject| subject.kind.as_str()),
    ];
    tx.execute(INSERT, values).await?;
    Ok(())
}

/// The hashes of a grant's tokens that are not past their end.
pub(super) async fn of_grant(tx: &mut Tx, grant: &GrantId, now: Timestamp) -> Result<Vec<SecretHash>> {
    let rows = tx.fetch_all(OF_GRANT, values![grant.as_str(), now]).await?;
    rows.iter().map(|row| changes::hash(row.bytes("hash")?, "access_tokens.hash")).collect()
}

/// Scopes as they lie: words parted by spaces.
pub(super) fn scopes(text: &str) -> Result<OAuthScopes> {
    let scope = |word| OAuthScope::parse(word).ok_or_else(|| damaged("scopes"));
    text.split_ascii_whitespace().map(scope).collect()
}

/// The key that something is bound to. What cannot be read is damage: it may be bound.
pub(super) fn thumbprint(row: &Row, column: &'static str) -> Result<Option<Thumbprint>> {
    let bytes = row.opt_bytes(column)?.map(<[u8; 32]>::try_from).transpose();
    Ok(bytes.map_err(|_| damaged(column))?.map(Thumbprint::from_bytes))
}

/// The bytes of a thumbprint.
pub(super) fn bytes(thumbprint: Option<&Thumbprint>) -> Option<&[u8]> {
    thumbprint.map(|thumbprint| &thumbprint.as_bytes()[..])
}

/// Words as they lie, parted by spaces.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

async fn tell(tx: &mut Tx, hash: &SecretHash, token: &AccessToken, kind: ChangeKind, now: Timestamp) -> Result<Change> {
    let subject = CredentialId::Token(token.id.clone());
    changes::write_of(tx, &token.project, token.environment, subject, kind, vec![*hash], now).await
}

fn read(row: &Row) -> Result<AccessToken> {
    // A token of a grant that ended has ended, whichever row says so.
    let ends = [row.opt_time("revoked_at")?, row.opt_time("grant_revoked_at")?];
    Ok(AccessToken {
        id: TokenId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("access_tokens.environment"))?,
        client: ClientId::stored(row.text("client_id")?),
        client_document: row.opt_text("document_url")?.map(DocumentUrl::stored),
        user: row.opt_text("user_id")?.map(UserId::stored),
        grant: row.opt_text("grant_id")?.map(GrantId::stored),
        scopes: scopes(row.str("scopes")?)?,
        audiences: words(row.str("audiences")?),
        key: thumbprint(row, "jkt")?,
        issued_at: row.time("issued_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: ends.into_iter().flatten().min(),
        waits_for_first_use: row.bool("waits")?,
        subject: subject(row)?,
    })
}

fn subject(row: &Row) -> Result<Option<Box<Subject>>> {
    let Some(hash) = row.opt_bytes("subject")? else { return Ok(None) };
    let kind = row.opt_str("subject_kind")?.and_then(SubjectKind::parse);
    let kind = kind.ok_or_else(|| damaged("access_tokens.subject_kind"))?;
    let hash = changes::hash(hash, "access_tokens.subject")?;
    Ok(Some(Box::new(Subject { hash, kind, credential: None })))
}

/// A token whose user cannot be found is damage: it may be that of somebody who was blocked.
fn acting_user(row: &Row) -> Result<Option<ActingUser>> {
    if row.opt_str("user_id")?.is_none() {
        return Ok(None);
    }
    let standing = row.opt_str("standing")?.and_then(Standing::parse);
    let standing = standing.ok_or_else(|| damaged("access_tokens.user_id"))?;
    Ok(Some(ActingUser { standing, scopes: key_rows::scopes(row.opt_str("user_scopes")?)? }))
}

const INSERT: &str = "INSERT INTO access_tokens (hash, id, project, environment, client_id, user_id, grant_id, scopes,
        audiences, issued_at, expires_at, waits, jkt, subject, subject_kind)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const FIND: &str = "SELECT t.id, t.project, t.environment, t.client_id, t.user_id, t.grant_id, t.scopes, t.audiences,
        t.issued_at, t.expires_at, t.revoked_at, t.waits, t.jkt, t.subject, t.subject_kind, c.document_url,
        g.revoked_at AS grant_revoked_at,
        CASE WHEN u.deleted_at IS NOT NULL THEN 'deleted' WHEN u.blocked_at IS NOT NULL THEN 'blocked'
            WHEN u.id IS NOT NULL THEN 'good' END AS standing,
        (SELECT string_agg(s.plain || ' ' || s.spelling, ' ') FROM user_scopes s WHERE s.user_id = t.user_id)
            AS user_scopes,
        (SELECT string_agg(s.plain || ' ' || s.spelling, ' ') FROM client_scopes s WHERE s.client_id = t.client_id)
            AS client_scopes
    FROM access_tokens t JOIN projects o ON o.id = t.project JOIN clients c ON c.id = t.client_id
        LEFT JOIN grants g ON g.id = t.grant_id LEFT JOIN users u ON u.id = t.user_id
    WHERE t.hash = $1 AND o.deleted_at IS NULL AND c.deleted_at IS NULL";
const USE: &str = "UPDATE access_tokens SET waits = false WHERE hash = $1 AND waits = true";
const REVOKE: &str =
    "UPDATE access_tokens SET revoked_at = $2 WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2";
const END: &str =
    "UPDATE access_tokens SET revoked_at = $2 WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING id";
const OF_GRANT: &str = "SELECT hash FROM access_tokens WHERE grant_id = $1 AND expires_at > $2";
const PRUNE: &str = "DELETE FROM access_tokens WHERE hash IN
    (SELECT t.hash FROM access_tokens t WHERE t.expires_at <= $1 ORDER BY t.expires_at LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[
    (FIND, "sqlite_autoindex_access_tokens_1"),
    (USE, "sqlite_autoindex_access_tokens_1"),
    (REVOKE, "sqlite_autoindex_access_tokens_1"),
    (END, "sqlite_autoindex_access_tokens_1"),
    (OF_GRANT, "access_tokens_of_grant"),
    (PRUNE, "access_tokens_ending"),
];
