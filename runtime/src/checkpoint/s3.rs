//! Checkpoints in an S3-compatible bucket. Called by [`super::location`]; keys, region and endpoint
//! come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`, ..).
//!
//! Invariant: a put of a manifest is conditional (`If-None-Match: *`), which the storage must
//! support.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::prefix::PrefixStore;

use super::error::StoreError;

/// Opens `s3://bucket/prefix`.
pub(super) fn open(url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let refuse = |reason: String| StoreError::Path { path: url.to_owned(), reason };
    let place = url.strip_prefix("s3://").unwrap_or(url);
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let built = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .map_err(|e| refuse(e.to_string()))?;
    let prefix = object_store::path::Path::parse(prefix).map_err(|e| refuse(e.to_string()))?;
    Ok(Arc::new(PrefixStore::new(built, prefix)))
}
