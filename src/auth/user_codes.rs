//! How often the codes of devices may be guessed (RFC 8628, section 5.1).
//!
//! A code is one of 2.6 * 10^10. With 5,000 of them open, an account that guesses day and night, 1,450 times a day, meets one
//! in ten years, and can do no more with it than let somebody's device in as itself. Nobody learns whether there is a code
//! without an account: whoever is not signed in is asked to sign in, whatever they typed. A right code costs nothing.
//!
//! The budgets are in the memory of one node, of a fixed size, as those of passwords are.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Budgets, whole_seconds};
use crate::domain::clock::Clock;
use crate::domain::error::{Error, Result};
use crate::domain::id::UserId;
use crate::domain::network::network_of;
use crate::domain::reason::Reason;

/// Counts the guesses on this node.
#[derive(Debug)]
pub struct UserCodes {
    clock: Arc<dyn Clock>,
    addresses: Budgets,
    accounts: Budgets,
}

/// One guess, which has been charged. Dropping it lets the charge stand.
#[derive(Debug)]
#[must_use = "a guess that was right is given back"]
pub struct Guess<'a> {
    codes: &'a UserCodes,
    network: u64,
    account: &'a UserId,
}

impl UserCodes {
    /// Whole budgets for everyone, by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            addresses: Budgets::new(SLOTS, ADDRESS_EACH, ADDRESS_AT_ONCE),
            accounts: Budgets::new(SLOTS, ACCOUNT_EACH, ACCOUNT_AT_ONCE),
        }
    }

    /// Charges this account and address for a code that may be a guess.
    ///
    /// # Errors
    /// TOO_MANY_ATTEMPTS, with the time after which there is budget again. Nothing was charged then.
    pub fn guess<'a>(&'a self, account: &'a UserId, address: IpAddr) -> Result<Guess<'a>> {
        let (network, now) = (network_of(address), self.clock.now());
        self.accounts.take(account, now).map_err(refused)?;
        self.addresses.take(&network, now).map_err(|wait| {
            self.accounts.give_back(account);
            refused(wait)
        })?;
        Ok(Guess { codes: self, network, account })
    }
}

impl Guess<'_> {
    /// It was no guess: there is such a code, and this account may see it.
    pub fn was_right(self) {
        self.codes.accounts.give_back(self.account);
        self.codes.addresses.give_back(&self.network);
    }
}

fn refused(wait: Duration) -> Error {
    let wait = whole_seconds(wait);
    let message = format!("Too many attempts. Try again in {} seconds", wait.as_secs());
    Error { retry_after: Some(wait), ..Error::new(Reason::TooManyAttempts, message) }
}

/// Of 16,384 accounts, one shares its budget with a given other.
const SLOTS: usize = 1 << 14;
/// Wrong codes of one account: 10 at once, and then one a minute.
const ACCOUNT_EACH: Duration = Duration::from_secs(60);
const ACCOUNT_AT_ONCE: u32 = 10;
/// Wrong codes from one address: 40 at once, for an office of people who mistype, and then four a minute.
const ADDRESS_EACH: Duration = Duration::from_secs(15);
const ADDRESS_AT_ONCE: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, Timestamp};
    use crate::domain::entropy::SystemEntropy;

    #[test]
    fn wrong_codes_are_bounded_by_account_and_by_address_and_right_ones_are_not() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
        let codes = UserCodes::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let user = || UserId::new(clock.now(), &SystemEntropy);
        let ada = user();
        for _ in 0..100 {
            codes.guess(&ada, address).unwrap().was_right();
        }
        let wrong = |user: &UserId| codes.guess(user, address).map(drop).map_err(|error| error.retry_after.unwrap());
        assert_eq!((0..20).filter(|_| wrong(&ada).is_ok()).count(), 10);
        assert_eq!(wrong(&ada).unwrap_err(), Duration::from_secs(60));
        clock.advance(Duration::from_secs(60));
        assert!(wrong(&ada).is_ok() && wrong(&ada).is_err());
        // All accounts of one address together.
        let many = (0..100).filter(|_| wrong(&user()).is_ok()).count();
        assert!((30..=40).contains(&many), "{many}");
    }
}
