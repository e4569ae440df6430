//! Checkpoints in an S3-compatible bucket. Called by [`super::location`]; keys, region and endpoint
//! come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`, ..).
//!
//! Invariant: a put of a manifest is conditional (`If-None-Match: *`), and so is every put of the
//! lock (`If-Match`), which the storage must support.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::error::StoreError;

/// A request is tried for some seconds: a checkpoint that fails is tried anew by the next one, and
/// a lock that is not renewed in time is lost.
const RETRIES_MAX: usize = 4;
const RETRY_FOR: Duration = Duration::from_secs(15);

fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(3),
        base: 2.,
    };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_FOR }
}

/// Opens `s3://bucket/prefix`.
pub(super) fn open(url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let refuse = |reason: String| StoreError::Path { path: url.to_owned(), reason };
    let place = url.strip_prefix("s3://").unwrap_or(url);
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let built = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry())
        .build()
        .map_err(|e| refuse(e.to_string()))?;
    let prefix = object_store::path::Path::parse(prefix).map_err(|e| refuse(e.to_string()))?;
    Ok(Arc::new(PrefixStore::new(built, prefix)))
}
