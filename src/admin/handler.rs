//! From a request to its answer.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

use super::State;
use super::access::{self, Refused, Via};
use super::reply::{self, Refusal, Reply};
use super::route::{self, Endpoint, Route};
use super::sampling;
use crate::lifecycle::readiness::View;
use crate::metrics::Format;

/// The largest body that is read.
const MAX_BODY: usize = 64 * 1024;

/// Which of the two servers answers.
pub(super) enum Role {
    Health,
    Admin { token_file: Option<PathBuf> },
}

/// Answers a request.
pub(super) async fn handle(
    role: &Role,
    state: &State,
    via: Via,
    request: Request<Incoming>,
) -> Reply {
    let answered = match role {
        Role::Health => health(state, &request),
        Role::Admin { token_file } => admin(state, via, token_file.as_ref(), request).await,
    };
    answered.unwrap_or_else(Reply::from)
}

type Answered = Result<Reply, Refusal>;

fn health(state: &State, request: &Request<Incoming>) -> Answered {
    match route::health(request.method(), request.uri().path()) {
        Route::Found(endpoint) => show(endpoint, state, request),
        Route::Method(_) | Route::Unknown => Err(unknown(&route::health_index())),
    }
}

async fn admin(
    state: &State,
    via: Via,
    token_file: Option<&PathBuf>,
    request: Request<Incoming>,
) -> Answered {
    access::check_host(via, &request).map_err(refused)?;
    let endpoint = match route::admin(request.method(), request.uri().path()) {
        Route::Found(endpoint) => endpoint,
        Route::Method(allow) => return Err(Refusal::method(allow)),
        Route::Unknown => return Err(unknown(&route::admin_index())),
    };
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return show(endpoint, state, &request);
    }
    access::check_change(via, token_file.map(PathBuf::as_path), request.headers())
        .await
        .map_err(refused)?;
    change(endpoint, state, request).await
}

/// Endpoints that only show something.
fn show(endpoint: Endpoint, state: &State, request: &Request<Incoming>) -> Answered {
    Ok(match endpoint {
        Endpoint::Livez => reply::text(StatusCode::OK, "ok"),
        Endpoint::Readyz => readyz(state, request.uri().query()),
        Endpoint::Metrics => {
            let format = Format::negotiate(request.headers());
            let body = state.metrics.render(format);
            reply::of_type(StatusCode::OK, format.content_type(), body)
        }
        Endpoint::Index => reply::text(StatusCode::OK, route::admin_index()),
        Endpoint::Sampling => reply::json(&sampling::show(&state.sampling.rates())),
        Endpoint::Config => reply::json(&(state.config)()),
        Endpoint::Drain | Endpoint::Quit => return Err(Refusal::method("POST")),
    })
}

/// Endpoints that change something.
async fn change(endpoint: Endpoint, state: &State, request: Request<Incoming>) -> Answered {
    Ok(match endpoint {
        Endpoint::Sampling => {
            let body = read(request).await?;
            sampling::put(&*state.sampling, &body)?
        }
        Endpoint::Drain => {
            tracing::info!("drain asked for over the admin server");
            (state.drain)();
            reply::text(StatusCode::ACCEPTED, "draining")
        }
        Endpoint::Quit => {
            tracing::info!("end asked for over the admin server");
            (state.quit)();
            reply::text(StatusCode::ACCEPTED, "ending")
        }
        Endpoint::Index
        | Endpoint::Livez
        | Endpoint::Readyz
        | Endpoint::Metrics
        | Endpoint::Config => return Err(Refusal::method("GET, HEAD")),
    })
}

/// `ok`, or what isn't; with `verbose`, everything.
fn readyz(state: &State, query: Option<&str>) -> Reply {
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("verbose"))
    });
    // Read once: the verdict must agree with the list.
    let latches: Vec<View> = state.readiness.view().collect();
    let ready = latches.iter().all(|latch| latch.set || !latch.required);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if ready && !verbose {
        return reply::text(status, "ok");
    }
    let mut body = String::new();
    for latch in &latches {
        let (mark, word) = if latch.set {
            ('+', "ok")
        } else {
            ('-', "not ok")
        };
        let note = if latch.required {
            ""
        } else {
            " (informational)"
        };
        body.push_str(&format!("[{mark}]{} {word}{note}\n", latch.name));
    }
    if verbose {
        for line in (state.status)() {
            body.push_str(&line);
            body.push('\n');
        }
    }
    body.push_str(if ready { "ready\n" } else { "not ready\n" });
    reply::text(status, body)
}

async fn read(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("expected a body of at most {MAX_BODY} bytes"),
        )
    };
    let body = request.into_body();
    // What is announced too large isn't waited for.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the body ended early",
        )),
    }
}

fn unknown(index: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing here; there is:\n{index}"),
    )
}

fn refused(why: Refused) -> Refusal {
    match why {
        Refused::BadHost(why) => Refusal::new(StatusCode::BAD_REQUEST, why),
        Refused::Forbidden(why) => Refusal::new(StatusCode::FORBIDDEN, why),
    }
}
