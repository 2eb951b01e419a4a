//! Connections that speak HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Arrived, MOST_BODY, MOST_FIELDS};
use super::{Peer, Shared};
use crate::caller::Body;

/// Serves a connection to its end, or until it is a tunnel.
pub async fn serve<S>(io: S, peer: Peer, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (peer, shared) = (peer.clone(), Arc::clone(&shared));
        async move { Ok::<_, Infallible>(exchange(request, &peer, &shared).await) }
    });
    let _ = Builder::new()
        .auto_date_header(false)
        // As Go writes them.
        .title_case_headers(true)
        .max_buf_size(MOST_FIELDS + 8192)
        .max_headers(4096)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await;
}

async fn exchange(mut request: Request<Incoming>, peer: &Peer, shared: &Shared) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let (body, trailers) = match Limited::new(body, MOST_BODY).collect().await {
        Ok(whole) => {
            let trailers = whole.trailers().cloned().unwrap_or_default();
            (Some(whole.to_bytes()), trailers)
        }
        Err(error) => {
            assert!(
                error.is::<LengthLimitError>() || error.is::<hyper::Error>(),
                "{error}"
            );
            (None, HeaderMap::new())
        }
    };
    let arrived = Arrived {
        head,
        body,
        trailers,
        upgrade: Some(upgrade),
    };
    shared.answer(peer, arrived).response
}
