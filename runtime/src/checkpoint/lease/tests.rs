//! The lease in memory, with short times: who lives is not robbed, who died leaves the way free.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, UpdateVersion,
};
use riverrun_engine::time::Timestamp;

use super::super::error::StoreError;
use super::keep::{OBJECT, Text};
use super::*;

const FAST: Times = Times {
    lease: Duration::from_millis(400),
    trust: Duration::from_millis(300),
    renew: Duration::from_millis(60),
    look: Duration::from_millis(20),
};

fn info(attempt: &str) -> LockInfo {
    LockInfo {
        pid: 7,
        job: "cards".into(),
        attempt: attempt.into(),
        since: Timestamp::from_millis(0),
        control_port: Some(4),
        control_token: "secret".into(),
    }
}

/// Storage that stops to answer writes.
#[derive(Debug, Default)]
struct Flaky {
    objects: InMemory,
    silent: AtomicBool,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if self.silent.load(Ordering::Acquire) {
            let source = "no answer".into();
            return Err(object_store::Error::Generic { store: "flaky", source });
        }
        self.objects.put_opts(location, payload, options).await
    }
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }
    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.objects.get_opts(location, options).await
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.objects.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }
    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

fn acquire(store: &Arc<Flaky>, attempt: &str) -> Result<Lease, LockError> {
    let objects: Arc<dyn ObjectStore> = store.clone();
    Lease::acquire(move || Ok::<_, StoreError>(objects), "test", &info(attempt), FAST)
}

fn holder(store: &Arc<Flaky>) -> Option<String> {
    let objects: Arc<dyn ObjectStore> = store.clone();
    let read = read(move || Ok::<_, StoreError>(objects), "test").expect("reads");
    read.map(|info| info.attempt)
}

fn pause(ms: u64) {
    super::super::disk::pause(Duration::from_millis(ms));
}

#[test]
fn who_lives_is_not_robbed_and_who_gave_back_is_not_waited_for() {
    let store = Arc::new(Flaky::default());
    assert_eq!(holder(&store), None);
    let first = acquire(&store, "a").expect("free");
    assert_eq!(holder(&store).as_deref(), Some("a"));
    let refused = acquire(&store, "b").expect_err("held").to_string();
    assert!(refused.contains("RR0220") && refused.contains("process 7"), "{refused}");
    pause(500);
    assert_eq!(first.fence().check(), Ok(()), "renewed for longer than a lease");
    drop(first);
    assert_eq!(holder(&store), None);
    let began = doors::monotonic();
    let second = acquire(&store, "b").expect("given back");
    assert!(doors::monotonic() - began < FAST.lease / 2, "at once");
    assert_eq!(second.fence().check(), Ok(()));
}

#[test]
fn a_holder_that_is_cut_off_stops_trusting_before_another_takes_it_and_sees_that_it_lost() {
    let store = Arc::new(Flaky::default());
    let first = acquire(&store, "a").expect("free");
    store.silent.store(true, Ordering::Release);
    let objects: Arc<dyn ObjectStore> = store.clone();
    let rival = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let looks_only = async {
                let mut seen: Option<(UpdateVersion, Duration)> = None;
                loop {
                    let (_, version) =
                        look(objects.as_ref(), "test").await.expect("reads").expect("there");
                    let now = doors::monotonic();
                    match &seen {
                        Some((before, since)) if *before == version => {
                            if now - *since >= FAST.lease {
                                return;
                            }
                        }
                        _ => seen = Some((version, now)),
                    }
                    tokio::time::sleep(FAST.look).await;
                }
            };
            runtime().block_on(looks_only);
            // The moment from which another may have it.
            first.fence().check()
        });
        waiting.join().expect("waits")
    });
    assert!(matches!(rival, Err(Fenced::Unsure { .. })), "{rival:?}");
    // The storage answers the rival first.
    let theft = Text { holder: info("b"), beat: 0, free: false };
    let bytes = serde_json::to_vec(&theft).expect("plain");
    runtime()
        .block_on(store.objects.put(&Path::from(OBJECT), PutPayload::from(bytes)))
        .expect("writes");
    store.silent.store(false, Ordering::Release);
    pause(200);
    assert!(matches!(first.fence().check(), Err(Fenced::Lost { .. })));
    drop(first);
    assert_eq!(holder(&store).as_deref(), Some("b"), "what is lost is not given back");
}

#[test]
fn an_answer_that_was_lost_is_no_loss() {
    let store = Arc::new(Flaky::default());
    let first = acquire(&store, "a").expect("free");
    // A write of the same attempt that the keeper does not know the version of.
    let own = Text { holder: info("a"), beat: 99, free: false };
    let bytes = serde_json::to_vec(&own).expect("plain");
    runtime()
        .block_on(store.objects.put(&Path::from(OBJECT), PutPayload::from(bytes)))
        .expect("writes");
    pause(600);
    assert_eq!(first.fence().check(), Ok(()));
}

#[test]
fn a_dead_holder_leaves_the_way_free_after_the_lease() {
    let store = Arc::new(Flaky::default());
    let dead = Text { holder: info("a"), beat: 5, free: false };
    let bytes = serde_json::to_vec(&dead).expect("plain");
    runtime()
        .block_on(store.objects.put(&Path::from(OBJECT), PutPayload::from(bytes)))
        .expect("writes");
    let began = doors::monotonic();
    let next = acquire(&store, "b").expect("its holder is dead");
    let waited = doors::monotonic() - began;
    assert!(waited >= FAST.lease && waited < FAST.lease * 3, "{waited:?}");
    assert_eq!(next.fence().check(), Ok(()));
    assert_eq!(holder(&store).as_deref(), Some("b"));
}
