//! Products: things for sale in a project's catalogue.

use std::collections::BTreeMap;

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{ProductId, ProjectId};
use super::key::etag;
use iso_currency::Currency;

/// One thing for sale.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Identifies the product.
    pub id: ProductId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// The environment it belongs to.
    pub environment: Environment,
    /// What may be changed about it.
    pub details: ProductDetails,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

impl Product {
    /// Changes with every change of the product.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// Changes the details.
    pub fn update(&mut self, details: ProductDetails, now: Timestamp) {
        self.details = details;
        self.touch(now);
    }

    /// Takes the product out of every list and answer.
    pub fn delete(&mut self, now: Timestamp) {
        self.deleted_at = Some(now);
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// What may be changed about a product.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductDetails {
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// What it is, in prose.
    pub description: String,
    /// What it costs.
    pub price: Option<Price>,
    /// Words to find it by, in the order given, none twice.
    pub tags: Vec<String>,
    /// Whether it is for sale.
    pub active: bool,
    /// Free pairs.
    pub metadata: BTreeMap<String, String>,
}

/// An amount of money: a decimal number, as it was written, and its currency.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Price {
    /// The amount, as digits with at most one point.
    pub amount: String,
    /// The ISO 4217 code, three capital letters.
    pub currency: String,
}

impl Price {
    /// Reads a price; the error names the rule it breaks and the field, `price` or `currency`.
    pub fn parse(amount: &str, currency: &str) -> Result<Self, (&'static str, String)> {
        let known = Currency::from_code(currency).ok_or_else(|| {
            ("currency", "a currency is an ISO 4217 code of three capital letters, like EUR".to_owned())
        })?;
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let shaped = (1..=15).contains(&whole.len()) && digits(whole) && digits(fraction) && !amount.ends_with('.');
        if !shaped || (whole.len() > 1 && whole.starts_with('0')) {
            let rule = "a price is a decimal number like 19.90, not negative, up to 15 digits before the point";
            return Err(("price", rule.to_owned()));
        }
        let most = known.exponent().map_or(4, usize::from);
        if fraction.len() > most {
            return Err(("price", format!("{currency} has {most} digits after the point")));
        }
        Ok(Self { amount: amount.to_owned(), currency: currency.to_owned() })
    }

    /// Takes a price that our own store holds.
    pub(crate) fn stored(amount: String, currency: String) -> Self {
        Self { amount, currency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices() {
        for (amount, currency, wrong) in [
            ("19.90", "EUR", None),
            ("0", "EUR", None),
            ("1000", "JPY", None),
            ("1.5", "JPY", Some("price")),
            ("1.999", "EUR", Some("price")),
            ("1.999", "KWD", None),
            ("-1", "EUR", Some("price")),
            ("01", "EUR", Some("price")),
            ("1.", "EUR", Some("price")),
            (".5", "EUR", Some("price")),
            ("1e3", "EUR", Some("price")),
            ("1,5", "EUR", Some("price")),
            ("", "EUR", Some("price")),
            ("1234567890123456", "EUR", Some("price")),
            ("1", "eur", Some("currency")),
            ("1", "XXY", Some("currency")),
            ("1", "", Some("currency")),
        ] {
            let field = Price::parse(amount, currency).err().map(|(field, _)| field);
            assert_eq!(field, wrong, "{amount} {currency}");
        }
    }
}
