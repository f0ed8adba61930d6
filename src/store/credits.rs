//! The credits of keys. What a node spends it has taken from here before, in one statement that also refills them when
//! their time has come: so no credit is given twice, and none comes back by a race.

use super::Store;
use super::db::{Tx, damaged, values};
use super::error::Result;
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::domain::limit::purse::Returned;
use crate::domain::limit::quota::{Quota, Refill};

/// What a node got of a key's credits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// How many.
    pub credits: i64,
    /// How many are left for others.
    pub remaining: i64,
    /// When the period began that they are of.
    pub start: Timestamp,
}

impl Store {
    /// Takes up to so many credits of a key to spend, those that were set at `epoch`; refills them first if `start` is
    /// the beginning of a new period. None where there are none that were set then.
    pub async fn take_credits(&self, key: &KeyId, epoch: i64, start: Timestamp, most: i64) -> Result<Option<Taken>> {
        let mut tx = self.db.begin().await?;
        let row = tx.fetch_optional(TAKE, values![key.as_str(), epoch, start, most]).await?;
        tx.commit().await?;
        let taken = row.map(|row| {
            let (credits, remaining) = (row.int("handed")?, row.int("remaining")?);
            Ok(Taken { credits, remaining, start: row.time("period_start")? })
        });
        taken.transpose()
    }

    /// Gives back what was not spent. What was taken before credits were set anew, or refilled, belongs to nothing any
    /// more.
    pub async fn return_credits(&self, returned: &[Returned]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for Returned { key, epoch, start, credits } in returned {
            tx.execute(RETURN, values![key.as_str(), *epoch, *start, *credits]).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Reads the credits of a key: numbers and the word for the refill, parted by spaces.
pub(super) fn read(text: Option<&str>) -> Result<Option<Quota>> {
    let Some(text) = text else { return Ok(None) };
    let quota = || {
        let mut words = text.split_ascii_whitespace();
        let mut number = || words.next()?.parse::<i64>().ok();
        let (epoch, remaining, granted, amount) = (number()?, number()?, number()?, number()?);
        let (day, start) = (u8::try_from(number()?).ok()?, Timestamp::from_micros(number()?));
        let refill = Refill::parse(words.next()?, amount, day)?;
        Some(Quota { remaining, granted, refill, epoch, start })
    };
    quota().map(Some).ok_or_else(|| damaged("key_credits"))
}

/// Stores the credits of a key as they were set, unless that is what is stored; removes them where it has none.
pub(super) async fn set(tx: &mut Tx, key: &Key) -> Result<()> {
    let Some(quota) = &key.details.credits else {
        tx.execute(REMOVE, values![key.id.as_str()]).await?;
        return Ok(());
    };
    let Quota { remaining, granted, refill, epoch, start } = **quota;
    let values = values![
        key.id.as_str(),
        epoch,
        remaining,
        granted,
        refill.as_str(),
        refill.amount(),
        u32::from(refill.day()),
        start
    ];
    tx.execute(SET, values).await?;
    Ok(())
}

const TAKE: &str = "UPDATE key_credits SET
        handed = CASE WHEN period_start < $3 THEN CASE WHEN amount < $4 THEN amount ELSE $4 END
            WHEN remaining < $4 THEN remaining ELSE $4 END,
        remaining = CASE WHEN period_start < $3 THEN amount - CASE WHEN amount < $4 THEN amount ELSE $4 END
            WHEN remaining < $4 THEN 0 ELSE remaining - $4 END,
        period_start = CASE WHEN period_start < $3 THEN $3 ELSE period_start END
    WHERE key_id = $1 AND epoch = $2 RETURNING handed, remaining, period_start";
const RETURN: &str = "UPDATE key_credits SET remaining = remaining + $4
    WHERE key_id = $1 AND epoch = $2 AND period_start = $3";
const SET: &str = "INSERT INTO key_credits (key_id, epoch, remaining, granted, refill, amount, day, period_start, handed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)
    ON CONFLICT (key_id) DO UPDATE SET epoch = excluded.epoch, remaining = excluded.remaining, granted = excluded.granted,
        refill = excluded.refill, amount = excluded.amount, day = excluded.day, period_start = excluded.period_start
    WHERE key_credits.epoch < excluded.epoch";
const REMOVE: &str = "DELETE FROM key_credits WHERE key_id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(TAKE, "PRIMARY KEY"), (RETURN, "PRIMARY KEY"), (REMOVE, "PRIMARY KEY")];
