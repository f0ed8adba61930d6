//! Finding products by words.

use super::db::values;
use super::error::Result;
use super::pages::{self, Cut};
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
        let numbered = matches!(request, PageRequest::Numbered { .. });
        if words.is_empty() {
            return Ok(Page { items: Vec::new(), has_more: false, total: numbered.then_some(0) });
        }
        let search = self.db.text_search();
        let expression = search.expression(project, environment, words);
        let filtered = values![project.as_str(), environment.as_str(), &expression];
        let total = match numbered {
            true => u64::try_from(self.db.fetch_one(search.count, filtered).await?.int("total")?).ok(),
            false => None,
        };
        let cut = Cut::of(request);
        if cut.is_past(total) {
            return Ok(Page { items: Vec::new(), has_more: false, total });
        }
        let below = self.place_of(project, environment, pages::after(request)).await?;
        let mut bound = filtered.to_vec();
        bound.extend(values![below, cut.limit, cut.offset]);
        let rows = self.db.fetch_all(search.page, &bound).await?;
        pages::page(request, rows, total, products::read)
    }
}
