//! Connections that speak HTTP/2.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Arrived, MOST_BODY, MOST_FIELDS};
use super::goaway::{Leave, Leaving, Open};
use super::{Peer, Shared};
use crate::caller::Body;

/// Streams a caller may have open on a connection, as the server sets it by default.
pub const MOST_STREAMS: u32 = 100;

/// Of a stream's window, and of a frame.
const WINDOW: u32 = 256 * 1024;

/// Serves a connection to its end.
pub async fn serve<S>(io: S, peer: Peer, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let leave = Arc::new(Leave::default());
    let connection = Builder::new()
        .max_concurrent_streams(MOST_STREAMS)
        .initial_window_size(WINDOW)
        .max_frame_size(WINDOW)
        .initial_connection_window_size(WINDOW * MOST_STREAMS)
        .max_header_list_size(MOST_FIELDS as u32)
        .handshake::<_, Bytes>(Leaving::new(io, Arc::clone(&leave)))
        .await;
    let Ok(mut connection) = connection else {
        return;
    };
    // Too late for their connection: neither answered nor refused.
    let mut ignored = Vec::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = leave.changed() => continue,
            () = leave.lingers(), if leave.is_over() => return,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        match leave.open(respond.stream_id().into()) {
            None => {
                shared.ignored.fetch_add(1, Ordering::SeqCst);
                ignored.push((request, respond));
            }
            Some(open) => {
                let (peer, shared) = (peer.clone(), Arc::clone(&shared));
                tokio::spawn(exchange(request, respond, open, peer, shared));
            }
        }
    }
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    open: Open,
    peer: Peer,
    shared: Arc<Shared>,
) {
    let (head, mut body) = request.into_parts();
    let Ok((body, trailers)) = read(&mut body).await else {
        return;
    };
    let arrived = Arrived {
        head,
        body,
        trailers,
        upgrade: None,
    };
    let answer = shared.answer(&peer, arrived);
    let (head, body) = answer.response.into_parts();
    let ends = body.is_end_stream();
    let sent = respond.send_response(Response::from_parts(head, ()), ends);
    if answer.unknown || shared.is_enough(open.leave().answered()) {
        open.leave().take();
    }
    if let (Ok(stream), false) = (sent, ends) {
        send(stream, body).await;
    }
}

/// The body, `None` if it is too large, and its trailers.
async fn read(body: &mut RecvStream) -> Result<(Option<Bytes>, HeaderMap), h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
        if whole.len() > MOST_BODY {
            return Ok((None, HeaderMap::new()));
        }
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((Some(whole.freeze()), trailers))
}

/// Sends a body, as long as the caller wants it.
async fn send(mut stream: h2::SendStream<Bytes>, mut body: Body) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return,
        };
        let data = frame.map(|frame| frame.expect("it can't fail").into_data());
        let last = data.is_none();
        let data = data.map_or_else(Bytes::new, |data| data.expect("no trailers"));
        let sent = stream.send_data(data, last);
        if sent.is_err() || last {
            return;
        }
    }
}
