//! The catalogue: reading, changing, listing and searching.

use super::on_both_engines;
use super::support::*;
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::page::PageRequest;
use crate::domain::product::Product;
use crate::domain::words::words;
use crate::store::{Conflict, ProductFilter, StoreError};

on_both_engines! {
    a_product_comes_back_as_it_was_stored,
    changes_and_deletions_show_everywhere,
    lists_page_in_both_styles,
    nobody_sees_over_the_wall,
    search_finds_awkward_words,
    search_pages_in_both_styles,
    words_of_others_are_not_found,
}

async fn a_product_comes_back_as_it_was_stored(db: TestDb) {
    let plain = product("A shoe", at(1));
    let mut full = product("Z\u{fc}rich \u{1f45f} 'n' \"m\"", at(2));
    full.details.description = "line one\nline two; DROP TABLE products; --".to_owned();
    full.details.price = None;
    full.details.tags = ["z", "a,b", "with space", "\u{65e5}\u{672c}"].map(str::to_owned).to_vec();
    full.details.active = false;
    full.details.metadata.insert("\u{fc}".to_owned(), "\u{0}\"\\".to_owned());
    for product in [&plain, &full] {
        db.store.create_product(product).await.unwrap();
        let found = db.store.find_product(&project(), Environment::Live, &product.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(product));
    }
    let again = db.store.create_product(&plain).await;
    assert_eq!(again, Err(StoreError::Conflict(Conflict::Exists)));
}

async fn nobody_sees_over_the_wall(db: TestDb) {
    let mine = product("A shoe", at(1));
    db.store.create_product(&mine).await.unwrap();
    for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        assert_eq!(db.store.find_product(&project, environment, &mine.id).await.unwrap(), None);
        for request in [first(10), numbered(10, 0)] {
            let filter = ProductFilter::default();
            let list = db.store.list_products(&project, environment, &filter, &request).await.unwrap();
            assert!(list.items.is_empty());
            let found = db.store.search_products(&project, environment, &["shoe".to_owned()], &request).await.unwrap();
            assert!(found.items.is_empty());
            assert_eq!(found.total.unwrap_or(0), 0);
        }
        let mut stolen = mine.clone();
        (stolen.project, stolen.environment) = (project, environment);
        stolen.delete(at(2));
        assert_eq!(db.store.update_product(&stolen, 1).await, Err(StoreError::Conflict(Conflict::Version)));
    }
}

async fn changes_and_deletions_show_everywhere(db: TestDb) {
    let mut product = product("A red shoe", at(1));
    product.details.tags = vec!["summer".to_owned(), "sale".to_owned()];
    db.store.create_product(&product).await.unwrap();
    let mut details = product.details.clone();
    details.name = "A blue boot".to_owned();
    details.tags = vec!["winter".to_owned(), "sale".to_owned()];
    product.update(details, at(2));
    db.store.update_product(&product, 1).await.unwrap();
    assert_eq!(db.store.update_product(&product, 1).await, Err(StoreError::Conflict(Conflict::Version)));

    let found = db.store.find_product(&project(), Environment::Live, &product.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&product));
    let by_tag = async |tag: &str| {
        let filter = ProductFilter { tag: Some(tag.to_owned()), active: None };
        db.store.list_products(&project(), Environment::Live, &filter, &first(10)).await.unwrap().items.len()
    };
    assert_eq!((by_tag("summer").await, by_tag("winter").await, by_tag("sale").await), (0, 1, 1));
    assert_eq!((search(&db, "shoe").await.len(), search(&db, "blue boot winter").await.len()), (0, 1));

    product.delete(at(3));
    db.store.update_product(&product, 2).await.unwrap();
    assert_eq!(db.store.find_product(&project(), Environment::Live, &product.id).await.unwrap(), None);
    assert_eq!((by_tag("winter").await, search(&db, "boot").await.len()), (0, 0));
    let filter = ProductFilter::default();
    let list = db.store.list_products(&project(), Environment::Live, &filter, &numbered(10, 0)).await.unwrap();
    assert_eq!((list.items.len(), list.total), (0, Some(0)));
    product.update(product.details.clone(), at(4));
    assert_eq!(db.store.update_product(&product, 3).await, Err(StoreError::Conflict(Conflict::Version)), "it is gone");
}

/// Stores products of every sort, in an order of time that is not the order they are stored in; newest first.
async fn mixed_products(db: &TestDb) -> Vec<Product> {
    let mut products = Vec::new();
    for n in 0..40_u64 {
        let mut product = product(&format!("Shoe number {n}"), at(n / 2));
        product.details.active = n % 3 != 0;
        if n % 4 == 0 {
            product.details.tags.push("sale".to_owned());
        }
        product.details.tags.push(format!("tag{}", n % 2));
        db.store.create_product(&product).await.unwrap();
        if n % 10 == 9 {
            product.delete(at(100));
            db.store.update_product(&product, 1).await.unwrap();
        } else {
            products.push(product);
        }
    }
    products.reverse();
    products
}

async fn lists_page_in_both_styles(db: TestDb) {
    let products = mixed_products(&db).await;
    for active in [None, Some(true), Some(false)] {
        for tag in [None, Some("sale"), Some("tag1"), Some("sal")] {
            let filter = ProductFilter { active, tag: tag.map(str::to_owned) };
            let wanted: Vec<&Product> = products
                .iter()
                .filter(|product| active.is_none_or(|active| product.details.active == active))
                .filter(|product| tag.is_none_or(|tag| product.details.tags.iter().any(|own| own == tag)))
                .collect();
            let list = async |request: &PageRequest| {
                db.store.list_products(&project(), Environment::Live, &filter, request).await.unwrap()
            };
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = list(&PageRequest::After { limit: 3, after }).await;
                after = page.items.last().map(|product| product.id.to_string());
                found.extend(page.items);
                if !page.has_more {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{filter:?}");
            for page in 0..5 {
                let found = list(&numbered(4, page)).await;
                let part: Vec<&Product> = wanted.iter().skip(4 * page as usize).take(4).copied().collect();
                assert_eq!(found.items.iter().collect::<Vec<_>>(), part, "{filter:?}");
                assert_eq!(found.total, Some(wanted.len() as u64));
                assert_eq!(found.has_more, 4 * (page as usize + 1) < wanted.len());
            }
        }
    }
    let lost = PageRequest::After { limit: 3, after: Some("prod_00000000000000000000000000000000".to_owned()) };
    let page = db.store.list_products(&project(), Environment::Live, &ProductFilter::default(), &lost).await.unwrap();
    assert!(page.items.is_empty() && !page.has_more);
}

async fn search_pages_in_both_styles(db: TestDb) {
    let products = mixed_products(&db).await;
    let query = ["sho".to_owned(), "numb".to_owned()];
    let search = async |request: &PageRequest| {
        db.store.search_products(&project(), Environment::Live, &query, request).await.unwrap()
    };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = search(&PageRequest::After { limit: 5, after }).await;
        after = page.items.last().map(|product| product.id.to_string());
        found.extend(page.items);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(found, products);
    let second = search(&numbered(10, 1)).await;
    assert_eq!((&second.items[..], second.total, second.has_more), (&products[10..20], Some(36), true));
    assert!(search(&numbered(10, 4)).await.items.is_empty());
    let none = db.store.search_products(&project(), Environment::Live, &[], &numbered(10, 0)).await.unwrap();
    assert_eq!((none.items.len(), none.total), (0, Some(0)));
}

async fn search(db: &TestDb, query: &str) -> Vec<String> {
    let words: Vec<String> = words(query).collect();
    let page = db.store.search_products(&project(), Environment::Live, &words, &numbered(100, 0)).await.unwrap();
    assert_eq!(page.total, Some(page.items.len() as u64));
    page.items.into_iter().map(|product| product.details.name).collect()
}

async fn search_finds_awkward_words(db: TestDb) {
    let long = "x".repeat(64);
    let names = [
        "Caf\u{e9}-Cr\u{e8}me 2.5kg",
        "O'Reilly \"quoted\" back\\slash",
        "NOT AND OR NEAR(a b) col:umn ^start *star",
        "\u{65e5}\u{672c}\u{8a9e} \u{442}\u{435}\u{441}\u{442}",
        "Stra\u{df}e \u{130}stanbul \u{3a3}\u{391}\u{3a3}",
        &long,
        "1234567890 0x1F 3e5",
        "\u{b7}middle\u{b7}dot \u{2010}hyphen\u{2010} under_score",
        "\u{1f45f}\u{1f45f} emoji only here",
    ];
    for (n, name) in names.into_iter().enumerate() {
        db.store.create_product(&product(name, at(n as u64))).await.unwrap();
    }
    let mut tagged = product("Plain", at(50));
    tagged.details.description = "A description, with words.".to_owned();
    tagged.details.tags = vec!["on-sale".to_owned(), "Gr\u{f6}\u{df}e".to_owned()];
    db.store.create_product(&tagged).await.unwrap();

    let everything = |name: &str| words(name).next().is_some();
    for name in names.into_iter().filter(|name| everything(name)) {
        assert!(search(&db, name).await.contains(&name.to_owned()), "{name:?} is found by itself");
        for word in words(name) {
            for end in word.char_indices().map(|(at, c)| at + c.len_utf8()) {
                let prefix = &word[..end];
                let wanted: Vec<&str> =
                    names.into_iter().rev().filter(|name| words(name).any(|w| w.starts_with(prefix))).collect();
                let mut found = search(&db, prefix).await;
                found.retain(|name| name != "Plain");
                assert_eq!(found, wanted, "{prefix:?}");
            }
        }
    }
    for (query, wanted) in [
        ("cafe creme", vec![names[0]]),
        ("CAF\u{c9}", vec![names[0]]),
        ("creme shoe", vec![]),
        ("afe", vec![]),
        ("reilly o", vec![names[1]]),
        ("not and or", vec![names[2]]),
        ("NEAR(a b)", vec![names[2]]),
        ("col:umn", vec![names[2]]),
        ("\u{65e5}", vec![names[3]]),
        ("\u{442}\u{435}", vec![names[3]]),
        ("' OR 1=1 --", vec![]),
        ("on sale groesse", vec![]),
        ("sale desc words", vec!["Plain"]),
        ("gro", vec!["Plain"]),
    ] {
        assert_eq!(search(&db, query).await, wanted, "{query:?}");
    }
}

async fn words_of_others_are_not_found(db: TestDb) {
    // The names of these projects and words touch each other's edges.
    let near = ProjectId::parse("default-live").unwrap();
    db.store.ensure_project(&near, at(0)).await.unwrap();
    let mut theirs = product("live shoe", at(1));
    theirs.project = near.clone();
    db.store.create_product(&theirs).await.unwrap();
    let mut test = product("test shoe", at(2));
    test.environment = Environment::Test;
    db.store.create_product(&test).await.unwrap();

    for word in ["shoe", "live", "default", "test"] {
        assert_eq!(search(&db, word).await, Vec::<String>::new(), "{word}");
    }
    let words = ["live".to_owned(), "shoe".to_owned()];
    let own = db.store.search_products(&near, Environment::Live, &words, &first(10)).await.unwrap();
    assert_eq!(own.items, [theirs]);
}
