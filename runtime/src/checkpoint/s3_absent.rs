//! In place of S3 where the feature `s3` is off: says how to get it. Called by [`super::location`].

use std::sync::Arc;

use object_store::ObjectStore;

use super::error::StoreError;

/// Refuses, with the reason.
pub(super) fn open(url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let reason = "this job was built without S3: add the feature `s3` to riverrun".to_owned();
    Err(StoreError::Path { path: url.to_owned(), reason })
}
