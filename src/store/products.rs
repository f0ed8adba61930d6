//! Products: the catalogue.

use super::Store;
use super::db::text_search::stored_words;
use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::pages::{self, Statements};
use crate::domain::environment::Environment;
use crate::domain::id::{ProductId, ProjectId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::product::{Price, Product, ProductDetails};
use crate::domain::words::words;

/// The columns of a product `p`, as [`read`] expects them.
macro_rules! product_columns {
    () => {
        "p.seq, p.id, p.project, p.environment, p.name, p.description, p.price_amount, p.price_currency, p.active,
        p.metadata, p.created_at, p.updated_at, p.deleted_at, p.version"
    };
}

/// The tags of a product `p` in their order, each behind a unit separator (U+001F).
macro_rules! product_tags {
    () => {
        "(SELECT string_agg(g.tag, '\u{1f}' ORDER BY g.place) FROM product_tags g WHERE g.product = p.seq) AS tags"
    };
}
pub(super) use {product_columns, product_tags};

/// Which products a list is to hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProductFilter {
    /// Only products that are, or are not, for sale.
    pub active: Option<bool>,
    /// Only products with this tag.
    pub tag: Option<String>,
}

impl Store {
    /// Stores a new product.
    pub async fn create_product(&self, product: &Product) -> Result<()> {
        let metadata = metadata(product)?;
        let (details, price) = (&product.details, product.details.price.as_ref());
        let values = values![
            product.id.as_str(),
            product.project.as_str(),
            product.environment.as_str(),
            &details.name,
            &details.description,
            price.map(|price| price.amount.as_str()),
            price.map(|price| price.currency.as_str()),
            details.active,
            &metadata,
            product.created_at,
            product.updated_at,
            product.deleted_at,
            product.version,
        ];
        let mut tx = self.db.begin().await?;
        let seq = tx.fetch_one(INSERT, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
        let seq = seq.int("seq")?;
        insert_tags(&mut tx, product, seq).await?;
        self.put_words(&mut tx, product, seq).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The product of this id, unless it was deleted.
    pub async fn find_product(
        &self,
        project: &ProjectId,
        environment: Environment,
        id: &ProductId,
    ) -> Result<Option<Product>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The products that pass the filter, newest first. A page comes after the id of the last product of the one before.
    pub async fn list_products(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &ProductFilter,
        request: &PageRequest,
    ) -> Result<Page<Product>> {
        let statements = match (&filter.tag, filter.active) {
            (Some(_), _) => BY_TAG,
            (None, Some(_)) => BY_ACTIVE,
            (None, None) => ALL,
        };
        let filter = values![project.as_str(), environment.as_str(), filter.active, filter.tag.as_deref()];
        let below = self.place_of(project, environment, pages::after(request)).await?;
        self.page(statements, filter, below.into(), request, read).await
    }

    /// Stores a changed or deleted product, if it still has the version expected and was not deleted.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn update_product(&self, product: &Product, expected_version: i64) -> Result<()> {
        let metadata = metadata(product)?;
        let (details, price) = (&product.details, product.details.price.as_ref());
        let values = values![
            product.id.as_str(),
            product.project.as_str(),
            product.environment.as_str(),
            expected_version,
            &details.name,
            &details.description,
            price.map(|price| price.amount.as_str()),
            price.map(|price| price.currency.as_str()),
            details.active,
            &metadata,
            product.updated_at,
            product.deleted_at,
            product.version,
        ];
        let mut tx = self.db.begin().await?;
        let Some(row) = tx.fetch_optional(UPDATE, values).await? else {
            return Err(StoreError::Conflict(Conflict::Version));
        };
        let seq = row.int("seq")?;
        tx.execute(DELETE_TAGS, values![seq]).await?;
        insert_tags(&mut tx, product, seq).await?;
        tx.execute(self.db.product_search().remove, values![seq]).await?;
        if product.deleted_at.is_none() {
            self.put_words(&mut tx, product, seq).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The place in the order of products that a page begins below.
    pub(super) async fn place_of(
        &self,
        project: &ProjectId,
        environment: Environment,
        after: Option<&str>,
    ) -> Result<i64> {
        let Some(after) = after else { return Ok(i64::MAX) };
        let row = self.db.fetch_optional(PLACE, values![after, project.as_str(), environment.as_str()]).await?;
        // A product that never was has nothing after it.
        row.map_or(Ok(i64::MIN), |row| row.int("seq"))
    }

    /// Stores the words by which the product is found.
    async fn put_words(&self, tx: &mut Tx, product: &Product, seq: i64) -> Result<()> {
        let details = &product.details;
        let texts = [&details.name, &details.description].into_iter().chain(&details.tags);
        let mut found: Vec<String> = texts.flat_map(|text| words(text)).collect();
        found.sort_unstable();
        found.dedup();
        let stored = stored_words(&product.project, product.environment, &found);
        tx.execute(self.db.product_search().put, values![seq, &stored]).await?;
        Ok(())
    }
}

/// Reads a product.
pub(super) fn read(row: &Row) -> Result<Product> {
    let environment = Environment::parse(row.str("environment")?).ok_or_else(|| damaged("products.environment"))?;
    let metadata = serde_json::from_str(row.str("metadata")?).map_err(|_| damaged("products.metadata"))?;
    let price = row.opt_text("price_amount")?.zip(row.opt_text("price_currency")?);
    Ok(Product {
        id: ProductId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment,
        details: ProductDetails {
            name: row.text("name")?,
            description: row.text("description")?,
            price: price.map(|(amount, currency)| Price::stored(amount, currency)),
            tags: row.opt_str("tags")?.map_or_else(Vec::new, |tags| tags.split(SEPARATOR).map(str::to_owned).collect()),
            active: row.bool("active")?,
            metadata,
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.opt_time("deleted_at")?,
        version: row.int("version")?,
    })
}

async fn insert_tags(tx: &mut Tx, product: &Product, seq: i64) -> Result<()> {
    let (project, environment) = (product.project.as_str(), product.environment.as_str());
    for (place, tag) in (0_i64..).zip(&product.details.tags) {
        tx.execute(INSERT_TAG, values![seq, place, tag, project, environment]).await?;
    }
    Ok(())
}

fn metadata(product: &Product) -> Result<String> {
    // Text keys and values can always be written as JSON; the error is passed on only so as not to have to say so.
    serde_json::to_string(&product.details.metadata).map_err(|_| damaged("products.metadata"))
}

/// All statements say the whole filter; they differ in the condition that leads to an index of its own.
macro_rules! statements {
    ($from:literal, $leading:literal, $order:literal) => {
        Statements {
            page: concat!(
                "SELECT ", product_columns!(), ", ", product_tags!(),
                " FROM ", $from, " WHERE ", statements!(@filter), $leading,
                " AND ", $order, " < $5 ORDER BY ", $order, " DESC LIMIT $6 OFFSET $7"
            ),
            count: concat!(
                "SELECT COUNT(*) AS total FROM ", $from, " WHERE ", statements!(@filter), $leading
            ),
        }
    };
    (@filter) => {
        "p.project = $1 AND p.environment = $2 AND p.deleted_at IS NULL AND ($3 IS NULL OR p.active = $3)"
    };
}

const ALL: Statements = statements!("products p", " AND $4 IS NULL", "p.seq");
const BY_ACTIVE: Statements = statements!("products p", " AND p.active = $3 AND $4 IS NULL", "p.seq");
const BY_TAG: Statements = statements!(
    "product_tags t JOIN products p ON p.seq = t.product",
    " AND t.project = $1 AND t.environment = $2 AND t.tag = $4",
    "t.product"
);

const SEPARATOR: char = '\u{1f}';

const INSERT: &str =
    "INSERT INTO products (id, project, environment, name, description, price_amount, price_currency, active,
        metadata, created_at, updated_at, deleted_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING seq";
const UPDATE: &str =
    "UPDATE products SET name = $5, description = $6, price_amount = $7, price_currency = $8, active = $9,
        metadata = $10, updated_at = $11, deleted_at = $12, version = $13
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4 AND deleted_at IS NULL RETURNING seq";
const FIND: &str = concat!(
    "SELECT ",
    product_columns!(),
    ", ",
    product_tags!(),
    " FROM products p WHERE p.id = $1 AND p.project = $2 AND p.environment = $3 AND p.deleted_at IS NULL"
);
const PLACE: &str = "SELECT seq FROM products WHERE id = $1 AND project = $2 AND environment = $3";
const INSERT_TAG: &str =
    "INSERT INTO product_tags (product, place, tag, project, environment) VALUES ($1, $2, $3, $4, $5)";
const DELETE_TAGS: &str = "DELETE FROM product_tags WHERE product = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (ALL.page, "products_listed "),
    (ALL.count, "products_listed"),
    (BY_ACTIVE.page, "products_listed_by_active"),
    (BY_ACTIVE.count, "products_listed_by_active"),
    (BY_TAG.page, "product_tags_by_tag"),
    (BY_TAG.count, "product_tags_by_tag"),
    (FIND, "sqlite_autoindex_products_1"),
    (PLACE, "sqlite_autoindex_products_1"),
    (UPDATE, "sqlite_autoindex_products_1"),
    (DELETE_TAGS, "PRIMARY KEY"),
];
