//! Which paths exist on which server, and by which methods they are asked.

use http::Method;

/// Something a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Endpoint {
    Index,
    Livez,
    Readyz,
    Metrics,
    Sampling,
    Config,
    Drain,
    Quit,
}

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    /// To an endpoint, by a method it knows.
    Found(Endpoint),
    /// To an endpoint, by another method than the named ones.
    Method(&'static str),
    /// Nowhere.
    Unknown,
}

struct Row {
    path: &'static str,
    endpoint: Endpoint,
    allow: &'static str,
    about: &'static str,
}

const READ: &str = "GET, HEAD";

const HEALTH: [Row; 3] = [
    row("/livez", Endpoint::Livez, READ, "whether the process lives"),
    row(
        "/readyz",
        Endpoint::Readyz,
        READ,
        "whether traffic should come; ?verbose says why",
    ),
    row(
        "/metrics",
        Endpoint::Metrics,
        READ,
        "Prometheus text, or OpenMetrics if asked for",
    ),
];

const ADMIN: [Row; 5] = [
    row("/", Endpoint::Index, READ, "this list"),
    row(
        "/sampling",
        Endpoint::Sampling,
        "GET, HEAD, PUT",
        "sampling rates, also to change",
    ),
    row(
        "/config",
        Endpoint::Config,
        READ,
        "the configuration in effect, secrets masked",
    ),
    row("/drain", Endpoint::Drain, "POST", "drain, then end"),
    row("/quitquitquit", Endpoint::Quit, "POST", "end now"),
];

/// Where a request goes on the health server. Whatever it doesn't answer is unknown to it.
pub(super) fn health(method: &Method, path: &str) -> Route {
    match find(&HEALTH, method, path) {
        Route::Method(_) => Route::Unknown,
        route => route,
    }
}

/// Where a request goes on the admin server.
pub(super) fn admin(method: &Method, path: &str) -> Route {
    match find(&ADMIN, method, path) {
        Route::Unknown => find(&HEALTH, method, path),
        route => route,
    }
}

/// The endpoints of the health server, one a line.
pub(super) fn health_index() -> String {
    index(HEALTH.iter())
}

/// The endpoints of the admin server, one a line.
pub(super) fn admin_index() -> String {
    index(ADMIN.iter().chain(&HEALTH))
}

const fn row(
    path: &'static str,
    endpoint: Endpoint,
    allow: &'static str,
    about: &'static str,
) -> Row {
    Row {
        path,
        endpoint,
        allow,
        about,
    }
}

fn find(rows: &[Row], method: &Method, path: &str) -> Route {
    match rows.iter().find(|row| row.path == path) {
        None => Route::Unknown,
        Some(row) if row.allow.split(", ").any(|name| name == method.as_str()) => {
            Route::Found(row.endpoint)
        }
        Some(row) => Route::Method(row.allow),
    }
}

fn index<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    rows.map(|row| format!("{:<14} {:<16} {}\n", row.path, row.allow, row.about))
        .collect()
}
