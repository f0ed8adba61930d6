//! Each rule with the calls that raise it, and those just below.

use std::sync::Arc;
use std::time::Duration;

use super::rule::MOST_WINDOW;
use super::*;
use crate::domain::entropy::SystemEntropy;
use crate::domain::id::KeyId;
use crate::domain::limit::quota::{Quota, Refill};
use crate::domain::reason::Reason;
use crate::domain::usage::{Fading, Grain, Subject, Tally, Watch};
use crate::store::tests::support::at;

fn tally(seconds: u64, calls: u64) -> Tally {
    Tally {
        subject: Arc::default(),
        method: "Keys/GetKey",
        outcome: None,
        minute: Grain::Minute.start(at(seconds)),
        address: Some(IpAddr::from([192, 0, 2, 7])),
        scopes: Arc::default(),
        calls,
        last_at: at(seconds),
        user_agent: Some(Arc::new("curl/8".into())),
    }
}

fn refused(seconds: u64, calls: u64) -> Tally {
    Tally { outcome: Some(Reason::Expired), ..tally(seconds, calls) }
}

fn from(seconds: u64, address: &str) -> Tally {
    Tally { address: Some(address.parse().unwrap()), ..tally(seconds, 1) }
}

fn watch(watch: Watch, tally: Tally) -> Tally {
    Tally { subject: Arc::new(Subject { watch, ..Subject::default() }), ..tally }
}

/// What is found in tallies that come one after the other.
fn found(tallies: &[Tally]) -> Vec<Vec<AlertKind>> {
    found_by(tallies, &AlertRules::default())
}

fn found_by(tallies: &[Tally], rules: &AlertRules) -> Vec<Vec<AlertKind>> {
    let (key, mut watched) = (KeyId::new(at(0), &SystemEntropy), Watched::default());
    let kinds = |found: Vec<Finding>| found.iter().map(|finding| finding.kind).collect();
    tallies.iter().map(|tally| kinds(told(&mut watched, &key, &[tally], rules))).collect()
}

/// What is found, and told.
fn told(watched: &mut Watched, key: &KeyId, tallies: &[&Tally], rules: &AlertRules) -> Vec<Finding> {
    let found = watched.observe(Some(key), tallies, rules);
    found.iter().for_each(|finding| watched.learn(finding));
    found
}

fn kinds(tallies: &[Tally]) -> Vec<AlertKind> {
    found(tallies).concat()
}

/// An hour of calls, so many a minute.
fn hour(calls: u64) -> Vec<Tally> {
    (0..61).map(|n| tally(n * 60, calls)).collect()
}

#[test]
fn many_refusals_are_those_within_the_window() {
    let rule = AlertRule::default_of(AlertKind::ManyRefusals);
    assert_eq!((rule.thresholds.threshold, rule.thresholds.window), (100, Duration::from_secs(300)));
    let many = [AlertKind::ManyRefusals];
    for (name, tallies, wanted) in [
        ("at once", vec![refused(0, 100)], &many[..]),
        ("just below", vec![refused(0, 99)], &[]),
        ("in five minutes", (0..5).map(|n| refused(n * 60, 20)).collect(), &many),
        ("in six", (0..6).map(|n| refused(n * 60, 19)).collect(), &[]),
        ("late", vec![refused(120, 60), refused(0, 39), refused(60, 1)], &[]),
        ("with what was accepted", vec![refused(0, 99), tally(0, 99)], &[]),
        ("when we could not say", vec![Tally { outcome: Some(Reason::StoreUnavailable), ..refused(0, 500) }], &[]),
    ] {
        assert_eq!(kinds(&tallies), wanted, "{name}");
    }
    // What nobody knows has no rate and no network, but this.
    let mut watched = Watched::default();
    let found = watched.observe(None, &[&refused(0, 5_000)], &AlertRules::default());
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.kind, &found.subject, found.observed, &*found.claim), (many[0], &None, 5_000, ""));
}

#[test]
fn refusals_of_an_hour_are_remembered_and_no_more() {
    let mut watched = Watched::default();
    for n in 0..500 {
        watched.observe(None, &[&refused(n * 60, 1)], &AlertRules::default());
    }
    assert_eq!(watched.refusals.len() as u64, MOST_WINDOW.as_secs() / 60);
}

#[test]
fn a_jump_is_one_against_the_keys_own_average() {
    let jump = [AlertKind::RateJump];
    let after = |average: u64, more: &[Tally]| [hour(average), more.to_vec()].concat();
    for (name, tallies, wanted) in [
        ("a busy key", after(100, &[tally(61 * 60, 1_001)]), &jump[..]),
        ("just below ten times", after(100, &[tally(61 * 60, 1_000)]), &[]),
        ("a quiet key", after(1, &[tally(61 * 60, 500)]), &jump),
        ("just below the floor", after(1, &[tally(61 * 60, 499)]), &[]),
        ("in parts of a minute", after(1, &[tally(61 * 60, 300), tally(61 * 60 + 20, 200)]), &jump),
        ("without history", vec![tally(0, 1), tally(58 * 60, 100_000)], &[]),
        ("slowly", (0..200).map(|n| tally(n * 60, 100 + n * n / 4)).collect(), &[]),
        ("after days of nothing", after(1_000, &[tally(10 * 24 * 3600, 500)]), &jump),
    ] {
        let rules = AlertRules::new([disabled(AlertKind::DormantKey)]);
        assert_eq!(found_by(&tallies, &rules).concat(), wanted, "{name}");
    }
}

#[test]
fn the_average_follows_and_the_jump_is_not_in_it() {
    let (mut watched, rules) = (Watched::default(), AlertRules::default());
    for tally in hour(100) {
        watched.observe(None, &[&tally], &rules);
    }
    assert_eq!((watched.average, watched.history, watched.calls), (100_000, 60, 100));
    watched.observe(None, &[&tally(61 * 60, 6_100)], &rules);
    assert_eq!(watched.average, 100_000);
    watched.observe(None, &[&tally(62 * 60, 1)], &rules);
    assert_eq!(watched.average, 200_000);
    // What comes late for a minute that is over changes nothing.
    watched.observe(None, &[&tally(61 * 60, 9_000)], &rules);
    assert_eq!((watched.average, watched.calls), (200_000, 1));
}

#[test]
fn the_first_network_teaches_and_others_are_told_once() {
    let new = AlertKind::NewNetwork;
    let steps = [
        ("192.0.2.7", false),
        ("192.0.2.200", false),
        ("198.51.100.1", true),
        ("198.51.100.9", false),
        ("::ffff:192.0.2.9", false),
        ("2001:db8:1:2::1", true),
        ("2001:db8:1:ffff::1", false),
        ("2001:db8:2::1", true),
    ];
    let tallies: Vec<_> = steps.iter().enumerate().map(|(n, (address, _))| from(n as u64, address)).collect();
    for ((address, wanted), found) in steps.iter().zip(found(&tallies)) {
        assert_eq!(found.contains(&new), *wanted, "{address}: {found:?}");
    }
    let unknown = Tally { address: None, ..tally(0, 1) };
    assert_eq!(kinds(&[tally(0, 1), unknown, refused(1, 1)]), []);
    let elsewhere = Tally { outcome: Some(Reason::IpDenied), ..from(1, "203.0.113.1") };
    assert_eq!(kinds(&[tally(0, 1), elsewhere]), [], "it was not let in");
    let public = Watch { public: true, ..Watch::default() };
    assert_eq!(kinds(&[tally(0, 1), watch(public, from(1, "203.0.113.1"))]), [], "it may be anywhere");
}

#[test]
fn the_networks_of_a_key_are_bounded_and_the_oldest_goes() {
    let (key, rules) = (KeyId::new(at(0), &SystemEntropy), AlertRules::default());
    let mut watched = Watched::default();
    let network = |n: u8| from(u64::from(n), &format!("10.0.{n}.1"));
    for n in 0..200 {
        told(&mut watched, &key, &[&network(n)], &rules);
        // It is used all the time.
        told(&mut watched, &key, &[&network(0)], &rules);
    }
    assert_eq!(watched.networks.len(), MOST_NETWORKS);
    assert!(watched.observe(Some(&key), &[&network(0)], &rules).is_empty());
    assert!(!watched.observe(Some(&key), &[&network(1)], &rules).is_empty(), "forgotten");
}

#[test]
fn each_new_network_is_a_finding_of_its_own_that_fits_its_calls() {
    let (key, rules) = (KeyId::new(at(0), &SystemEntropy), AlertRules::default());
    let mut watched = Watched::default();
    let calls: Vec<_> = [(0, "10.0.0.1"), (1, "203.0.113.1"), (2, "8.8.8.8"), (3, "10.0.0.1"), (4, "203.0.113.9")]
        .map(|(seconds, address)| from(seconds, address))
        .into();
    let found = told(&mut watched, &key, &calls.iter().collect::<Vec<_>>(), &rules);
    let shown = |finding: &Finding| (finding.detail.clone(), finding.address, finding.calls, finding.observed);
    let address = |n: usize| calls[n].address;
    let wanted = [("203.0.113.0/24".to_owned(), address(4), 2, 2), ("8.8.8.0/24".to_owned(), address(2), 1, 3)];
    assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), wanted);
    assert_ne!(found[0].claim, found[1].claim);
    // However many there are: what is not found now is not known either.
    let calls: Vec<_> = (0..30).map(|n| from(10, &format!("10.9.{n}.1"))).collect();
    let found = told(&mut watched, &key, &calls.iter().collect::<Vec<_>>(), &rules);
    assert_eq!((found.len(), watched.networks.len()), (MOST_OF_ONE, 3 + MOST_OF_ONE));
}

#[test]
fn what_was_not_told_is_found_again() {
    let (key, rules) = (KeyId::new(at(0), &SystemEntropy), AlertRules::default());
    let mut watched = Watched::default();
    told(&mut watched, &key, &[&tally(0, 1)], &rules);
    let before = watched.clone();
    for n in 0..3 {
        let found = watched.observe(Some(&key), &[&from(40 * DAY + n, "8.8.8.8")], &rules);
        assert_eq!(
            found.iter().map(|finding| finding.kind).collect::<Vec<_>>(),
            [AlertKind::DormantKey, AlertKind::NewNetwork]
        );
        assert_eq!((&watched.networks, watched.used_at), (&before.networks, before.used_at));
    }
    assert_eq!(told(&mut watched, &key, &[&from(40 * DAY + 5, "8.8.8.8")], &rules).len(), 2);
    assert!(watched.observe(Some(&key), &[&from(40 * DAY + 6, "8.8.8.8")], &rules).is_empty());
}

#[test]
fn alerts_of_a_kind_are_bounded_by_whose_they_are() {
    let of = |subject: &str, user: Option<&str>, owner: Option<&str>| Whose {
        subject: subject.to_owned(),
        user: user.map(ToOwned::to_owned),
        personal: user.is_some_and(|user| user != "bot"),
        owner: owner.map(ToOwned::to_owned),
    };
    let ann = |key: &str| of(key, Some("ann"), None);
    let full = |whose: &Whose, lately: &[Whose]| -> Vec<String> {
        let bounds = Bound::of(AlertKind::NewNetwork, whose, lately).into_iter();
        bounds.filter(Bound::is_full).map(|bound| bound.claim).collect()
    };
    let keys = |number: usize, of: &dyn Fn(&str) -> Whose| (0..number).map(|n| of(&n.to_string())).collect::<Vec<_>>();
    let nothing = Vec::<String>::new();
    for (name, whose, lately, wanted) in [
        ("nothing", ann("a"), vec![], nothing.clone()),
        ("nine of a user", ann("a"), keys(9, &ann), nothing.clone()),
        ("ten of a user", ann("a"), keys(10, &ann), vec!["new_network user ann".to_owned()]),
        ("of another", of("a", Some("bob"), None), keys(10, &ann), nothing.clone()),
        ("of the project", of("a", None, None), keys(10, &ann), nothing.clone()),
        (
            "of an owner",
            of("a", None, Some("ann")),
            keys(10, &|key| of(key, None, Some("ann"))),
            vec!["new_network owner ann".to_owned()],
        ),
        ("of a user of that name", ann("a"), keys(10, &|key| of(key, None, Some("ann"))), nothing.clone()),
        (
            "of one key",
            of("a", None, None),
            keys(10, &|_| of("a", None, None)),
            vec!["new_network credential a".to_owned()],
        ),
        ("of many users", ann("a"), keys(50, &|user| of("k", Some(user), None)), vec!["new_network users".to_owned()]),
        (
            "of a service account",
            of("a", Some("bot"), None),
            keys(50, &|user| of("k", Some(user), None)),
            nothing.clone(),
        ),
        ("of many users, and no user's", of("a", None, None), keys(50, &|user| of("k", Some(user), None)), nothing),
        ("of all", of("a", None, None), keys(100, &|key| of(key, None, None)), vec!["new_network".to_owned()]),
    ] {
        assert_eq!(full(&whose, &lately), wanted, "{name}");
    }
    let last = Bound::of(AlertKind::NewNetwork, &ann("a"), &keys(9, &ann));
    let words: Vec<_> = last.iter().filter_map(Bound::filled).collect();
    assert!(matches!(&words[..], [words] if words.contains("10th") && words.contains("one user")), "{words:?}");
}

#[test]
fn a_key_wakes_after_a_month() {
    let day = 24 * 3600;
    let dormant = [AlertKind::DormantKey];
    for (name, tallies, wanted) in [
        ("a month", vec![tally(0, 1), tally(30 * day, 1)], &dormant[..]),
        ("just below", vec![tally(0, 1), tally(30 * day - 1, 1)], &[]),
        ("never used", vec![tally(90 * day, 1)], &[]),
        ("tried in vain", vec![tally(0, 1), refused(30 * day, 1)], &[]),
        ("and used again", vec![tally(0, 1), tally(30 * day, 1), tally(31 * day, 1)], &dormant),
    ] {
        assert_eq!(kinds(&tallies), wanted, "{name}");
    }
}

#[test]
fn an_old_secret_is_told_of_near_its_end() {
    let fading =
        Watch { fading: Some(Fading { ends_at: at(1_000), grace: Duration::from_secs(1_000) }), ..Watch::default() };
    let old = [AlertKind::OldSecretUsed];
    for (seconds, wanted) in [(0, &[][..]), (749, &[]), (750, &old), (999, &old)] {
        assert_eq!(kinds(&[watch(fading, tally(seconds, 1))]), wanted, "{seconds}");
    }
    assert_eq!(kinds(&[watch(fading, refused(999, 1)), tally(999, 1)]), []);
}

#[test]
fn a_honey_key_is_told_of_at_once_and_of_nothing_else() {
    let honey = Watch { honey: true, ..Watch::default() };
    assert_eq!(kinds(&[watch(honey, refused(0, 1_000))]), [AlertKind::HoneyKey]);
    let (key, mut watched) = (KeyId::new(at(0), &SystemEntropy), Watched::default());
    let touched = watch(honey, refused(5, 3));
    let found = watched.observe(Some(&key), &[&touched], &AlertRules::default());
    assert_eq!((found[0].calls, found[0].address, found[0].until), (3, touched.address, at(3_605)));
    assert_eq!((found[0].method.as_deref(), found[0].user_agent.as_deref()), (Some("Keys/GetKey"), Some("curl/8")));
}

#[test]
fn an_end_is_told_two_weeks_before() {
    let (key, rules) = (KeyId::new(at(0), &SystemEntropy), AlertRules::default());
    let now = 100 * DAY;
    let found = |made, end| expiring(&rules, &key, at(made), at(end), at(now));
    for (left, wanted) in [(14 * DAY, true), (14 * DAY + 1, false), (1, true), (0, false)] {
        assert_eq!(found(0, now + left).is_some(), wanted, "{left}");
    }
    assert_ne!(found(0, now + DAY).unwrap().claim, found(0, now + 2 * DAY).unwrap().claim, "another end is told again");
    // One that was made for two weeks or less is told of near its end, and one for less than a day not at all.
    for (life, left, wanted) in [
        (14 * DAY + 1, 14 * DAY, true),
        (14 * DAY, 14 * DAY / 10 + 1, false),
        (14 * DAY, 14 * DAY / 10, true),
        (DAY, DAY / 10, true),
        (DAY - 1, 1, false),
    ] {
        assert_eq!(found(now + left - life, now + left).is_some(), wanted, "{left} of {life}");
    }
}

#[test]
fn a_quota_is_told_of_once_until_it_is_refilled() {
    let (key, rules) = (KeyId::new(at(0), &SystemEntropy), AlertRules::default());
    let day = Duration::from_secs(24 * 3600);
    for (refill, full) in [(Refill::Never, 1_000), (Refill::Daily(1_000), 1_000)] {
        for (remaining, wanted) in [(full, false), (101, false), (100, true), (0, true)] {
            let quota = Quota { remaining, ..Quota::set(full, refill, 3, at(0)) };
            assert_eq!(nearly_spent(&rules, &key, &quota, at(5)).is_some(), wanted, "{refill:?} {remaining}");
        }
    }
    let quota = Quota { remaining: 1, ..Quota::set(1_000, Refill::Daily(1_000), 3, at(0)) };
    assert!(nearly_spent(&rules, &key, &quota, at(0).plus(day)).is_none(), "they are new, and nobody asked yet");
    let tomorrow = Quota { start: quota.refill.period(at(0).plus(day)).start, ..quota };
    let claims = [(quota, at(5)), (tomorrow, at(0).plus(day))]
        .map(|(quota, now)| nearly_spent(&rules, &key, &quota, now).unwrap().claim);
    assert_ne!(claims[0], claims[1]);
    assert!(nearly_spent(&rules, &key, &Quota::set(0, Refill::Never, 1, at(0)), at(5)).is_none(), "it has none at all");
}

#[test]
fn a_rule_that_is_off_says_nothing_and_learns() {
    let rules = AlertRules::new(AlertKind::ALL.map(disabled));
    let honey = Watch { honey: true, ..Watch::default() };
    let tallies = [
        from(0, "10.0.0.1"),
        from(1, "10.1.0.1"),
        refused(2, 10_000),
        watch(honey, refused(3, 1)),
        tally(60 * 24 * 3600, 1),
    ];
    assert_eq!(found_by(&tallies, &rules).concat(), []);
    let (key, mut watched) = (KeyId::new(at(0), &SystemEntropy), Watched::default());
    for tally in &tallies {
        watched.observe(Some(&key), &[tally], &rules);
    }
    assert_eq!((watched.networks.len(), watched.used_at), (3, Some(at(60 * 24 * 3600))));
}

#[test]
fn kinds_have_words_rules_and_messages() {
    for kind in AlertKind::ALL {
        assert_eq!(AlertKind::parse(kind.as_str()), Some(kind));
        assert_eq!(kind.event(), Some(&*format!("alert.{}", kind.as_str())));
        let (Thresholds { threshold, floor, window, cooldown }, bounds) =
            (AlertRule::default_of(kind).thresholds, AlertRule::bounds(kind));
        assert!(bounds.threshold.map_or(threshold == 0, |bounds| bounds.contains(&threshold)), "{kind:?}");
        assert!(bounds.floor.map_or(floor == 0, |bounds| bounds.contains(&floor)), "{kind:?}");
        assert!(bounds.window.map_or(window.is_zero(), |bounds| bounds.contains(&window)), "{kind:?}");
        assert!(bounds.cooldown.map_or(cooldown.is_zero(), |bounds| bounds.contains(&cooldown)), "{kind:?}");
        assert_eq!(
            AlertRule::threshold_means(kind).is_empty(),
            AlertRule::bounds(kind).threshold.is_none(),
            "{kind:?}"
        );
        let (key, tally) = (KeyId::new(at(0), &SystemEntropy), tally(0, 5));
        let finding = Finding::of_calls(kind, Some(key.clone().into()), &[&tally]);
        let named = Named { name: "Robot".to_owned(), owner: Some("ann".to_owned()) };
        let place = (&ProjectId::default_project(), Environment::Live);
        let alert = Alert::about(AlertId::new(at(0), &SystemEntropy), place, &finding, named);
        let told = alert.event(&SystemEntropy).unwrap();
        assert_eq!((told.kind, &told.data["kind"]), (kind.event().unwrap(), &serde_json::json!(kind.as_str())));
        assert!(alert.message.contains(&format!("{key} (Robot)")), "{}", alert.message);
        assert_eq!((alert.owner.as_deref(), alert.calls), (Some("ann"), 5));
    }
    assert_eq!(AlertKind::parse("all"), None);
}

const DAY: u64 = 24 * 3600;

fn disabled(kind: AlertKind) -> AlertRule {
    AlertRule { enabled: false, ..AlertRule::default_of(kind) }
}
