//! `gatepost products list` and `search`.

use clap::Args;

use super::list;
use crate::cli::arguments::PageArgs;
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// Which products.
#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    /// Only products that are for sale.
    #[arg(long)]
    active: bool,
    /// Only products that are not for sale.
    #[arg(long, conflicts_with = "active")]
    inactive: bool,
    /// Only products with this tag.
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Which words.
#[derive(Args, Clone, Debug)]
pub(super) struct SearchArgs {
    /// The words; a product must hold them all, in its name, description or tags.
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    page: PageArgs,
}

impl ListArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let page = async |size, token| {
            let request = v1::ListProductsRequest {
                page_size: Some(size),
                page_token: token,
                active: (self.active || self.inactive).then_some(self.active),
                tag: self.tag.clone(),
                ..v1::ListProductsRequest::default()
            };
            let answer = connection.products().list_products(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::ListProductsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || list(&answer.data), answer.data.iter().map(|product| product.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}

impl SearchArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let page = async |size, token| {
            let request = v1::SearchProductsRequest {
                query: self.words.join(" "),
                page_size: Some(size),
                page_token: token,
                ..v1::SearchProductsRequest::default()
            };
            let answer = connection.products().search_products(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::SearchProductsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || list(&answer.data), answer.data.iter().map(|product| product.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}
