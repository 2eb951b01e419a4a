//! `tracegate explain`: what would happen to a request, without sending one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Uri};
use tracegate::config::{self, Flags, Strictness};
use tracegate::context::callers::UnixPeer;
use tracegate::explain::{self, From, Question};

/// What `explain` takes.
#[derive(Args)]
pub struct Arguments {
    /// Configuration file, together with the OTEL_* variables that are set
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The listener the request comes to; needed where there are several
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A header field of the request; may be repeated. Host is localhost if absent
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// The request's path and query, or its whole target
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: Uri,
    /// The caller speaks HTTP/2
    #[arg(long)]
    http2: bool,
    /// The caller's address [default: 127.0.0.1; none on a unix socket]
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// The user of the caller's process, on a unix socket
    #[arg(long, value_name = "UID", requires = "as_gid")]
    as_uid: Option<u32>,
    /// The group of the caller's process, on a unix socket
    #[arg(long, value_name = "GID", requires = "as_uid")]
    as_gid: Option<u32>,
    /// The certificate the caller presents, and proves to have the key of: PEM, leaf first
    #[arg(long, value_name = "FILE")]
    as_certificate: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Explains; 78 for a bad configuration, 1 for a question that doesn't fit it.
pub fn explain(arguments: Arguments) -> ExitCode {
    let source = match super::run::source(Some(&arguments.config), Flags::default()) {
        Ok(source) => source,
        Err(complaint) => return refuse(&complaint, super::CONFIGURATION),
    };
    let loaded = match config::load(&source, Strictness::Check) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults.to_string(), super::CONFIGURATION),
    };
    let format = arguments.format;
    let answer = question(arguments).and_then(|q| explain::explain(&loaded.config, &q));
    match answer {
        Ok(report) => {
            match format {
                Format::Text => print!("{report}"),
                Format::Json => println!("{:#}", report.json()),
            }
            ExitCode::SUCCESS
        }
        Err(refused) => refuse(&refused.to_string(), 1),
    }
}

fn refuse(complaint: &str, code: u8) -> ExitCode {
    eprintln!("{complaint}");
    ExitCode::from(code)
}

fn question(arguments: Arguments) -> Result<Question, explain::Refused> {
    let certificates = match &arguments.as_certificate {
        Some(file) => explain::chain(file)?,
        None => Vec::new(),
    };
    let process = arguments.as_uid.zip(arguments.as_gid);
    Ok(Question {
        listener: arguments.listener,
        method: arguments.method,
        target: arguments.path,
        headers: arguments.headers,
        http2: arguments.http2,
        from: From {
            address: arguments.from,
            process: process.map(|(uid, gid)| UnixPeer { uid, gid }),
            certificates,
        },
    })
}

/// `Name: value`, as curl takes it.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("expected a field like 'traceparent: 00-…'")?;
    let name = name
        .parse()
        .map_err(|_| "expected a header name before ':'")?;
    let value = HeaderValue::from_str(value.trim_matches([' ', '\t']));
    let value = value.map_err(|_| "expected a header value without control characters")?;
    Ok((name, value))
}
