//! How many alerts of a kind are told within an hour: so few that somebody reads them, and so that nobody can use up the room of others.
//!
//! The alert that fills a bound says so, and counts what is held back by it.

use super::AlertKind;

/// Whose credential an alert is about, as far as it bounds alerts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Whose {
    /// The credential; empty for what nobody knows.
    pub subject: String,
    /// The user that the key acts for.
    pub user: Option<String>,
    /// Whether it is a key that people make for themselves.
    pub personal: bool,
    /// Who the key belongs to.
    pub owner: Option<String>,
}

/// A bound on the alerts of a kind, and how many of them there were within an hour.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bound {
    /// Names the bound: the alert that fills it claims it.
    pub claim: String,
    most: usize,
    told: usize,
    about: &'static str,
}

impl Bound {
    /// The bounds that an alert of this kind comes under, the narrowest first, after these of its kind within an hour.
    pub fn of(kind: AlertKind, whose: &Whose, lately: &[Whose]) -> Vec<Self> {
        let kind = kind.as_str();
        let told = |alike: &dyn Fn(&Whose) -> bool| lately.iter().filter(|known| alike(known)).count();
        let (word, id, about) = whose.principal();
        let principal = |known: &Whose| known.principal() == whose.principal();
        let mut bounds =
            vec![Self { claim: format!("{kind} {word} {id}"), most: MOST_OF_ONE, told: told(&principal), about }];
        if whose.personal {
            let (claim, about) = (format!("{kind} users"), " about keys that users made for themselves");
            bounds.push(Self { claim, most: MOST_OF_USERS, told: told(&|known| known.personal), about });
        }
        bounds.push(Self { claim: kind.to_owned(), most: MOST, told: lately.len(), about: "" });
        bounds
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.told >= self.most
    }

    /// What an alert says that leaves no room for another; none for one that does.
    pub fn filled(&self) -> Option<String> {
        let Self { most, about, .. } = self;
        (self.told + 1 >= *most).then(|| {
            format!(
                " This is the {most}th alert of its kind within an hour{about}: what else is like it is counted here, and not \
                 told by itself."
            )
        })
    }
}

impl Whose {
    /// Who could make many alerts, and what the words for it are: a user, however many keys it has, or else an owner, or the credential.
    fn principal(&self) -> (&'static str, &str, &'static str) {
        match (&self.user, &self.owner) {
            (Some(user), _) => ("user", user, " about keys of one user"),
            (None, Some(owner)) => ("owner", owner, " about keys of one owner"),
            (None, None) => ("credential", &self.subject, " about the same credential"),
        }
    }
}

/// Alerts of one kind that a project gets in an hour, in an environment: more would be read by nobody.
pub const MOST: usize = 100;
/// How many of them may be about keys of one user, or of one owner, or about one key that has neither.
pub const MOST_OF_ONE: usize = 10;
/// How many of them may be about keys that users made for themselves: where anybody may sign up, anybody may be many.
pub const MOST_OF_USERS: usize = 50;
