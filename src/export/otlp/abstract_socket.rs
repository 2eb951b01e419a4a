//! Connections to a socket of Linux's abstract namespace (unix(7)).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tower_service::Service;

/// Connects to one name, whatever it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Abstract {
    /// As tokio takes it: the byte 0, then the name.
    path: String,
}

impl Abstract {
    /// `name` is the one without the byte 0 in front.
    pub(super) fn new(name: &str) -> Self {
        Self {
            path: format!("\0{name}"),
        }
    }
}

impl Service<Uri> for Abstract {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.path.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}
