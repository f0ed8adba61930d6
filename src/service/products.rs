//! The catalogue: live and test products apart.

use std::sync::Arc;

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::error::{Error, Result};
use crate::domain::id::ProductId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::product::{Product, ProductDetails};
use crate::store::ProductFilter;

/// The Products service.
#[derive(Clone, Debug)]
pub struct Products(Arc<Context>);

impl Products {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Adds a product.
    pub async fn create(&self, caller: &Caller, details: ProductDetails) -> Result<Product> {
        let now = self.0.now();
        let product = Product {
            id: ProductId::new(now, &*self.0.entropy),
            project: caller.project().clone(),
            environment: caller.environment(),
            details,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        };
        self.0.store.create_product(&product).await?;
        Ok(product)
    }

    /// Reads a product.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Product> {
        let found = match ProductId::parse(id) {
            Some(id) => self.0.store.find_product(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("product", id))
    }

    /// Lists products, newest first.
    pub async fn list(&self, caller: &Caller, filter: &ProductFilter, page: &PageRequest) -> Result<Page<Product>> {
        Ok(self.0.store.list_products(caller.project(), caller.environment(), filter, page).await?)
    }

    /// Lists the products that hold every one of these words, newest first.
    pub async fn search(&self, caller: &Caller, words: &[String], page: &PageRequest) -> Result<Page<Product>> {
        Ok(self.0.store.search_products(caller.project(), caller.environment(), words, page).await?)
    }

    /// Changes the details of a product by `change`.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(&mut ProductDetails) -> Result<()>,
    ) -> Result<Product> {
        let mut product = self.find(caller, id).await?;
        expect_etag(etag, &product.etag())?;
        let version = product.version;
        let mut details = product.details.clone();
        change(&mut details)?;
        product.update(details, self.0.now());
        self.write(product, version).await
    }

    /// Takes a product out of every list and answer.
    pub async fn delete(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Product> {
        let mut product = self.find(caller, id).await?;
        expect_etag(etag, &product.etag())?;
        let version = product.version;
        product.delete(self.0.now());
        self.write(product, version).await
    }

    async fn write(&self, product: Product, version: i64) -> Result<Product> {
        self.0.store.update_product(&product, version).await?;
        Ok(product)
    }
}
