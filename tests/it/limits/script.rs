//! The script that Redis runs counts as the nodes do: the same calls at the same times, and the same is answered.

use std::sync::Arc;
use std::time::Duration;

use gatepost::domain::clock::Timestamp;
use gatepost::domain::entropy::{Entropy, SystemEntropy};
use gatepost::domain::id::ProjectId;
use gatepost::domain::limit::bucket::{Bucket, BucketId};
use gatepost::domain::limit::limits::{Cost, Limit, Limits};
use gatepost::domain::limit::report::Report;
use gatepost::domain::limit::tally::{Tally, Terms};
use gatepost::store::redis::Redis;
use redis::aio::MultiplexedConnection;

use crate::support::redis::TestRedis;

#[tokio::test]
async fn the_script_answers_as_the_domain_does() {
    if !TestRedis::is_there() {
        return;
    }
    let server = TestRedis::start().await;
    let redis = Redis::open(&server.url(), Duration::from_secs(20)).await.expect("a URL");
    let session = redis.session().expect("it answers");
    let mut own = server.connection().await.expect("it answers");
    let mut admitted = 0;
    for sequence in 0..SEQUENCES {
        let mut random = Random::new();
        let names = ["a", "b", "c"].map(|name| format!("{sequence}/{name}"));
        let policies: Vec<Vec<Terms>> = (0..2).map(|_| names.iter().map(|_| random.terms()).collect()).collect();
        // One for the domain's own count, and two nodes, which share one in Redis.
        let buckets: [Vec<Arc<Bucket>>; 3] = std::array::from_fn(|_| made(&names, &policies[0]));
        let (mut now, mut number) = (Timestamp::from_micros(1_893_456_000_000_000), 1_000 * sequence + 1);
        for step in 0..STEPS {
            now = now.plus(Duration::from_micros(random.wait(&policies[0])));
            // In one of two, keys that differ about the limit.
            let policy = &policies[if sequence % 2 == 0 { 0 } else { random.below(2) as usize }];
            let cost = random.cost(policy);
            let [alone, first, second] = buckets.each_ref().map(|buckets| limits(&names, policy, buckets));
            let node = if random.below(2) == 0 { first } else { second };
            match random.below(40) {
                0 => run(&mut own, "SCRIPT", "FLUSH").await,
                // Redis forgets all, and what each node knows is told to the next session by whoever comes first.
                1 if sequence % 4 == 0 => {
                    agree(&buckets[1], &buckets[2]);
                    run(&mut own, "FLUSHALL", "SYNC").await;
                    number += 1;
                }
                _ => {}
            }
            let wanted = alone.spend(cost, now, |_| ()).expect("nobody has to be asked");
            let hold = node.hold_credits(cost, now).expect("there is no quota");
            let questions = node.questions(cost, number, now);
            let takes = node.may_take(cost, &hold);
            let told = redis.take(&session, &questions, takes, Some(now)).await.expect("it answers");
            let report = node.take_over(&told, cost, hold, number, now, |_| ());
            let place = || format!("sequence {sequence}, step {step}: {cost:?} under {policy:?}");
            assert_eq!(shown(&report), shown(&wanted), "{}", place());
            admitted += u32::from(!report.is_refused());
            for (limit, bucket) in node.iter().zip(&questions) {
                let key = format!("gatepost:{{default}}:{}", bucket.bucket.text);
                let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut own).await.expect("it answers");
                let most = limit.terms.window().as_millis() + 60_000;
                assert!(left == -2 || (0..=most as i64).contains(&left), "{left}: {}", place());
            }
        }
    }
    assert!(admitted > SEQUENCES as u32, "the sequences show something: {admitted}");
    let mut strangers: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut own).await.expect("it answers");
    strangers.retain(|key| !key.starts_with("gatepost:{default}:"));
    assert_eq!(strangers, Vec::<String>::new());
}

/// Many at once, and the time of Redis itself: exactly the limit is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_is_exact_by_the_time_of_redis() {
    if !TestRedis::is_there() {
        return;
    }
    let server = TestRedis::start().await;
    let terms = [Terms { calls: 500, window: 86_400_000_000 }, Terms { calls: 700, window: 86_400_000_000 }];
    let names = ["a", "b", "c"].map(str::to_owned);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let (url, names) = (server.url(), names.clone());
        tasks.spawn(async move {
            let redis = Redis::open(&url, Duration::from_secs(20)).await.expect("a URL");
            let (session, buckets) = (redis.session().expect("it answers"), made(&names, &terms));
            let limits = limits(&names, &terms, &buckets);
            // Clocks that differ by days: no node's own counts.
            let now = Timestamp::from_micros(1_893_456_000_000_000).plus(Duration::from_secs(task * 86_400 * 3));
            let mut admitted = 0;
            for _ in 0..100 {
                let cost = Cost::asked(1);
                let hold = limits.hold_credits(cost, now).expect("there is no quota");
                let questions = limits.questions(cost, session.number(), now);
                let told = redis.take(&session, &questions, true, None).await.expect("it answers");
                let report = limits.take_over(&told, cost, hold, session.number(), now, |_| ());
                admitted += u32::from(!report.is_refused());
            }
            admitted
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), 500);
}

/// What is answered, in all that clients see and more.
fn shown(report: &Report) -> String {
    let mut each: Vec<String> = report.iter().map(|(name, standing)| format!("{name} {standing:?}")).collect();
    each.sort();
    format!("{} {each:?}", report.is_refused())
}

fn made(names: &[String], terms: &[Terms]) -> Vec<Arc<Bucket>> {
    let id = |name: &String| BucketId { text: name.as_str().into(), project: ProjectId::default_project() };
    let each = names.iter().zip(terms).zip(0..);
    each.map(|((name, terms), number)| Arc::new(Bucket::new(id(name), number, Tally::fresh(*terms)))).collect()
}

fn limits(names: &[String], terms: &[Terms], buckets: &[Arc<Bucket>]) -> Arc<Limits> {
    let limit = |((name, terms), bucket): ((&String, &Terms), &Arc<Bucket>)| {
        Limit::new(name.as_str().into(), *terms, Arc::clone(bucket))
    };
    let each = names.iter().zip(terms).zip(buckets).map(limit).collect();
    Limits::new(each, None, false).expect("there are some")
}

/// Two nodes know the same: of each bucket what the one knows that knows more.
fn agree(one: &[Arc<Bucket>], other: &[Arc<Bucket>]) {
    for (one, other) in one.iter().zip(other) {
        let (mut one, mut other) = (one.lock(), other.lock());
        let latest = if one.tally.is_later_than(&other.tally) { one.tally } else { other.tally };
        (one.tally, other.tally) = (latest, latest);
    }
}

async fn run(connection: &mut MultiplexedConnection, command: &str, argument: &str) {
    redis::cmd(command).arg(argument).query_async::<()>(connection).await.expect("it answers");
}

struct Random;

impl Random {
    fn new() -> Self {
        Self
    }

    fn below(&mut self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        SystemEntropy.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    /// From the smallest limits to the largest, those that divide evenly and those that do not.
    fn terms(&mut self) -> Terms {
        let calls = match self.below(4) {
            0 => 1 + self.below(5),
            1 => 1 + self.below(1_000),
            2 => 999_999_937 + self.below(63),
            _ => 10_u64.pow(self.below(10) as u32),
        };
        let seconds = match self.below(4) {
            0 => 1 + self.below(5),
            1 => 1 + self.below(86_400),
            2 => 31 * 86_400 - self.below(3),
            _ => [1, 60, 3_600, 86_400][self.below(4) as usize],
        };
        Terms { calls: calls as u32, window: seconds * 1_000_000 }
    }

    fn cost(&mut self, terms: &[Terms]) -> Cost {
        let least = terms.iter().map(|terms| terms.calls).min().expect("there is a limit");
        let calls = match self.below(4) {
            0 => 0,
            1 => 1 + self.below(3),
            2 => 1 + self.below(u64::from(least)),
            _ => 1 + self.below(u64::from(least).div_ceil(3) + 1),
        } as u32;
        if self.below(5) == 0 { Cost::of_rpc(calls.max(1)) } else { Cost::asked(calls) }
    }

    /// From nothing to more than a window.
    fn wait(&mut self, terms: &[Terms]) -> u64 {
        let window = terms[self.below(terms.len() as u64) as usize].window;
        match self.below(5) {
            0 => 0,
            1 => self.below(3),
            2 => self.below(window / 50 + 1),
            3 => self.below(window / 5 + 1),
            _ if self.below(6) == 0 => self.below(2 * window),
            _ => self.below(window / 500 + 1),
        }
    }
}

const SEQUENCES: u64 = 60;
const STEPS: usize = 80;
