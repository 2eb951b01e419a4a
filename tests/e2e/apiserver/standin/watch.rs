//! Watches: an event at every tick, flushed at once, until they are told to end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::caller::Body;

/// How many events there were, and whether there will be more.
#[derive(Clone, Copy, Default)]
struct Now {
    events: usize,
    ended: usize,
}

/// What watches wait for.
pub struct Ticks {
    now: watch::Sender<Now>,
    open: Arc<AtomicUsize>,
}

impl Default for Ticks {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(Now::default()),
            open: Arc::default(),
        }
    }
}

impl Ticks {
    pub fn tick(&self) {
        self.now.send_modify(|now| now.events += 1);
    }

    /// Ends those that are open; later ones go on.
    pub fn end(&self) {
        self.now.send_modify(|now| now.ended += 1);
    }

    pub fn watches(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// A watch from now on.
    pub fn watch(&self) -> Body {
        let (events, body) = mpsc::channel(1);
        let mut now = self.now.subscribe();
        let begin = *now.borrow_and_update();
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.open));
        tokio::spawn(async move {
            let _open = open;
            let mut sent = begin.events;
            loop {
                tokio::select! {
                    changed = now.changed() => if changed.is_err() { return },
                    () = events.closed() => return,
                }
                let latest = *now.borrow_and_update();
                while sent < latest.events {
                    sent += 1;
                    if events.send(event(sent)).await.is_err() {
                        return;
                    }
                }
                if latest.ended != begin.ended {
                    return;
                }
            }
        });
        Events(body).boxed_unsync()
    }
}

fn event(number: usize) -> Bytes {
    let version = number.to_string();
    let object = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "watched", "namespace": "default", "resourceVersion": version},
    });
    format!("{}\n", json!({"type": "MODIFIED", "object": object})).into()
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body of events.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = ready!(self.0.poll_recv(cx));
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}
