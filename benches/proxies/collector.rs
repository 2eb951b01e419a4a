//! An OTLP/gRPC receiver that counts spans.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tonic::codegen::Service;
use tonic::{Request, Response, Status};

use crate::control;

struct Counter(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Counter {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.iter().flat_map(|resource| &resource.scope_spans);
        let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans as u64, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Serves until standard input ends; answers any line with the spans received so far.
pub fn main() -> Result<ExitCode, String> {
    let counted = Arc::new(AtomicU64::new(0));
    control::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let shown = Arc::clone(&counted);
        control::serve(address, move |_| shown.load(Ordering::Relaxed).to_string());
        let service = TraceServiceServer::new(Counter(counted));
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            let service = service.clone();
            // gRPC's generated service is a plain HTTP one: hyper serves it without a router.
            let service = service_fn(move |request| service.clone().call(request));
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    })
}
