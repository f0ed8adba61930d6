//! A document that is the same for every client until the server changes: made once, compressed once in each coding, and
//! not sent to a client that has it.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::OnceCell;
use tonic::body::Body;

use super::compression::compress;
use super::headers;

/// A document.
#[derive(Debug)]
pub struct Document {
    content_type: HeaderValue,
    plain: Bytes,
    /// What all entity tags of the document begin with.
    tag: String,
    compressed: [(&'static str, OnceCell<Bytes>); 3],
}

impl Document {
    /// A document of this type.
    pub fn new(content_type: &'static str, plain: Vec<u8>) -> Self {
        let tag = format!("{:08x}{:x}", crc32fast::hash(&plain), plain.len());
        let compressed = ["zstd", "br", "gzip"].map(|coding| (coding, OnceCell::new()));
        Self { content_type: HeaderValue::from_static(content_type), plain: plain.into(), tag, compressed }
    }

    /// The answer to GET with these headers: the document, compressed if the client likes, or 304 if it has it already.
    pub async fn answer(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::new(Full::new(self.plain.clone())));
        let to = response.headers_mut();
        to.insert(CONTENT_TYPE, self.content_type.clone());
        to.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        to.insert(X_CONTENT_TYPE_OPTIONS, headers::NOSNIFF);
        let mut response = compress(request, response).await;
        if response.status() != StatusCode::OK {
            return response;
        }
        let coding = response.headers().get(CONTENT_ENCODING);
        let compressed = self.compressed.iter().find(|(name, _)| coding.is_some_and(|coding| coding == name));
        let tag = self.entity_tag(compressed.map(|(name, _)| *name));
        if has(request, &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
            let to = response.headers_mut();
            for name in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE] {
                to.remove(name);
            }
        } else if let Some((_, once)) = compressed {
            let body = std::mem::take(response.body_mut());
            // What is compressed here is in memory: reading it does not fail. If it did, nothing would be kept.
            let bytes = once.get_or_try_init(|| async { body.collect().await.map(|body| body.to_bytes()) }).await;
            match bytes {
                Ok(bytes) => *response.body_mut() = Body::new(Full::new(bytes.clone())),
                Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            }
        }
        // Digits and letters.
        response.headers_mut().insert(ETAG, HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")));
        response
    }

    /// Each coding has a tag of its own: they are different bytes (RFC 9110, section 8.8.3.3).
    fn entity_tag(&self, coding: Option<&str>) -> String {
        let (tag, coding) = (&self.tag, coding.unwrap_or("plain"));
        format!("\"{tag}-{coding}\"")
    }
}

/// Whether the client has what this tag names (RFC 9110, section 13.1.2).
fn has(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|other| other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag)
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_ENCODING, HeaderName, VARY};

    use super::*;

    async fn get(document: &Document, headers: &[(HeaderName, &str)]) -> (Response<()>, Bytes) {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let (parts, body) = document.answer(&headers.collect()).await.into_parts();
        (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn a_document_is_sent_to_whoever_lacks_it() {
        let text = "a document of no great meaning\n".repeat(100);
        let document = Document::new("application/json", text.clone().into_bytes());
        let (plain, body) = get(&document, &[]).await;
        assert_eq!(body, text);
        assert_eq!(plain.headers()[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(plain.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(plain.headers()[VARY], "accept-encoding");

        let mut tags = vec![plain.headers()[ETAG].clone()];
        for coding in ["zstd", "br", "gzip"] {
            let accepts = (ACCEPT_ENCODING, coding);
            let (first, body) = get(&document, std::slice::from_ref(&accepts)).await;
            assert_eq!(first.headers()[CONTENT_ENCODING], coding);
            assert!(body.len() < 200, "{coding}: {}", body.len());
            let (second, again) = get(&document, std::slice::from_ref(&accepts)).await;
            assert_eq!((first.headers(), &body), (second.headers(), &again));

            let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
            assert!(!tags.contains(&first.headers()[ETAG]));
            for given in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
                let (fresh, body) = get(&document, &[accepts.clone(), (IF_NONE_MATCH, &given)]).await;
                assert_eq!(fresh.status(), StatusCode::NOT_MODIFIED, "{given}");
                assert!(body.is_empty() && !fresh.headers().contains_key(CONTENT_ENCODING));
                assert_eq!(fresh.headers()[ETAG], tag.as_str());
                assert_eq!(fresh.headers()[VARY], "accept-encoding");
                assert!(fresh.headers().contains_key(CACHE_CONTROL));
            }
            // A tag of another coding names other bytes.
            let (other, _) = get(&document, &[(IF_NONE_MATCH, &tag)]).await;
            assert_eq!(other.status(), StatusCode::OK);
            tags.push(first.headers()[ETAG].clone());
        }
    }

    #[tokio::test]
    async fn another_document_has_other_tags() {
        let [one, other] = ["one", "two"].map(|text| Document::new("text/plain", text.repeat(50).into_bytes()));
        let (one, _) = get(&one, &[]).await;
        let (other, body) = get(&other, &[(IF_NONE_MATCH, one.headers()[ETAG].to_str().unwrap())]).await;
        assert_ne!(one.headers()[ETAG], other.headers()[ETAG]);
        assert_eq!(body.len(), 150);
        let (refused, _) =
            get(&Document::new("text/plain", vec![b'a'; 50]), &[(ACCEPT_ENCODING, "identity;q=0")]).await;
        assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
        assert!(!refused.headers().contains_key(ETAG));
    }
}
