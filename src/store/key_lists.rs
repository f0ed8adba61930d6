//! Lists of keys.

use super::Store;
use super::db::values;
use super::error::Result;
use super::key_rows::{self, key_columns};
use super::pages::{self, Statements};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ProjectId, UserId};
use crate::domain::key::{Key, KeyKind, KeyState};
use crate::domain::page::{Page, PageRequest};

/// Which keys a list is to hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyFilter {
    /// Only keys of this kind.
    pub kind: Option<KeyKind>,
    /// Only keys in this state at this time.
    pub state: Option<(KeyState, Timestamp)>,
    /// Only keys of this owner.
    pub owner: Option<String>,
    /// Only keys with this alias.
    pub alias: Option<String>,
    /// Only keys of this user.
    pub user: Option<UserId>,
}

impl Store {
    /// The keys that pass the filter, newest first. A page comes after the id of the last key of the one before.
    pub async fn list_keys(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &KeyFilter,
        request: &PageRequest,
    ) -> Result<Page<Key>> {
        let statements = statements(filter);
        let (state, now) = filter.state.map_or((None, Timestamp::default()), |(state, now)| (Some(word(state)), now));
        let after = pages::after(request).unwrap_or(AFTER_ALL);
        let filter = values![
            project.as_str(),
            environment.as_str(),
            filter.kind.map(KeyKind::as_str),
            filter.owner.as_deref(),
            filter.alias.as_deref(),
            state,
            now,
            filter.user.as_ref().map(UserId::as_str),
        ];
        self.page(statements, filter, after.into(), request, key_rows::read).await
    }
}

/// All statements say the whole filter; they differ in the condition that leads to an index of its own. The part of the
/// filter that is likely to leave the fewest keys leads.
fn statements(filter: &KeyFilter) -> Statements {
    if filter.alias.is_none() && filter.user.is_some() {
        return BY_USER;
    }
    match (&filter.alias, &filter.owner, filter.state, filter.kind) {
        (Some(_), ..) => BY_ALIAS,
        (None, Some(_), ..) => BY_OWNER,
        (None, None, Some((KeyState::Revoked, _)), _) => REVOKED,
        (None, None, Some((KeyState::Suspended, _)), _) => SUSPENDED,
        (None, None, Some((KeyState::Expired, _)), _) => EXPIRED,
        (None, None, _, Some(_)) => BY_KIND,
        (None, None, Some((KeyState::Active, _)), None) => ACTIVE,
        (None, None, None, None) => ALL,
    }
}

/// The word for a state in the statements, which sort states as [`Key::state`] does.
fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
        KeyState::Suspended => "suspended",
    }
}

macro_rules! statements {
    ($leading:literal) => {
        Statements {
            page: concat!(
                "SELECT ",
                key_columns!(),
                " FROM keys k WHERE ",
                statements!(@filter),
                $leading,
                " AND k.id < $9 ORDER BY k.id DESC LIMIT $10 OFFSET $11"
            ),
            count: concat!("SELECT COUNT(*) AS total FROM keys k WHERE ", statements!(@filter), $leading),
        }
    };
    (@filter) => {
        "k.project = $1 AND k.environment = $2
            AND ($3 IS NULL OR k.kind = $3) AND ($4 IS NULL OR k.owner = $4) AND ($5 IS NULL OR k.alias = $5)
            AND ($6 IS NULL OR $6 = CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= $7 THEN 'expired'
                WHEN k.suspended_at IS NOT NULL THEN 'suspended' ELSE 'active' END)
            AND ($8 IS NULL OR k.user_id = $8)"
    };
}

const ALL: Statements = statements!("");
const BY_ALIAS: Statements = statements!(" AND k.alias = $5");
const BY_OWNER: Statements = statements!(" AND k.owner = $4");
const BY_USER: Statements = statements!(" AND k.user_id = $8");
const BY_KIND: Statements = statements!(" AND k.kind = $3");
const ACTIVE: Statements = statements!(" AND k.suspended_at IS NULL AND k.revoked_at IS NULL");
const EXPIRED: Statements = statements!(" AND k.expires_at IS NOT NULL AND k.revoked_at IS NULL");
const REVOKED: Statements = statements!(" AND k.revoked_at IS NOT NULL");
const SUSPENDED: Statements = statements!(" AND k.suspended_at IS NOT NULL AND k.revoked_at IS NULL");

/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (ALL.page, "keys_listed "),
    (ALL.count, "keys_listed"),
    (BY_ALIAS.page, "keys_listed_by_alias"),
    (BY_ALIAS.count, "keys_listed_by_alias"),
    (BY_OWNER.page, "keys_listed_by_owner"),
    (BY_OWNER.count, "keys_listed_by_owner"),
    (BY_USER.page, "keys_listed_by_user"),
    (BY_USER.count, "keys_listed_by_user"),
    (BY_KIND.page, "keys_listed_by_kind"),
    (BY_KIND.count, "keys_listed_by_kind"),
    (ACTIVE.page, "keys_listed_unsuspended"),
    (ACTIVE.count, "keys_listed_unsuspended"),
    (EXPIRED.page, "keys_listed_ending"),
    (EXPIRED.count, "keys_listed_ending"),
    (REVOKED.page, "keys_listed_revoked"),
    (REVOKED.count, "keys_listed_revoked"),
    (SUSPENDED.page, "keys_listed_suspended"),
    (SUSPENDED.count, "keys_listed_suspended"),
];
