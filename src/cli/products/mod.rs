//! `gatepost products`: the catalogue.

mod change;
mod find;

use clap::{Args, Subcommand};

use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// Keep a product catalogue.
#[derive(Args, Clone, Debug)]
pub(super) struct ProductsArgs {
    #[command(subcommand)]
    command: ProductsCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum ProductsCommand {
    /// List products, newest first.
    List(find::ListArgs),
    /// Find products by words.
    Search(find::SearchArgs),
    /// Show one product.
    Show(OneProduct),
    /// Add a product.
    Create(change::CreateArgs),
    /// Change a product.
    Update(change::UpdateArgs),
    /// Take products out of the catalogue.
    Delete(SomeProducts),
}

#[derive(Args, Clone, Debug)]
struct OneProduct {
    /// The product's id.
    product: String,
}

#[derive(Args, Clone, Debug)]
struct SomeProducts {
    /// The products' ids.
    #[arg(required = true, value_name = "PRODUCT")]
    products: Vec<String>,
}

impl ProductsArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            ProductsCommand::List(args) => args.run(&connection, output).await?,
            ProductsCommand::Search(args) => args.run(&connection, output).await?,
            ProductsCommand::Show(one) => {
                let request = v1::GetProductRequest { id: one.product.clone() };
                print(connection.products().get_product(request).await?.into_inner().product, output)?;
            }
            ProductsCommand::Create(args) => args.run(&connection, output).await?,
            ProductsCommand::Update(args) => args.run(&connection, output).await?,
            ProductsCommand::Delete(some) => {
                for id in &some.products {
                    let request = v1::DeleteProductRequest { id: id.clone(), etag: None };
                    print(connection.products().delete_product(request).await?.into_inner().product, output)?;
                }
            }
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

fn print(product: Option<v1::Product>, output: Output) -> Result<(), Failure> {
    let product = product.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no product"))?;
    output.result(&product, || record(&product), [product.id.clone()])
}

fn list(products: &[v1::Product]) -> Rows {
    let mut rows = Rows::under(["ID", "NAME", "PRICE", "ACTIVE", "TAGS"]);
    for product in products {
        let active = if product.active() { "yes" } else { "no" }.to_owned();
        rows.push([product.id.clone(), product.name.clone(), price(product), active, product.tags.join(" ")]);
    }
    rows
}

fn record(product: &v1::Product) -> Rows {
    let mut rows = Rows::record();
    rows.field("id", &product.id);
    rows.field("name", &product.name);
    rows.field("description", &product.description);
    rows.field("price", price(product));
    rows.field("tags", product.tags.join(" "));
    rows.field("active", if product.active() { "yes" } else { "no" });
    rows.field("environment", product.environment().as_str_name().to_ascii_lowercase());
    for (name, value) in &product.metadata {
        rows.field("metadata", format!("{name}={value}"));
    }
    rows.field("created", time(product.created_at.as_ref()));
    rows.field("updated", time(product.updated_at.as_ref()));
    rows.field("deleted", time(product.deleted_at.as_ref()));
    rows.field("etag", &product.etag);
    rows
}

fn price(product: &v1::Product) -> String {
    format!("{} {}", product.price(), product.currency()).trim().to_owned()
}
