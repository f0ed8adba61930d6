//! Finding products by words.

use super::db::values;
use super::error::Result;
use super::pages::{self, Statements};
use super::{Store, products};
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::product::Product;

impl Store {
    /// The products whose name, description or tags hold a word that begins with each of these words
    /// ([`crate::domain::words::words`]), newest first. A page comes after the id of the last product of the one before. No
    /// words find nothing.
    pub async fn search_products(
        &self,
        project: &ProjectId,
        environment: Environment,
        words: &[String],
        request: &PageRequest,
    ) -> Result<Page<Product>> {
        if words.is_empty() {
            let total = matches!(request, PageRequest::Numbered { .. }).then_some(0);
            return Ok(Page { items: Vec::new(), has_more: false, total });
        }
        let search = self.db.product_search();
        let expression = search.expression(project, environment, words);
        let filter = values![project.as_str(), environment.as_str(), &expression];
        let below = self.place_of(project, environment, pages::after(request)).await?;
        let statements = Statements { page: search.page, count: search.count };
        self.page(statements, filter, below.into(), request, products::read).await
    }
}
