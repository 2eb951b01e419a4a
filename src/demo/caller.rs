//! A little steady traffic from outside, so that there is something to see.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// A context nobody here made: what an outsider may send.
pub const FORGED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Bounds one request, should the demo itself be stuck.
const PATIENCE: Duration = Duration::from_secs(30);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    /// A path, with nothing but the necessary.
    Plain(&'static str),
    /// With a context that nobody should believe, in two formats.
    Forged(&'static str),
    /// A gRPC health check, over HTTP/2.
    Health,
}

/// One round; everything there is to see comes up once.
const ROUND: [Call; 7] = [
    Call::Plain("/"),
    Call::Forged("/"),
    Call::Plain("/slow"),
    Call::Plain("/fail"),
    Call::Health,
    Call::Plain("/watch"),
    Call::Plain("/forgetful"),
];

/// Sends `rate` requests a second, round after round, without waiting for answers; ends once
/// `most` were sent and answered.
pub async fn steady(target: SocketAddr, rate: u16, most: Option<u64>) {
    let mut clock = interval(Duration::from_secs(1) / u32::from(rate.max(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = JoinSet::new();
    let mut left = most.unwrap_or(u64::MAX);
    for call in ROUND.into_iter().cycle() {
        if left == 0 {
            break;
        }
        left -= 1;
        clock.tick().await;
        open.spawn(tokio::time::timeout(PATIENCE, send(call, target)));
        while let Some(ended) = open.try_join_next() {
            tell(ended);
        }
    }
    while let Some(ended) = open.join_next().await {
        tell(ended);
    }
}

type Ended =
    Result<Result<Result<(), Failure>, tokio::time::error::Elapsed>, tokio::task::JoinError>;

fn tell(ended: Ended) {
    let error = match ended {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(elapsed)) => elapsed.to_string(),
        Err(panic) => panic.to_string(),
    };
    tracing::warn!(error, "a request of the demo's own failed");
}

async fn send(call: Call, target: SocketAddr) -> Result<(), Failure> {
    match call {
        Call::Plain(path) => http1(target, path, &[]).await,
        Call::Forged(path) => {
            let b3 = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
            http1(target, path, &[("traceparent", FORGED), ("b3", b3)]).await
        }
        Call::Health => health(target).await,
    }
}

async fn http1(target: SocketAddr, path: &str, more: &[(&str, &str)]) -> Result<(), Failure> {
    let mut request = Request::get(path)
        .header("host", target.to_string())
        .header("user-agent", "tracegate-demo");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let io = TokioIo::new(TcpStream::connect(target).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    exchange(connection, async {
        read(sender.send_request(request).await?).await
    })
    .await
}

async fn health(target: SocketAddr) -> Result<(), Failure> {
    // An empty message: not compressed, no bytes.
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{target}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::<Bytes>::from(&[0_u8; 5][..]))?;
    let io = TokioIo::new(TcpStream::connect(target).await?);
    let executor = TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await?;
    exchange(connection, async {
        read(sender.send_request(request).await?).await
    })
    .await
}

/// Drives a connection as long as its one request lasts: dropped together, nothing stays open.
async fn exchange(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    request: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let driven = async {
        let ended = connection.await;
        // A connection that ended well has delivered everything: the request tells.
        match ended {
            Ok(()) => std::future::pending().await,
            Err(error) => Err(error.into()),
        }
    };
    tokio::select! {
        biased;
        done = request => done,
        broken = driven => broken,
    }
}

/// Reads an answer to its end.
async fn read(answer: Response<Incoming>) -> Result<(), Failure> {
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}
