//! Scopes: what a credential may do, as `verb:noun`.
//!
//! `READ_PRODUCTS` and `read:products` are two spellings of one scope. Scopes compare by their plain form and are shown in
//! the spelling they were registered in. Nothing is granted by absence: an empty set holds nothing.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::dialect::Dialect;

/// One scope and how it is spelt.
#[derive(Clone, Debug)]
pub struct Scope {
    plain: Box<str>,
    spelling: Option<Box<str>>,
}

impl Scope {
    /// Reads a scope in either spelling, up to 100 characters; none if it breaks the rule ([`Scope::RULE`]).
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH || !text.is_ascii() {
            return None;
        }
        if is_plain(text) {
            return Some(Self { plain: text.into(), spelling: None });
        }
        let upper = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
        if !text.bytes().all(upper) {
            return None;
        }
        let plain = text.to_ascii_lowercase().replacen('_', ":", 1);
        is_plain(&plain).then(|| Self { plain: plain.into(), spelling: Some(text.into()) })
    }

    /// The rule a scope keeps, for error messages.
    pub const RULE: &'static str = "a scope is spelt `verb:noun` or `VERB_NOUN`, up to 100 characters";

    /// Takes a scope that our own store or code holds: the plain form and the spelling.
    pub(crate) fn stored(plain: &str, spelling: &str) -> Self {
        Self { plain: plain.into(), spelling: (plain != spelling).then(|| spelling.into()) }
    }

    /// The form scopes compare by, `verb:noun`.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// The form it was registered or written in.
    pub fn spelling(&self) -> &str {
        self.spelling.as_deref().unwrap_or(&self.plain)
    }

    /// The form that clients of a dialect know.
    pub fn spelling_in(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Billing => self.plain.to_ascii_uppercase().replace([':', '-', '.'], "_"),
            Dialect::Standard | Dialect::Storefront => self.spelling().to_owned(),
        }
    }

    /// Whether it guards Gatepost's own RPCs.
    pub fn is_built_in(&self) -> bool {
        built_in(&self.plain).is_some()
    }

    /// Whether it is the scope that holds all others of its project.
    pub fn is_admin(&self) -> bool {
        &*self.plain == ADMIN
    }
}

impl Eq for Scope {}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.plain == other.plain
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.plain.hash(state);
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.plain.cmp(&other.plain)
    }
}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling())
    }
}

/// The scopes that a credential holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ScopeSet {
    sorted: Box<[Scope]>,
    admin: bool,
}

impl ScopeSet {
    /// The set of these scopes; one given twice counts once.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut sorted: Vec<Scope> = scopes.into_iter().collect();
        sorted.sort();
        sorted.dedup();
        let admin = sorted.iter().any(Scope::is_admin);
        Self { sorted: sorted.into(), admin }
    }

    /// The set that holds everything of its project.
    pub fn admin() -> Self {
        Self::new([Scope::stored(ADMIN, ADMIN)])
    }

    /// Whether a scope in plain form is held, by itself or through `admin`.
    pub fn holds(&self, plain: &str) -> bool {
        self.admin || self.sorted.binary_search_by(|scope| (*scope.plain).cmp(plain)).is_ok()
    }

    /// The first of these scopes that is not held.
    pub fn first_missing<'a>(&self, needed: impl IntoIterator<Item = &'a Scope>) -> Option<&'a Scope> {
        needed.into_iter().find(|scope| !self.holds(&scope.plain))
    }

    /// What both sets hold: of `admin` and some scopes, those.
    pub fn shared_with(&self, other: &Self) -> Self {
        let own = self.iter().filter(|scope| other.holds(&scope.plain));
        let theirs = other.iter().filter(|scope| self.holds(&scope.plain));
        Self::new(own.chain(theirs).cloned())
    }

    /// The scopes, in order of their plain form.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.sorted.iter()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A scope that guards Gatepost's own RPCs.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The scope's plain form.
    pub name: &'static str,
    /// What it allows, in words.
    pub description: &'static str,
}

/// The built-in scope of this plain form.
pub fn built_in(plain: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|scope| scope.name == plain)
}

fn is_plain(text: &str) -> bool {
    let part = |part: &str| {
        part.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c))
    };
    text == ADMIN || (text.contains(':') && text.len() <= MAX_LENGTH && text.split(':').all(part))
}

const ADMIN: &str = "admin";
const MAX_LENGTH: usize = 100;

/// The built-in scopes, by name.
pub const BUILT_IN: [BuiltIn; 21] = [
    BuiltIn { name: ADMIN, description: "Everything in the project" },
    BuiltIn { name: "explain:credentials", description: "See why a credential is accepted or refused" },
    BuiltIn { name: "read:alerts", description: "See what the project was told about its credentials, and when it is" },
    BuiltIn { name: "read:audit", description: "See who did what to the project's keys and scopes" },
    BuiltIn { name: "read:clients", description: "See OAuth clients, without their secrets" },
    BuiltIn { name: "read:issuers", description: "See whose tokens say who the users are" },
    BuiltIn { name: "read:keys", description: "See keys, without their secrets" },
    BuiltIn { name: "read:products", description: "See products" },
    BuiltIn { name: "read:scopes", description: "See which scopes exist" },
    BuiltIn { name: "read:usage", description: "See how often credentials are used, by which methods and from where" },
    BuiltIn { name: "read:users", description: "See users" },
    BuiltIn { name: "read:webhooks", description: "See webhooks, without their secrets, and what they were told" },
    BuiltIn { name: "reveal:keys", description: "Show the secrets of recoverable keys again" },
    BuiltIn { name: "verify:credentials", description: "Ask whether a credential may do something" },
    BuiltIn { name: "write:alerts", description: "Say when the project is told about its credentials" },
    BuiltIn {
        name: "write:clients",
        description: "Register, change and delete OAuth clients, and renew their secrets",
    },
    BuiltIn { name: "write:keys", description: "Make, change, rotate and revoke keys" },
    BuiltIn { name: "write:products", description: "Add, change and delete products" },
    BuiltIn { name: "write:scopes", description: "Register, change and remove scopes" },
    BuiltIn { name: "write:users", description: "Add, change, block and delete users" },
    BuiltIn { name: "write:webhooks", description: "Add, change, test and delete webhooks, and renew their secrets" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_sets_share() {
        let set = |scopes: &[&str]| ScopeSet::new(scopes.iter().map(|text| Scope::parse(text).unwrap()));
        let cases: [(&[&str], &[&str], &[&str]); 6] = [
            (&["read:keys", "READ_PRODUCTS"], &["read:products", "write:keys"], &["read:products"]),
            (&["admin"], &["read:keys"], &["read:keys"]),
            (&["read:keys"], &["admin"], &["read:keys"]),
            (&["admin", "read:keys"], &["admin"], &["admin", "read:keys"]),
            (&["read:keys"], &[], &[]),
            (&["read:keys"], &["write:keys"], &[]),
        ];
        for (one, other, shared) in cases {
            assert_eq!(set(one).shared_with(&set(other)), set(shared), "{one:?} {other:?}");
        }
        assert!(!set(&["read:keys"]).shared_with(&set(&["admin"])).holds("write:keys"));
    }

    #[test]
    fn two_spellings_are_one_scope() {
        let upper = Scope::parse("READ_TAX_RATES").unwrap();
        let plain = Scope::parse("read:tax_rates").unwrap();
        assert_eq!(upper, plain);
        assert_eq!(upper.spelling(), "READ_TAX_RATES");
        assert_eq!(plain.spelling(), "read:tax_rates");
        assert_eq!(plain.spelling_in(Dialect::Billing), "READ_TAX_RATES");
        assert!(Scope::parse("admin").unwrap().is_admin());
    }

    #[test]
    fn what_is_not_a_scope_is_refused() {
        let long = format!("read:{}", "x".repeat(100));
        for bad in [
            "",
            "read",
            ":",
            "read:",
            ":x",
            "Read:x",
            "READ",
            "_READ",
            "READ_",
            "read products",
            "r\u{e9}ad:x",
            "*",
            &long,
        ] {
            assert!(Scope::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_granted_by_absence() {
        let none = ScopeSet::default();
        let some = ScopeSet::new([Scope::parse("read:x").unwrap()]);
        let needed = [Scope::parse("read:x").unwrap(), Scope::parse("WRITE_X").unwrap()];
        assert!(!none.holds("read:x"));
        assert_eq!(some.first_missing(&needed).unwrap().spelling(), "WRITE_X");
        assert!(ScopeSet::admin().first_missing(&needed).is_none());
        assert!(some.first_missing(&ScopeSet::admin()).is_some());
    }
}
