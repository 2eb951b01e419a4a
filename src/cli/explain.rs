//! `tracegate explain`: what would happen to a request, without sending one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Uri};
use tracegate::config::{self, Flags, Strictness};
use tracegate::context::callers::UnixPeer;
use tracegate::explain::{self, From, Question};

const EXAMPLES: &str = "\
Examples:
  What becomes of a stranger's traceparent?
    tracegate explain --config tracegate.yaml --listener public --from 203.0.113.7 \\
        -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  Does this certificate make its holder trusted?
    tracegate explain --config tracegate.yaml --listener public --as-certificate client.pem
  Which sampling rule has the probe?
    tracegate explain --config tracegate.yaml --listener public --path /livez

Exit codes: 0 answered, 78 the configuration is at fault, 1 the question doesn't fit it.";

/// What `explain` takes.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file, together with the OTEL_* variables that are set
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The listener the request comes to; needed where there are several
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A header field of the request; may be repeated. Host is localhost if absent
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// The request's path and query, or its whole target
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = target)]
    path: Uri,
    /// The caller speaks HTTP/2
    #[arg(long)]
    http2: bool,
    /// The caller's address [default: 127.0.0.1; none on a unix socket]
    #[arg(long, value_name = "IP", conflicts_with = "as_uid")]
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
    let answer = question(arguments).and_then(|question| {
        explain::explain(&loaded.config, &question).map_err(|refused| refused.to_string())
    });
    match answer {
        Ok(report) => {
            match format {
                Format::Text => print!("{report}"),
                Format::Json => println!("{:#}", report.json()),
            }
            ExitCode::SUCCESS
        }
        Err(complaint) => refuse(&complaint, 1),
    }
}

fn refuse(complaint: &str, code: u8) -> ExitCode {
    eprintln!("{complaint}");
    ExitCode::from(code)
}

/// The question, or everything that is wrong with it, a line each.
fn question(arguments: Arguments) -> Result<Question, String> {
    let mut faults = Vec::new();
    let mut headers = Vec::new();
    for text in &arguments.headers {
        match header(text) {
            Ok(field) => headers.push(field),
            Err(fault) => faults.push(format!("-H: {fault}")),
        }
    }
    let chain = arguments.as_certificate.as_deref().map(explain::chain);
    let certificates = match chain.transpose() {
        Ok(chain) => chain.unwrap_or_default(),
        Err(refused) => {
            faults.push(format!("--as-certificate: {refused}"));
            Vec::new()
        }
    };
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let process = arguments.as_uid.zip(arguments.as_gid);
    Ok(Question {
        listener: arguments.listener,
        method: arguments.method,
        target: arguments.path,
        headers,
        http2: arguments.http2,
        from: From {
            address: arguments.from,
            process: process.map(|(uid, gid)| UnixPeer { uid, gid }),
            certificates,
        },
    })
}

/// `Name: value`, as curl takes it. Complaints show no value: it may be a credential.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let Some((name, value)) = text.split_once(':') else {
        let start = text.split_whitespace().next().unwrap_or_default();
        return Err(format!(
            "expected a field like 'traceparent: 00-…', got no ':' behind {start:?}"
        ));
    };
    let parsed = name.parse::<HeaderName>().map_err(|_| match name {
        "" => "expected a header name before ':', got none; \
               what HTTP/2 has in :method, :path and :authority say --method, --path and -H 'Host: …'"
            .to_owned(),
        _ => format!("expected a header name before ':', got {name:?}"),
    })?;
    let value = value.trim_matches([' ', '\t']);
    match HeaderValue::from_str(value) {
        Ok(value) => Ok((parsed, value)),
        Err(_) => {
            let odd = value
                .bytes()
                .find(|byte| byte.is_ascii_control() && *byte != b'\t');
            let odd = odd.unwrap_or_default();
            Err(format!(
                "expected a value without control characters for {name}, got byte 0x{odd:02x} in it"
            ))
        }
    }
}

/// A request's target. A fragment is refused, for no client sends one.
fn target(text: &str) -> Result<Uri, String> {
    if text.contains('#') {
        return Err("expected a path without a fragment: '#' is written %23".to_owned());
    }
    text.parse()
        .map_err(|error| format!("expected a path like /a?b=c, percent-encoded: {error}"))
}
