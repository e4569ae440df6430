//! An S3 server in this process over a folder, which can be told to fail or to be slow.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use tempfile::TempDir;

pub(crate) const ACCESS_KEY: &str = "tester";
pub(crate) const SECRET_KEY: &str = "tester-secret";
const BUCKET: &str = "checkpoints";

/// What is wrong with the server just now.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Whether writes of segments are answered with 500.
    pub(crate) failing: AtomicU32,
    /// How long every write waits first.
    pub(crate) delay_ms: AtomicU64,
    /// How many writes were refused.
    pub(crate) refused: AtomicU32,
}

/// A running server; it ends with the process.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) faults: Arc<Faults>,
    root: TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let files = s3s_fs::FileSystem::new(root.path()).expect("opens");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (service, faults) = (builder.build(), Arc::new(Faults::default()));
        let (tell, told) = std::sync::mpsc::channel();
        let known = faults.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("bound")).expect("waited for");
                serve(listener, service, known).await;
            });
        });
        let address = told.recv().expect("it listens");
        Server { endpoint: format!("http://{address}"), faults, root }
    }

    /// The URL of a prefix in the server's bucket.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Where the server keeps the objects of a prefix.
    pub(crate) fn folder(&self, prefix: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(prefix)
    }
}

async fn serve(listener: tokio::net::TcpListener, service: S3Service, faults: Arc<Faults>) {
    // The server asks and then writes; S3 does both in one step.
    let writing = Arc::new(tokio::sync::Mutex::new(()));
    loop {
        let (socket, _) = listener.accept().await.expect("accepts");
        let (service, faults, writing) = (service.clone(), faults.clone(), writing.clone());
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let (service, faults, writing) = (service.clone(), faults.clone(), writing.clone());
            async move {
                let write = request.method() == Method::PUT;
                if write {
                    let delay = faults.delay_ms.load(Ordering::Acquire);
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                }
                let segment = request.uri().path().ends_with(".seg");
                if write && segment && faults.failing.load(Ordering::Acquire) > 0 {
                    faults.refused.fetch_add(1, Ordering::AcqRel);
                    return Ok::<_, Infallible>(failure());
                }
                let _alone = if write { Some(writing.lock().await) } else { None };
                Ok(service.call(request.map(Body::from)).await.unwrap_or_else(|_| failure()))
            }
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that was killed breaks its connection.
            drop(connection.serve_connection(TokioIo::new(socket), answer).await);
        });
    }
}

fn failure() -> HttpResponse {
    let mut response = HttpResponse::new(Body::empty());
    *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
    response
}
