//! The Products service on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::error::{Error, Result};
use crate::domain::product::{Price, ProductDetails};
use crate::proto::v1;
use crate::proto::v1::products_server::Products as ProductsRpc;
use crate::service::Context;
use crate::service::paging::ListScope;
use crate::service::products::Products;
use crate::store::ProductFilter;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub struct ProductsService {
    context: Arc<Context>,
    products: Products,
}

impl ProductsService {
    /// The RPCs over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { products: Products::new(Arc::clone(&context)), context }
    }
}

#[tonic::async_trait]
impl ProductsRpc for ProductsService {
    async fn create_product(
        &self,
        request: Request<v1::CreateProductRequest>,
    ) -> Result<Response<v1::CreateProductResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let product = message.product.ok_or_else(|| Error::field("product", "is needed"))?;
            let details = new_product(product)?;
            let product = self.products.create(&around.caller, details).await?;
            Ok(v1::CreateProductResponse { product: Some(convert::product(product)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn get_product(
        &self,
        request: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::GetProductResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let found = self.products.find(&around.caller, &message.id).await;
        let product = found.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetProductResponse { product: Some(convert::product(product)) }))
    }

    async fn list_products(
        &self,
        request: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let tag = message.tag.clone().map(|tag| fields.line("tag", tag, 1, 50));
            let filter = fields.finish(ProductFilter { active: message.active, tag })?;
            let list = ListScope::new(&around.caller, "products", &format!("{filter:?}"));
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.products.list(&around.caller, &filter, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |product| product.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListProductsResponse {
                data: page.items.into_iter().map(convert::product).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    async fn search_products(
        &self,
        request: Request<v1::SearchProductsRequest>,
    ) -> Result<Response<v1::SearchProductsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let words = fields.words("query", &message.query);
            let words = fields.finish(words)?;
            let list = ListScope::new(&around.caller, "products found", &words.join(" "));
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.products.search(&around.caller, &words, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |product| product.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::SearchProductsResponse {
                data: page.items.into_iter().map(convert::product).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    async fn update_product(
        &self,
        request: Request<v1::UpdateProductRequest>,
    ) -> Result<Response<v1::UpdateProductResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let product = message.product.ok_or_else(|| Error::field("product", "is needed"))?;
            let mut fields = Fields::under("product.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            fields.finish(())?;
            let (id, etag) = (product.id.clone(), product.etag.clone());
            let update =
                self.products.update(&around.caller, &id, Some(&etag), |details| change(details, product, &mask));
            Ok(v1::UpdateProductResponse { product: Some(convert::product(update.await?)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn delete_product(
        &self,
        request: Request<v1::DeleteProductRequest>,
    ) -> Result<Response<v1::DeleteProductResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.products.delete(&around.caller, &message.id, message.etag.as_deref()).await;
        let product = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteProductResponse { product: Some(convert::product(product)) }))
    }
}

fn new_product(product: v1::Product) -> Result<ProductDetails> {
    let mut fields = Fields::under("product.");
    let details = ProductDetails {
        name: fields.line("name", product.name, 1, 200),
        description: fields.prose("description", product.description, 5_000),
        price: price(&mut fields, product.price.as_deref(), product.currency.as_deref()),
        tags: fields.tags("tags", product.tags),
        active: product.active.unwrap_or(true),
        metadata: fields.metadata("metadata", product.metadata),
    };
    fields.finish(details)
}

/// Changes the masked fields. Price and currency are judged together, as they will stand.
fn change(details: &mut ProductDetails, product: v1::Product, mask: &[&str]) -> Result<()> {
    let mut fields = Fields::under("product.");
    let (mut amount, mut currency) = details.price.take().map(|price| (price.amount, price.currency)).unzip();
    for field in mask {
        match *field {
            "name" => details.name = fields.line("name", product.name.clone(), 1, 200),
            "description" => details.description = fields.prose("description", product.description.clone(), 5_000),
            "price" => amount = product.price.clone(),
            "currency" => currency = product.currency.clone(),
            "tags" => details.tags = fields.tags("tags", product.tags.clone()),
            "active" => details.active = product.active.unwrap_or(true),
            // The mask holds only the names of CHANGEABLE; this is the last of them.
            _ => details.metadata = fields.metadata("metadata", product.metadata.clone()),
        }
    }
    details.price = price(&mut fields, amount.as_deref(), currency.as_deref());
    fields.finish(())
}

fn price(fields: &mut Fields, amount: Option<&str>, currency: Option<&str>) -> Option<Price> {
    let together = "price and currency are given together";
    match (amount, currency) {
        (None, None) => None,
        (Some(_), None) => {
            fields.refuse("currency", together);
            None
        }
        (None, Some(_)) => {
            fields.refuse("price", together);
            None
        }
        (Some(amount), Some(currency)) => {
            Price::parse(amount, currency).map_err(|(field, rule)| fields.refuse(field, rule)).ok()
        }
    }
}

const CHANGEABLE: [&str; 7] = ["name", "description", "price", "currency", "tags", "active", "metadata"];
