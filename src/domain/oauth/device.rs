//! What a device asks for that cannot show a sign-in page (RFC 8628), from its code to its tokens, and the only ways on:
//!
//! ```text
//! pending --approve--> approved --redeem--> redeemed
//!    \------deny-----> denied
//! ```
//!
//! Each is gone once, and none from the end of the request on.

use std::time::Duration;

use super::scope::OAuthScopes;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, GrantId, ProjectId, UserId};

/// What a device asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRequest {
    /// The project of the client.
    pub project: ProjectId,
    /// The environment of the client.
    pub environment: Environment,
    /// What the device runs.
    pub client: ClientId,
    /// What it asks for.
    pub scopes: OAuthScopes,
    /// Where its tokens are to be used (RFC 8707).
    pub resources: Vec<String>,
    /// Where it stands.
    pub state: DeviceState,
    /// How long the device has to wait between two questions.
    pub interval: Duration,
    /// When it asked last.
    pub polled_at: Option<Timestamp>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends, whatever was decided.
    pub expires_at: Timestamp,
}

/// Where a request stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DeviceState {
    /// Nobody has decided.
    Pending,
    /// Somebody agreed.
    Approved(Decided),
    /// This user did not.
    Denied(UserId),
    /// The device has its tokens.
    Redeemed(Decided),
}

/// Who agreed, and to what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decided {
    /// The user.
    pub user: UserId,
    /// What they gave.
    pub grant: GrantId,
}

/// What a device is told that asks whether somebody decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Poll {
    /// Nobody has yet.
    Pending,
    /// Nobody has yet, and it asks too often: from now on it must wait longer (section 3.5).
    TooFast,
    /// It may have the tokens of this grant.
    Approved(GrantId),
    /// It may not.
    Denied,
    /// It is too late.
    Expired,
    /// It had the tokens of this grant.
    Spent(GrantId),
}

impl DeviceRequest {
    /// A request that begins now.
    pub fn new(
        project: ProjectId,
        environment: Environment,
        client: ClientId,
        scopes: OAuthScopes,
        resources: Vec<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            project,
            environment,
            client,
            scopes,
            resources,
            state: DeviceState::Pending,
            interval: INTERVAL,
            polled_at: None,
            created_at: now,
            expires_at: now.plus(LIFETIME),
        }
    }

    /// Whether somebody may decide.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.state == DeviceState::Pending && now < self.expires_at
    }

    /// The device asks.
    pub fn poll(&mut self, now: Timestamp) -> Poll {
        match &self.state {
            DeviceState::Redeemed(decided) => Poll::Spent(decided.grant.clone()),
            _ if now >= self.expires_at => Poll::Expired,
            DeviceState::Denied(_) => Poll::Denied,
            DeviceState::Approved(decided) => Poll::Approved(decided.grant.clone()),
            DeviceState::Pending => {
                let early = self.polled_at.is_some_and(|last| now.since(last) + LENIENCE < self.interval);
                if !early {
                    self.polled_at = Some(now);
                    return Poll::Pending;
                }
                // From then on nothing is noted any more, so that a flood costs no writes.
                if self.interval < SLOWEST {
                    self.polled_at = Some(now);
                    self.interval += SLOWER;
                }
                Poll::TooFast
            }
        }
    }

    /// A user agrees; whether that counts.
    pub fn approve(&mut self, user: UserId, grant: GrantId, now: Timestamp) -> bool {
        let open = self.is_open(now);
        if open {
            self.state = DeviceState::Approved(Decided { user, grant });
        }
        open
    }

    /// A user does not agree; whether that counts.
    pub fn deny(&mut self, user: UserId, now: Timestamp) -> bool {
        let open = self.is_open(now);
        if open {
            self.state = DeviceState::Denied(user);
        }
        open
    }

    /// The device gets the tokens of this grant; whether they are to be had.
    pub fn redeem(&mut self, grant: &GrantId, now: Timestamp) -> bool {
        match &self.state {
            DeviceState::Approved(decided) if decided.grant == *grant && now < self.expires_at => {
                self.state = DeviceState::Redeemed(decided.clone());
                true
            }
            _ => false,
        }
    }
}

/// How long somebody has to type the code, sign in and decide.
pub const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long a device waits between two questions (section 3.2).
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How much longer once it did not (section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The longest wait.
const SLOWEST: Duration = Duration::from_secs(120);
/// The way here takes no two questions the same time.
const LENIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn request() -> DeviceRequest {
        let client = ClientId::new(at(0), &SystemEntropy);
        let project = ProjectId::default_project();
        DeviceRequest::new(project, Environment::Live, client, OAuthScopes::default(), Vec::new(), at(0))
    }

    #[test]
    fn each_way_is_gone_once_and_in_time() {
        let (user, grant) = (UserId::new(at(0), &SystemEntropy), GrantId::new(at(0), &SystemEntropy));
        let other = GrantId::new(at(0), &SystemEntropy);
        let mut approved = request();
        assert!(!approved.redeem(&grant, at(1)), "nobody agreed");
        assert!(approved.approve(user.clone(), grant.clone(), at(1)));
        assert!(!approved.approve(user.clone(), other.clone(), at(2)) && !approved.deny(user.clone(), at(2)));
        assert_eq!(approved.clone().poll(at(600)), Poll::Expired);
        assert!(!approved.clone().redeem(&grant, at(600)) && !approved.redeem(&other, at(3)));
        assert_eq!(approved.poll(at(3)), Poll::Approved(grant.clone()));
        assert!(approved.redeem(&grant, at(4)) && !approved.redeem(&grant, at(4)));
        for late in [5, 601] {
            assert_eq!(approved.poll(at(late)), Poll::Spent(grant.clone()));
        }
        let mut denied = request();
        assert!(denied.deny(user.clone(), at(1)) && !denied.approve(user.clone(), grant.clone(), at(2)));
        assert_eq!((denied.poll(at(3)), denied.poll(at(3))), (Poll::Denied, Poll::Denied));
        let mut late = request();
        assert!(!late.approve(user.clone(), grant, at(600)) && !late.deny(user, at(600)));
        assert_eq!(late.poll(at(600)), Poll::Expired);
    }

    #[test]
    fn who_asks_too_often_has_to_wait_longer_each_time() {
        let mut request = request();
        let mut told = Vec::new();
        for (now, wait) in [(0, 5), (5, 5), (6, 10), (14, 15), (29, 15), (33, 20), (53, 20)] {
            told.push(request.poll(at(now)));
            assert_eq!(request.interval.as_secs(), wait, "at {now}");
        }
        use Poll::{Pending, TooFast};
        assert_eq!(told, [Pending, Pending, TooFast, TooFast, Pending, TooFast, Pending]);
        (0..100).for_each(|_| drop(request.poll(at(60))));
        assert_eq!(request.interval, SLOWEST, "there is an end");
        let before = request.clone();
        assert_eq!((request.poll(at(90)), &request), (TooFast, &before), "nothing is noted");
        assert_eq!(request.poll(at(180)), Pending);
    }
}
