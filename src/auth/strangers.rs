//! How many look-ups of keys that nobody issued one address may cause: the store is asked about each that was not heard of
//! yet, and an endless supply of them costs their sender nothing.
//!
//! Only a look-up of what outsiders are told nobody knows is charged, and what the cache knows is answered before anything here is
//! asked: who calls with good keys never comes near the bound. An address that spent its budget is refused what is not cached, its
//! own good keys too, for the fraction of a second until there is budget again; all other addresses go on.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Budgets, whole_seconds};
use crate::domain::clock::Clock;
use crate::domain::error::{Error, Result};
use crate::domain::network::network_of;
use crate::domain::reason::Reason;

/// The budgets of all addresses.
#[derive(Debug)]
pub struct Strangers {
    clock: Arc<dyn Clock>,
    budgets: Budgets,
}

impl Strangers {
    /// Whole budgets for every address, by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, budgets: Budgets::new(SLOTS, EACH, AT_ONCE) }
    }

    /// Whether a key of this address that is not cached may be looked up. Spends nothing.
    ///
    /// # Errors
    /// TOO_MANY_UNKNOWN, with the time after which there is budget again.
    pub fn may_ask(&self, address: IpAddr) -> Result<()> {
        let Some(wait) = self.budgets.wait(&network_of(address), self.clock.now()) else { return Ok(()) };
        let wait = whole_seconds(wait);
        let message =
            format!("Too many unknown credentials from this address. Try again in {} seconds", wait.as_secs());
        Err(Error { retry_after: Some(wait), ..Error::new(Reason::TooManyUnknown, message) })
    }

    /// Charges an address for a key that was not found.
    pub fn charge(&self, address: IpAddr) {
        // Look-ups that were under way together may overdraw.
        self.budgets.charge(&network_of(address), self.clock.now());
    }
}

/// Of 16,384 addresses, one shares its budget with a given other.
const SLOTS: usize = 1 << 14;
/// What one look-up of an unknown key costs: 200 a second. A service that was given a wrong key makes one and then meets the
/// cache, so an honest address stays far below; and 200 look-ups of 80 us leave the store free.
const EACH: Duration = Duration::from_millis(5);
/// Look-ups that may be spent at once, for what comes through one proxy or one office's address.
const AT_ONCE: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, Timestamp};

    struct Scene {
        clock: Arc<ManualClock>,
        strangers: Strangers,
    }

    impl Scene {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
            Self { strangers: Strangers::new(Arc::clone(&clock) as Arc<dyn Clock>), clock }
        }

        /// Look-ups of unknown keys until one is refused.
        fn spend(&self, address: IpAddr) -> usize {
            (0..10_000).take_while(|_| self.asks(address)).count()
        }

        fn asks(&self, address: IpAddr) -> bool {
            let may = self.strangers.may_ask(address).is_ok();
            if may {
                self.strangers.charge(address);
            }
            may
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_is_borne_and_then_a_rate() {
        let (scene, flood) = (Scene::new(), address("192.0.2.1"));
        assert_eq!(scene.spend(flood), 400);
        let refused = scene.strangers.may_ask(flood).expect_err("it is spent");
        assert_eq!((refused.reason, refused.retry_after), (Reason::TooManyUnknown, Some(Duration::from_secs(1))));
        assert_eq!(refused.message, "Too many unknown credentials from this address. Try again in 1 seconds");
        scene.clock.advance(Duration::from_secs(1));
        assert_eq!(scene.spend(flood), 200);
        scene.clock.advance(Duration::from_secs(3600));
        assert_eq!(scene.spend(flood), 400, "no more is saved up");
    }

    #[test]
    fn asking_alone_spends_nothing_and_overdrawing_is_forgiven_in_time() {
        let (scene, proxy) = (Scene::new(), address("192.0.2.1"));
        assert!((0..1000).all(|_| scene.strangers.may_ask(proxy).is_ok()));
        // All were let through before the first was charged.
        (0..1000).for_each(|_| scene.strangers.charge(proxy));
        assert!(scene.strangers.may_ask(proxy).is_err());
        scene.clock.advance(EACH);
        assert!(scene.strangers.may_ask(proxy).is_ok());
    }

    #[test]
    fn each_address_has_its_own_and_a_network_of_ipv6_has_one() {
        let (scene, flood) = (Scene::new(), address("2001:db8:1:2::1"));
        scene.spend(flood);
        assert!(!scene.asks(address("2001:db8:1:2:ffff::9")), "the same /64");
        let others = ["192.0.2.1", "192.0.2.2", "2001:db8:1:3::1", "2001:db8:2:2::1"].map(address);
        let place = |address| scene.strangers.budgets.place(&network_of(address));
        let mut apart = others.into_iter().filter(|other| place(*other) != place(flood));
        assert!(apart.all(|other| scene.asks(other)));
        let (plain, mapped) = (address("192.0.2.7"), address("::ffff:192.0.2.7"));
        assert_eq!(place(plain), place(mapped));
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out() {
        let (scene, flood) = (Scene::new(), address("192.0.2.1"));
        scene.clock.advance(Duration::from_secs(3600));
        scene.spend(flood);
        let back = Strangers { clock: Arc::new(ManualClock::new(Timestamp::default())), ..scene.strangers };
        assert!(back.may_ask(flood).is_ok());
        back.charge(flood);
        assert!(back.may_ask(flood).is_ok());
    }
}
