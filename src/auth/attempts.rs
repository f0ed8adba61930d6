//! How often passwords may be tried, on one account and from one address, and how often users may add themselves
//! and clients register themselves, or have documents of theirs fetched.
//!
//! An attempt is charged before the password is looked at, so that many at one time are no way around the bound, and is
//! given back when it was right or could not be judged. Accounts are known by what was presented to name them, so that the
//! bound is the same whether there is such an account or not. A refused attempt costs nothing and puts nothing off.
//!
//! Whoever tries passwords on an account spends its budget, and must not shut out the one it belongs to. So an account has
//! a budget for strangers, and one apart for each address it was signed in from before: a guesser uses up the former alone.
//! Its owner is kept out at worst while the attack lasts, and only at an address that is new since this node started.
//!
//! What waits for its turn takes a place in a line that all share, so an address has a few of them at one time and no more.
//!
//! The address of a backend is that of all who sign in through it: it shows a secret key, and is not bounded by itself.
//!
//! All of it is in the memory of one node, of a fixed size: with n nodes a guesser has n budgets, and a start forgets what
//! was spent. So much is far from what a password that keeps the rules needs to be found.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::budget::{Budgets, whole_seconds};
use super::user_codes::UserCodes;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::ProjectId;
use crate::domain::network::network_of;
use crate::domain::reason::Reason;

/// Counts the attempts at passwords on this node.
#[derive(Debug)]
pub struct Attempts {
    clock: Arc<dyn Clock>,
    key: RandomState,
    addresses: Budgets,
    accounts: Budgets,
    places: Budgets,
    sign_ups: Budgets,
    user_codes: UserCodes,
    registrations: Budgets,
    unproven: Budgets,
    documents: Budgets,
    known: Known,
    /// How many attempts of each address wait or are being judged.
    under_way: Box<[AtomicU8]>,
}

/// An account as somebody names it who wants to sign in. There may be none.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The project.
    pub project: &'a ProjectId,
    /// The environment.
    pub environment: Environment,
    /// The handle or email address that was given, in any case of letters.
    pub login: &'a str,
}

/// Where an attempt comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// Whether it is that of a backend, which signs in people from everywhere: it is not bounded by itself then.
    pub speaks_for_many: bool,
}

/// One attempt, which has been charged. Dropping it lets the charge stand.
#[derive(Debug)]
#[must_use = "an attempt that succeeded or was not judged is given back"]
pub struct Attempt<'a> {
    attempts: &'a Attempts,
    account: u64,
    place: u64,
    /// What its address was charged as, if it was.
    network: Option<u64>,
    /// Where it is counted among those of its address that are under way.
    seat: Option<usize>,
    known: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.attempts.under_way[seat].fetch_sub(1, Relaxed);
        }
    }
}

impl Attempts {
    /// Whole budgets for everyone, by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            key: RandomState::new(),
            addresses: Budgets::new(SLOTS, ADDRESS_EACH, ADDRESS_AT_ONCE),
            accounts: Budgets::new(SLOTS, ACCOUNT_EACH, ACCOUNT_AT_ONCE),
            places: Budgets::new(SLOTS, ACCOUNT_EACH, ACCOUNT_AT_ONCE),
            sign_ups: Budgets::new(SLOTS, SIGN_UP_EACH, SIGN_UPS_AT_ONCE),
            user_codes: UserCodes::new(Arc::clone(&clock)),
            registrations: Budgets::new(SLOTS, REGISTRATION_EACH, REGISTRATIONS_AT_ONCE),
            unproven: Budgets::new(SLOTS, UNPROVEN_EACH, UNPROVEN_AT_ONCE),
            documents: Budgets::new(SLOTS, DOCUMENT_EACH, DOCUMENTS_AT_ONCE),
            known: Known::default(),
            under_way: std::iter::repeat_with(AtomicU8::default).take(SLOTS).collect(),
            clock,
        }
    }

    /// How often the codes of devices were guessed.
    pub fn user_codes(&self) -> &UserCodes {
        &self.user_codes
    }

    /// Charges an attempt at the password of this account.
    ///
    /// # Errors
    /// TOO_MANY_ATTEMPTS, with the time after which there is budget again. Nothing was charged then.
    pub fn begin(&self, account: Account<'_>, source: Source) -> Result<Attempt<'_>> {
        let now = self.clock.now();
        let network = network_of(source.address);
        let account = self.account(account);
        let place = self.key.hash_one((account, network));
        let network = (!source.speaks_for_many).then_some(network);
        let seat = network.map(|network| self.seat(network)).transpose()?;
        let attempt = Attempt { attempts: self, account, place, network, seat, known: self.known.holds(place) };
        network.map_or(Ok(()), |network| self.addresses.take(&network, now)).map_err(refused)?;
        attempt.take(now).map_err(|wait| {
            attempt.give_back_address();
            refused(wait)
        })?;
        Ok(attempt)
    }

    /// Charges an address for a new user.
    ///
    /// # Errors
    /// TOO_MANY_ATTEMPTS, as above.
    pub fn sign_up(&self, address: IpAddr) -> Result<()> {
        self.sign_ups.take(&network_of(address), self.clock.now()).map_err(refused)
    }

    /// Charges an address for a client that registers itself.
    ///
    /// # Errors
    /// TOO_MANY_ATTEMPTS, as above.
    pub fn registration(&self, address: IpAddr) -> Result<()> {
        self.registrations.take(&network_of(address), self.clock.now()).map_err(refused)
    }

    /// Charges an address for what is kept at the word of a client which proves nothing: a device that starts, a request that is
    /// pushed.
    ///
    /// # Errors
    /// TOO_MANY_ATTEMPTS, as above.
    pub fn unproven(&self, address: IpAddr) -> Result<()> {
        self.unproven.take(&network_of(address), self.clock.now()).map_err(refused)
    }

    /// Charges an address for a document of a client that has to be fetched.
    ///
    /// # Errors
    /// TOO_MANY_ATTEMPTS, as above.
    pub fn document(&self, address: IpAddr) -> Result<()> {
        self.documents.take(&network_of(address), self.clock.now()).map_err(refused)
    }

    /// One of the few attempts that an address may have under way: it must not fill the line that everybody waits in.
    fn seat(&self, network: u64) -> Result<usize> {
        // The remainder is below the number of slots.
        let seat = (self.key.hash_one(network) % SLOTS as u64) as usize;
        let taken =
            self.under_way[seat].fetch_update(Relaxed, Relaxed, |taken| (taken < UNDER_WAY).then_some(taken + 1));
        taken.map(|_| seat).map_err(|_| refused(Duration::from_secs(1)))
    }

    fn account(&self, account: Account<'_>) -> u64 {
        let Account { project, environment, login } = account;
        self.key.hash_one((project.as_str(), environment.as_str(), login.to_lowercase()))
    }
}

impl Attempt<'_> {
    /// The password was right: nothing was spent, and what was spent before from the same budget is forgotten. The address is
    /// one the account is known at from now on.
    pub fn succeeded(self) {
        self.give_back_address();
        // Not the budget of strangers where another was charged: else each time that the owner signs in, a guesser could
        // begin anew.
        match self.known {
            true => self.attempts.places.fill(&self.place),
            false => self.attempts.accounts.fill(&self.account),
        }
        self.attempts.known.remember(self.place);
    }

    /// The password was not judged.
    pub fn undo(self) {
        self.give_back_address();
        match self.known {
            true => self.attempts.places.give_back(&self.place),
            false => self.attempts.accounts.give_back(&self.account),
        }
    }

    fn give_back_address(&self) {
        if let Some(network) = &self.network {
            self.attempts.addresses.give_back(network);
        }
    }

    fn take(&self, now: Timestamp) -> Result<(), Duration> {
        match self.known {
            true => self.attempts.places.take(&self.place, now),
            false => self.attempts.accounts.take(&self.account, now),
        }
    }
}

/// Which accounts were signed in to from which addresses, the last of each slot.
#[derive(Debug)]
struct Known(Box<[AtomicU64]>);

impl Known {
    fn holds(&self, place: u64) -> bool {
        self.slot(place).load(Relaxed) == place
    }

    fn remember(&self, place: u64) {
        self.slot(place).store(place, Relaxed);
    }

    fn slot(&self, place: u64) -> &AtomicU64 {
        &self.0[(place % SLOTS as u64) as usize]
    }
}

impl Default for Known {
    fn default() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect())
    }
}

fn refused(wait: Duration) -> Error {
    let wait = whole_seconds(wait);
    // The words of a limit in the billing API.
    let message = format!("Rate limit exceeded. Try again in {} seconds", wait.as_secs());
    Error { retry_after: Some(wait), ..Error::new(Reason::TooManyAttempts, message) }
}

/// Of 65,536 accounts, one shares its budget with a given other; 512 KiB each table.
const SLOTS: usize = 1 << 16;
/// Wrong passwords on one account: 10 at once, and then 12 an hour, 288 a day.
const ACCOUNT_EACH: Duration = Duration::from_secs(5 * 60);
const ACCOUNT_AT_ONCE: u32 = 10;
/// Wrong passwords from one address, on all accounts together: 60 at once, for an office of people who mistype, and then
/// 360 an hour.
const ADDRESS_EACH: Duration = Duration::from_secs(10);
const ADDRESS_AT_ONCE: u32 = 60;
/// Attempts of one address that wait or are judged at one time.
const UNDER_WAY: u8 = 16;
/// New users from one address: 20 at once, for a classroom, and then 60 an hour.
const SIGN_UP_EACH: Duration = Duration::from_secs(60);
const SIGN_UPS_AT_ONCE: u32 = 20;
/// Clients that register themselves from one address: 20 at once, and then 60 an hour.
const REGISTRATION_EACH: Duration = Duration::from_secs(60);
const REGISTRATIONS_AT_ONCE: u32 = 20;
/// Devices and pushed requests of public clients from one address: 60 at once, for a fleet behind one router, and then one a second.
const UNPROVEN_EACH: Duration = Duration::from_secs(1);
const UNPROVEN_AT_ONCE: u32 = 60;
/// Documents of clients that are fetched for one address: 20 at once, and then 120 an hour. Each serves everybody for minutes.
const DOCUMENT_EACH: Duration = Duration::from_secs(30);
const DOCUMENTS_AT_ONCE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::ManualClock;

    struct Scene {
        clock: Arc<ManualClock>,
        attempts: Attempts,
        project: ProjectId,
    }

    impl Scene {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
            let attempts = Attempts::new(Arc::clone(&clock) as Arc<dyn Clock>);
            Self { clock, attempts, project: ProjectId::default_project() }
        }

        fn begin(&self, login: &str, address: &str) -> Result<Attempt<'_>> {
            let account = Account { project: &self.project, environment: Environment::Live, login };
            self.attempts.begin(account, source(address))
        }

        /// Wrong passwords until one is refused; how many, and after how many seconds there may be another.
        fn fail(&self, login: &str, address: &str) -> (u32, u64) {
            for count in 0..1000 {
                if let Err(error) = self.begin(login, address).map(drop) {
                    assert_eq!(error.reason, Reason::TooManyAttempts);
                    return (count, error.retry_after.unwrap().as_secs());
                }
            }
            unreachable!("no bound")
        }
    }

    fn source(address: &str) -> Source {
        Source { address: address.parse().unwrap(), speaks_for_many: false }
    }

    const GUESSER: &str = "192.0.2.1";
    const HOME: &str = "198.51.100.1";

    #[test]
    fn an_address_has_a_few_attempts_under_way() {
        let scene = Scene::new();
        let waiting: Vec<_> = (0..UNDER_WAY).map(|n| scene.begin(&format!("user-{n}"), "192.0.2.1").unwrap()).collect();
        assert_eq!(scene.begin("late", "192.0.2.1").unwrap_err().retry_after, Some(Duration::from_secs(1)));
        scene.begin("late", "192.0.2.2").unwrap().undo();
        waiting.into_iter().for_each(Attempt::succeeded);
        scene.begin("late", "192.0.2.1").unwrap().undo();
    }

    #[test]
    fn an_account_is_tried_so_often_whatever_the_case_and_the_address() {
        let scene = Scene::new();
        assert_eq!(scene.fail("Ada", GUESSER), (10, 300));
        assert_eq!(scene.fail("aDA", "192.0.2.2"), (0, 300));
        assert_eq!(scene.fail("grace", GUESSER), (10, 300));
        scene.clock.advance(Duration::from_secs(299));
        assert_eq!(scene.fail("ada", GUESSER), (0, 1));
        scene.clock.advance(Duration::from_secs(1));
        assert_eq!(scene.fail("ada", GUESSER), (1, 300));
        // Refusals do not put it off.
        (0..100).for_each(|_| assert!(scene.begin("ada", GUESSER).is_err()));
        scene.clock.advance(Duration::from_secs(300));
        assert_eq!(scene.fail("ada", GUESSER), (1, 300));
        let test = Account { project: &scene.project, environment: Environment::Test, login: "ada" };
        assert!(scene.attempts.begin(test, source(GUESSER)).is_ok(), "another account");
    }

    #[test]
    fn an_address_tries_so_often_whatever_the_account() {
        let scene = Scene::new();
        let tried = (0..100).filter(|n| scene.begin(&format!("user-{n}"), GUESSER).map(drop).is_ok()).count();
        assert_eq!(tried, 60);
        assert_eq!(scene.begin("ada", GUESSER).unwrap_err().retry_after, Some(Duration::from_secs(10)));
        assert!(scene.begin("ada", HOME).is_ok());
        // A backend is not bounded by its address, and accounts are all the same.
        let backend = Source { speaks_for_many: true, ..source(GUESSER) };
        let through = |login: &str| {
            let account = Account { project: &scene.project, environment: Environment::Live, login };
            scene.attempts.begin(account, backend).is_ok()
        };
        assert_eq!((0..100).filter(|n| through(&format!("other-{n}"))).count(), 100);
        assert_eq!((0..100).filter(|_| through("grace")).count(), 10);
        // What the address was refused did not cost the account anything.
        assert_eq!(scene.fail("ada", HOME).0, 9);
    }

    #[test]
    fn an_address_adds_so_many_users() {
        let scene = Scene::new();
        let address: IpAddr = GUESSER.parse().unwrap();
        assert_eq!((0..100).filter(|_| scene.attempts.sign_up(address).is_ok()).count(), 20);
        assert_eq!(scene.attempts.sign_up(address).unwrap_err().retry_after, Some(Duration::from_secs(60)));
        assert!(scene.attempts.sign_up(HOME.parse().unwrap()).is_ok());
        assert!(scene.begin("ada", GUESSER).is_ok(), "which has nothing to do with passwords");
    }

    #[test]
    fn what_was_right_or_not_judged_costs_nothing() {
        let scene = Scene::new();
        (0..1000).for_each(|_| scene.begin("ada", GUESSER).unwrap().undo());
        (0..9).for_each(|_| drop(scene.begin("ada", GUESSER).unwrap()));
        scene.begin("ada", GUESSER).unwrap().succeeded();
        assert_eq!(scene.fail("ada", "192.0.2.2"), (10, 300), "what was spent before is forgotten");
        // The address is known now, and has a budget of its own.
        (0..1000).for_each(|_| scene.begin("ada", GUESSER).unwrap().undo());
        (0..9).for_each(|_| drop(scene.begin("ada", GUESSER).unwrap()));
        (0..1000).for_each(|_| scene.begin("ada", GUESSER).unwrap().succeeded());
        assert_eq!(scene.fail("ada", GUESSER), (10, 300));
    }

    #[test]
    fn nobody_shuts_the_owner_out_where_they_have_signed_in_before() {
        let scene = Scene::new();
        scene.begin("ada", HOME).unwrap().succeeded();
        for _ in 0..48 {
            assert_eq!(scene.fail("ada", GUESSER), (10, 300));
            drop(scene.begin("ada", HOME).expect("a mistyped password"));
            scene.begin("ada", HOME).expect("the owner signs in").succeeded();
            assert_eq!(scene.fail("ada", GUESSER).0, 0, "which does not let a guesser begin anew");
            scene.clock.advance(Duration::from_secs(3600));
        }
        // Somebody else at the owner's address is bounded too.
        assert_eq!(scene.fail("ada", HOME), (10, 300));
    }
}
