//! `gatepost products create` and `update`.

use clap::Args;

use super::{OneProduct, print};
use crate::cli::arguments::{mask, named, pair};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// The new product.
#[derive(Args, Clone, Debug)]
pub(super) struct CreateArgs {
    /// Its name.
    #[arg(long)]
    name: String,
    /// What it is, in prose.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Its price, a decimal number.
    #[arg(long, requires = "currency")]
    price: Option<String>,
    /// The price's currency: EUR.
    #[arg(long, requires = "price")]
    currency: Option<String>,
    /// A word to find it by; may be given several times, or with commas.
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Do not offer it for sale.
    #[arg(long)]
    inactive: bool,
    /// A pair of your own; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
}

/// What to change.
#[derive(Args, Clone, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    product: OneProduct,
    /// A new name.
    #[arg(long)]
    name: Option<String>,
    /// A new description.
    #[arg(long)]
    description: Option<String>,
    /// A new price, a decimal number.
    #[arg(long)]
    price: Option<String>,
    /// A new currency: EUR.
    #[arg(long)]
    currency: Option<String>,
    /// Take the price away.
    #[arg(long, conflicts_with_all = ["price", "currency"])]
    no_price: bool,
    /// The words to find it by, in place of all there are now; may be given several times, or with commas.
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Take all tags away.
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// Offer it for sale.
    #[arg(long)]
    active: bool,
    /// Do not offer it for sale.
    #[arg(long, conflicts_with = "active")]
    inactive: bool,
    /// The pairs it shall have, in place of all there are now; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Take all pairs away.
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl CreateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let product = v1::Product {
            name: self.name.clone(),
            description: self.description.clone(),
            price: self.price.clone(),
            currency: self.currency.clone(),
            tags: self.tags.clone(),
            active: Some(!self.inactive),
            metadata: self.metadata.iter().cloned().collect(),
            ..v1::Product::default()
        };
        let request = v1::CreateProductRequest { product: Some(product) };
        print(connection.products().create_product(request).await?.into_inner().product, output)
    }
}

impl UpdateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let update_mask = Some(mask(self.paths(), "products")?);
        let request = v1::UpdateProductRequest { product: Some(self.values()), update_mask };
        print(connection.products().update_product(request).await?.into_inner().product, output)
    }

    /// The fields that were named.
    fn paths(&self) -> Vec<String> {
        named([
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("price", self.price.is_some() || self.no_price),
            ("currency", self.currency.is_some() || self.no_price),
            ("tags", !self.tags.is_empty() || self.no_tags),
            ("active", self.active || self.inactive),
            ("metadata", !self.metadata.is_empty() || self.no_metadata),
        ])
    }

    /// Their new values; what is taken away is empty.
    fn values(&self) -> v1::Product {
        v1::Product {
            id: self.product.product.clone(),
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            price: self.price.clone(),
            currency: self.currency.clone(),
            tags: self.tags.clone(),
            active: Some(self.active),
            metadata: self.metadata.iter().cloned().collect(),
            etag: self.etag.clone().unwrap_or_default(),
            ..v1::Product::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: UpdateArgs,
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let cases: [(&str, &[&str]); 5] = [
            ("prod_1", &[]),
            ("prod_1 --price 19.90", &["price"]),
            ("prod_1 --no-price", &["price", "currency"]),
            ("prod_1 --inactive --no-tags", &["tags", "active"]),
            ("prod_1 --name x --description y --metadata a=b", &["name", "description", "metadata"]),
        ];
        for (line, paths) in cases {
            let args = Line::try_parse_from(["update"].into_iter().chain(line.split_whitespace())).unwrap().args;
            assert_eq!(args.paths(), paths, "{line}");
        }
    }
}
