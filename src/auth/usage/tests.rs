//! That every call is counted, whatever is going on, and that nothing grows without bound.

use std::net::Ipv6Addr;
use std::time::Duration;

use futures_util::FutureExt;

use super::sources::MOST_OF_NETWORK;
use super::*;
use crate::domain::clock::ManualClock;
use crate::domain::credential::{Form, KeySecret};
use crate::domain::entropy::SystemEntropy;
use crate::domain::secret::{PlainSecret, SecretPrefix};
use crate::domain::usage::MOST_USER_AGENT;
use crate::store::tests::support::{at, full_key};

fn credential() -> Arc<Credential> {
    Arc::new(Credential::new(Form::Key(KeySecret::only_of(full_key(at(0))))))
}

fn ledger(counts: bool) -> Ledger {
    let clock = Arc::new(ManualClock::new(at(0)));
    Ledger::new(counts, Arc::new(Alarm::new(clock, Arc::new(SystemEntropy))))
}

fn call(seconds: u64) -> Use<'static> {
    let address = Some(IpAddr::from([192, 0, 2, 7]));
    Use { method: "Keys/GetKey", outcome: None, at: at(seconds), address, beside: None, scopes: &[], user_agent: None }
}

fn sum(tallies: &[Tally]) -> u64 {
    tallies.iter().map(|tally| tally.calls).sum()
}

#[test]
fn no_call_is_lost_while_counts_are_taken_away() {
    let (ledger, credential) = (ledger(true), credential());
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        let counting: Vec<_> = (0..4_u64)
            .map(|thread| {
                let (ledger, credential) = (&ledger, &credential);
                scope.spawn(move || {
                    for n in 0..50_000 {
                        // Minutes go by, and some calls come from elsewhere.
                        let address = Some(IpAddr::from([192, 0, 2, ((n + thread) % 7) as u8]));
                        ledger.count(credential, &Use { address, ..call(n / 100) });
                    }
                })
            })
            .collect();
        while counting.iter().any(|thread| !thread.is_finished()) {
            taken.extend(ledger.take());
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    taken.extend(ledger.take());
    assert_eq!(sum(&taken), 4 * 50_000);
    assert!(ledger.take().is_empty());
    let minute = |n: u64| Grain::Minute.start(at(n));
    let counted = |wanted| taken.iter().filter(|tally| tally.minute == wanted).map(|tally| tally.calls).sum::<u64>();
    // The tests' time begins 20 seconds into a minute.
    assert_eq!((counted(minute(0)), counted(minute(60))), (4 * 40 * 100, 4 * 60 * 100));
}

#[test]
fn calls_that_are_alike_are_one_row_and_others_are_not() {
    let (ledger, credential) = (ledger(true), credential());
    let needed: Vec<Scope> = ["read:keys", "read:users"].iter().filter_map(|text| Scope::parse(text)).collect();
    let beside = KeyId::new(at(0), &SystemEntropy);
    let other = IpAddr::from([192, 0, 2, 8]);
    let verification = Use { method: VERIFICATION, ..call(0) };
    let calls = [
        call(0),
        Use { outcome: Some(Reason::Expired), ..call(0) },
        Use { method: "Keys/ListKeys", ..call(0) },
        Use { address: Some(other), ..call(0) },
        Use { address: None, ..call(0) },
        Use { beside: Some(&beside), ..call(0) },
        verification,
        Use { scopes: &needed[..1], ..verification },
        Use { scopes: &needed, ..verification },
        call(60),
    ];
    for round in 1..4 {
        for call in calls.iter().cycle().take(3 * calls.len()) {
            ledger.count(&credential, call);
        }
        let taken = ledger.take();
        assert_eq!(sum(&taken), 30, "round {round}");
        assert!(
            taken.len() <= calls.len() + 4,
            "some that were found without a lock may be there twice: {}",
            taken.len()
        );
    }
    // Another credential is another subject.
    ledger.count(&self::credential(), &call(0));
    let [tally] = &ledger.take()[..] else { panic!("one row") };
    assert_ne!(tally.subject.key, credential.key().map(|key| key.id.clone()));
}

#[test]
fn the_last_call_says_when_and_by_what() {
    let (ledger, credential) = (ledger(true), credential());
    let long = "x".repeat(1_000);
    for (seconds, agent) in [(1, "one"), (3, "three"), (2, &long)] {
        ledger.count(&credential, &Use { user_agent: Some(agent), ..call(seconds) });
    }
    let [tally] = &ledger.take()[..] else { panic!("one row") };
    assert_eq!((tally.calls, tally.last_at), (3, at(3)));
    assert_eq!(tally.user_agent.as_ref().map(|text| text.len()), Some(MOST_USER_AGENT));
}

#[test]
fn no_secret_that_a_client_calls_itself_is_kept() {
    let (ledger, credential) = (ledger(true), credential());
    let secret = PlainSecret::generate(&SecretPrefix::fixed("sk"), Environment::Live, &SystemEntropy);
    let agent = format!("curl {}", secret.expose());
    let call = Use { user_agent: Some(&agent), ..call(1) };
    for _ in 0..3 {
        ledger.count(&credential, &call);
        ledger.count_unknown(None, &Use { outcome: Some(Reason::NotFound), ..call });
    }
    let taken = ledger.take();
    let kept: Vec<_> = taken.iter().map(|tally| tally.user_agent.as_ref().map(|text| text.to_string())).collect();
    assert_eq!(kept, vec![Some(format!("curl {}", secret.hint())); 2]);
}

#[test]
fn one_credential_in_many_hands_makes_a_bounded_number_of_rows() {
    let (ledger, credential) = (ledger(true), credential());
    let mut rows = 0;
    for part in 0..4_u32 {
        for n in 0..5_000 {
            let address = Some(Ipv6Addr::from(u128::from(part * 5_000 + n) << 64).into());
            ledger.count(&credential, &Use { address, ..call(1) });
        }
        let taken = ledger.take();
        assert_eq!(sum(&taken), 5_000);
        rows += taken.len();
    }
    assert!(rows <= MOST_OF_ONE + 4, "{rows}");
    // In the next minute there is room again.
    ledger.count(&credential, &call(100));
    assert_eq!(ledger.take()[0].address, call(0).address);
}

#[test]
fn one_credential_in_many_hands_for_long_makes_fewer() {
    let (ledger, credential) = (ledger(true), credential());
    let mut rows = [0; 2];
    // From the tests' next full hour on, for two hours.
    for minute in 0..120_u64 {
        for n in 0..500_u32 {
            let address = Some(Ipv6Addr::from(u128::from(n) << 64 | u128::from(minute)).into());
            ledger.count(&credential, &Use { address, ..call(2_800 + minute * 60) });
        }
        let taken = ledger.take();
        assert_eq!(sum(&taken), 500);
        rows[usize::from(minute >= 60)] += taken.iter().filter(|tally| tally.address.is_some()).count();
    }
    assert_eq!(rows, [MOST_OF_ONE_IN_HOUR as usize; 2]);
}

#[test]
fn refused_calls_take_no_room_from_accepted_ones() {
    let (ledger, credential) = (ledger(true), credential());
    let from = |n: u64| Some(IpAddr::from(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n) << 64)));
    // From the tests' next full hour on, as often as an hour has room, and more.
    for minute in 0..60 {
        let now = 2_800 + minute * 60;
        for n in 0..500 {
            ledger.count(&credential, &Use { outcome: Some(Reason::InsufficientScope), address: from(n), ..call(now) });
        }
        ledger.count(&credential, &Use { address: from(1_000 + minute), ..call(now) });
        let taken = ledger.take();
        let accepted: Vec<_> = taken.iter().filter(|tally| tally.outcome.is_none()).collect();
        assert!(matches!(accepted[..], [tally] if tally.address == from(1_000 + minute)), "{minute}: {accepted:?}");
        assert!(taken.len() <= MOST_OF_ONE + 2, "{}", taken.len());
    }
}

#[test]
fn addresses_of_one_network_take_no_room_from_those_of_others() {
    let (ledger, credential) = (ledger(true), credential());
    let inside = |n: u64| IpAddr::from(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n)));
    let outside: IpAddr = "2001:db8:0:1::7".parse().unwrap();
    for round in 0..3 {
        for n in 1..=500 {
            ledger.count(&credential, &Use { address: Some(inside(n)), user_agent: Some("agent"), ..call(1) });
        }
        ledger.count(&credential, &Use { address: Some(outside), ..call(1) });
        let taken = ledger.take();
        let calls = |address: IpAddr| -> u64 {
            taken.iter().filter(|tally| tally.address == Some(address)).map(|tally| tally.calls).sum()
        };
        assert_eq!((taken.len(), sum(&taken)), (MOST_OF_NETWORK + 2, 501), "round {round}");
        assert_eq!((calls(inside(1)), calls(outside)), (1, 1));
        // All that is known of the others is the network.
        assert_eq!(calls(inside(0)), 500 - MOST_OF_NETWORK as u64);
        let network = taken.iter().find(|tally| tally.address == Some(inside(0))).unwrap();
        assert_eq!(network.user_agent, None);
    }
    // Another method of an address that is told is told too, though there are many.
    let told = Use { method: "Keys/ListKeys", address: Some(inside(1)), ..call(1) };
    ledger.count(&credential, &told);
    assert_eq!(ledger.take()[0].address, Some(inside(1)));
    // Many IPv4 addresses are of nobody's network.
    for n in 0..MOST_OF_ONE as u8 {
        ledger.count(&credential, &Use { address: Some(IpAddr::from([10, 0, 0, n])), ..call(100) });
    }
    assert!(ledger.take().iter().all(|tally| tally.address.is_some_and(|address| address.is_ipv4())));
}

#[test]
fn many_credentials_make_a_bounded_number_of_rows_with_addresses() {
    let ledger = ledger(true);
    for _ in 0..CROWD / 100 + 10 {
        let credential = credential();
        for n in 0..100_u8 {
            ledger.count(&credential, &Use { address: Some(IpAddr::from([10, 0, 0, n])), ..call(1) });
        }
    }
    let taken = ledger.take();
    assert_eq!(sum(&taken), (CROWD + 1_000) as u64);
    assert_eq!(taken.iter().filter(|tally| tally.address.is_some()).count(), CROWD);
    assert!(taken.len() <= CROWD + 10);
}

#[test]
fn what_nobody_knows_makes_a_bounded_number_of_rows_however_long_it_goes_on() {
    let ledger = ledger(true);
    let (mut rows, mut calls) = (0, 0);
    for minute in 0..60_u64 {
        for n in 0..2_000_u32 {
            let address = Some(Ipv6Addr::from(u128::from(n) << 64 | u128::from(minute)).into());
            let outcome = [Reason::NotFound, Reason::Malformed][n as usize % 2];
            // From the tests' next full hour on.
            let at = at(2_800 + minute * 60);
            ledger.count_unknown(None, &Use { outcome: Some(outcome), address, at, ..call(0) });
        }
        let taken = ledger.take();
        (rows, calls) = (rows + taken.len(), calls + sum(&taken));
        assert!(taken.iter().all(|tally| tally.subject.place.is_none() && tally.method.is_empty()));
    }
    assert_eq!(calls, 60 * 2_000);
    assert!(rows <= 500 + 60 * 2, "{rows}");
}

#[test]
fn what_nobody_knows_goes_on_after_a_flush_so_one_address_hides_no_other() {
    let ledger = ledger(true);
    let address = |n: u8, minute: u8| Some(IpAddr::from([192, 0, n, minute]));
    // From the tests' next full hour on, written down every second.
    for minute in 0..60_u8 {
        let mut told = 0;
        for second in 0..60 {
            let at = at(2_800 + u64::from(minute) * 60 + second);
            for outcome in [Reason::NotFound, Reason::MissingCredential] {
                ledger.count_unknown(None, &Use { outcome: Some(outcome), address: address(1, 0), at, ..call(0) });
            }
            told += ledger.take().iter().filter(|tally| tally.address == address(1, 0)).count();
        }
        assert_eq!(told, 120, "in minute {minute}");
        // Somebody else comes.
        let at = at(2_859 + u64::from(minute) * 60);
        let other = Use { outcome: Some(Reason::NotFound), address: address(2, minute), at, ..call(0) };
        ledger.count_unknown(None, &other);
        assert_eq!(ledger.take()[0].address, address(2, minute));
    }
}

#[test]
fn one_credential_asked_about_for_ever_new_scopes_makes_a_bounded_number_of_counters() {
    let (ledger, credential) = (ledger(true), credential());
    let verification = Use { method: VERIFICATION, address: None, ..call(1) };
    for part in 0..3 {
        for n in 0..2_000 {
            let scopes = [Scope::parse(&format!("read:n{}", part * 2_000 + n)).unwrap()];
            ledger.count(&credential, &Use { scopes: &scopes, ..verification });
        }
        assert!(ledger.made.load(Ordering::Relaxed) <= MOST_SCOPES_OF_ONE + 1);
        let taken = ledger.take();
        assert_eq!(sum(&taken), 2_000);
        let told = taken.iter().filter(|tally| !tally.scopes.is_empty()).count();
        assert_eq!(told, if part == 0 { MOST_SCOPES_OF_ONE } else { 0 });
    }
}

#[test]
fn ever_new_credentials_ring_and_make_a_bounded_number_of_counters() {
    let ledger = ledger(true);
    let one = credential();
    let place = Subject::of(&one).place;
    for _ in 0..CROWD {
        // As a credential that is read anew: its counters are its own.
        ledger.count(&Credential::new(one.form.clone()), &Use { address: None, ..call(1) });
    }
    assert!(ledger.crowded.notified().now_or_never().is_some(), "a flush does not wait for its time");
    for _ in CROWD..MOST_MADE + 5_000 {
        ledger.count(&Credential::new(one.form.clone()), &Use { address: None, ..call(1) });
    }
    let taken = ledger.take();
    assert_eq!(sum(&taken), MOST_MADE as u64 + 5_000);
    assert_eq!(taken.len(), MOST_MADE + 1);
    let rest = taken.iter().find(|tally| tally.subject.key.is_none()).expect("the rest");
    assert_eq!((rest.calls, &rest.subject.place), (5_000, &place));
}

#[test]
fn a_ledger_that_does_not_count_is_empty() {
    let (ledger, credential) = (ledger(false), credential());
    ledger.verified(&credential, &Asked { outcome: None, at: at(0), client: None, scopes: &[] });
    ledger.verified_unknown(
        credential.project(),
        credential.environment(),
        &Asked { outcome: Some(Reason::NotFound), at: at(0), client: None, scopes: &[] },
    );
    assert!(ledger.take().is_empty());
}
