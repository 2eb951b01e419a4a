//! Brings what was encoded to the collector: attempts, timeouts, retries, and the verdict.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use opentelemetry_http::{HttpClient, HttpError};

use super::answer::Answer;
use super::grpc::Grpc;
use super::http_protobuf::HttpProtobuf;
use crate::export::retry::{self, Retry};
use crate::export::sink::{Deadline, Outcome};
use crate::export::status::SinkStatus;

/// How encoded spans and metrics travel.
#[derive(Debug)]
pub(super) enum Wire {
    Grpc(Grpc),
    Http(Box<HttpProtobuf>),
}

/// An encoded request, cheap to copy.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) body: Bytes,
    /// As named by both HTTP and gRPC: `gzip`, `zstd`.
    pub(super) encoding: Option<HeaderValue>,
}

/// What the export in progress is about, and how it ended.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) spans: u64,
    pub(super) deadline: Deadline,
    pub(super) outcome: Option<Outcome>,
}

/// Takes encoded batches from the library and brings them to the collector.
#[derive(Debug)]
pub(super) struct Courier {
    wire: Wire,
    timeout: Duration,
    retry: Retry,
    status: Arc<SinkStatus>,
    /// There is at most one export at a time.
    errand: Mutex<Option<Errand>>,
}

impl Courier {
    pub(super) const fn new(
        wire: Wire,
        timeout: Duration,
        retry: Retry,
        status: Arc<SinkStatus>,
    ) -> Self {
        Self {
            wire,
            timeout,
            retry,
            status,
            errand: Mutex::new(None),
        }
    }

    pub(super) fn status(&self) -> &SinkStatus {
        &self.status
    }

    /// Swaps the errand: to set one, and to have it back.
    pub(super) fn put(&self, errand: Option<Errand>) -> Option<Errand> {
        let mut slot = self.errand.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, errand)
    }

    async fn attempt(&self, payload: Payload) -> Answer {
        let attempt = async {
            match &self.wire {
                Wire::Grpc(grpc) => grpc.send(payload).await,
                Wire::Http(http) => http.send(payload).await,
            }
        };
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(answer) => answer,
            Err(_) => Answer::Retryable {
                error: format!("no answer within {:?}", self.timeout),
                after: None,
            },
        }
    }

    /// Sends until its fate is known; an outcome speaks of spans, or of whatever was counted.
    pub(super) async fn deliver(
        &self,
        payload: Payload,
        spans: u64,
        deadline: &Deadline,
    ) -> Outcome {
        let mut failures = 0;
        loop {
            let (error, after) = match self.attempt(payload.clone()).await {
                Answer::Accepted { rejected } => {
                    self.status.succeeded();
                    let rejected = rejected.min(spans);
                    return Outcome {
                        exported: spans - rejected,
                        rejected,
                        ..Outcome::default()
                    };
                }
                Answer::Rejected { error } => {
                    self.status.failed(&error);
                    return Outcome {
                        rejected: spans,
                        ..Outcome::default()
                    };
                }
                Answer::Retryable { error, after } => (error, after),
            };
            self.status.failed(&error);
            failures += 1;
            // On the way out there is one second chance: the deadline is for all batches.
            let stopping = deadline.borrow().is_some();
            let wait = self.retry.after(failures, after, retry::random());
            match wait {
                Some(wait) if !stopping || failures < 2 => self.rest(wait, deadline).await,
                _ => {
                    return Outcome {
                        failed: spans,
                        ..Outcome::default()
                    };
                }
            }
        }
    }

    /// Waits before the next attempt; a stop cuts the wait short.
    async fn rest(&self, wait: Duration, deadline: &Deadline) {
        if deadline.borrow().is_some() {
            tokio::time::sleep(wait.min(self.retry.initial)).await;
            return;
        }
        let mut deadline = deadline.clone();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = deadline.wait_for(Option::is_some) => {}
        }
    }
}

/// The library wants to own its client.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<Courier>);

#[async_trait::async_trait]
impl HttpClient for Shared {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let courier = &self.0;
        let Some(mut errand) = courier.put(None) else {
            return Err("no export in progress".into());
        };
        let (head, body) = request.into_parts();
        let encoding = head.headers.get(http::header::CONTENT_ENCODING).cloned();
        let payload = Payload { body, encoding };
        let outcome = courier
            .deliver(payload, errand.spans, &errand.deadline)
            .await;
        errand.outcome = Some(outcome);
        courier.put(Some(errand));
        // The outcome travels beside the library, which need not judge anything.
        Ok(Response::new(Bytes::new()))
    }
}
