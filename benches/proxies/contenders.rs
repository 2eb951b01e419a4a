//! The proxies that are compared, each with the smallest configuration that does the job: one
//! worker, kept-alive connections on both sides, no access log, one header added per request.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::process::{Cores, Process, Role, find, free_address, pinned};

/// A running proxy.
pub struct Contender {
    /// As it's shown.
    pub name: &'static str,
    /// The process, for weighing.
    pub process: Process,
    /// Where it speaks HTTP/1.1.
    pub http1: SocketAddr,
    /// Where it speaks HTTP/2 on both sides, if it can.
    pub http2: Option<SocketAddr>,
}

/// The names that ratios refer to.
pub const FORWARDER: &str = "byte forwarder";
/// HAProxy as an HTTP proxy.
pub const HAPROXY: &str = "haproxy (http)";
/// The one under test.
pub const TRACEGATE: &str = "tracegate";

/// Traces kept of a million.
pub const SAMPLING_PER_MILLION: u32 = 100;

/// Starts all that can be started; says of the others why not.
pub fn start(
    cores: &Cores,
    folder: &Path,
    upstream: SocketAddr,
    collector: SocketAddr,
) -> (Vec<Contender>, Vec<String>) {
    let starts = [
        (FORWARDER, forwarder(cores, folder, upstream)),
        ("haproxy (tcp)", haproxy_tcp(cores, folder, upstream)),
        (HAPROXY, haproxy(cores, folder, upstream)),
        ("nginx", nginx(cores, folder, upstream)),
        (TRACEGATE, tracegate(cores, folder, upstream, collector)),
    ];
    let (mut running, mut missing) = (Vec::new(), Vec::new());
    for (name, start) in starts {
        match start {
            Ok(contender) => running.push(contender),
            Err(reason) => missing.push(format!("{name}: {reason}")),
        }
    }
    (running, missing)
}

fn forwarder(cores: &Cores, folder: &Path, upstream: SocketAddr) -> Result<Contender, String> {
    let role = Role::start(
        &cores.proxy,
        "forwarder",
        &[upstream.to_string()],
        folder.join("forwarder.log"),
    )?;
    let address = role.address;
    let process = role.into_process();
    Ok(Contender {
        name: FORWARDER,
        process,
        http1: address,
        http2: Some(address),
    })
}

/// What both HAProxy configurations share. `http-reuse always` is HAProxy's best case here.
const HAPROXY_COMMON: &str = "\
global
  nbthread 1
  maxconn 4096
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
";

fn haproxy_tcp(cores: &Cores, folder: &Path, upstream: SocketAddr) -> Result<Contender, String> {
    let bind = free_address()?;
    let text = format!(
        "{HAPROXY_COMMON}  mode tcp\nlisten all\n  bind {bind}\n  server component {upstream}\n"
    );
    let process = run_haproxy(cores, folder, "haproxy-tcp", &text, bind)?;
    Ok(Contender {
        name: "haproxy (tcp)",
        process,
        http1: bind,
        http2: Some(bind),
    })
}

fn haproxy(cores: &Cores, folder: &Path, upstream: SocketAddr) -> Result<Contender, String> {
    let (http1, http2) = (free_address()?, free_address()?);
    let text = format!(
        "{HAPROXY_COMMON}  mode http
  http-reuse always
listen one
  bind {http1}
  http-request set-header x-bench added
  server component {upstream}
listen two
  bind {http2} proto h2
  http-request set-header x-bench added
  server component {upstream} proto h2
"
    );
    let process = run_haproxy(cores, folder, "haproxy-http", &text, http1)?;
    Ok(Contender {
        name: HAPROXY,
        process,
        http1,
        http2: Some(http2),
    })
}

fn run_haproxy(
    cores: &Cores,
    folder: &Path,
    name: &str,
    text: &str,
    bind: SocketAddr,
) -> Result<Process, String> {
    let program = find("haproxy").ok_or("not installed (Debian: haproxy)")?;
    let file = folder.join(name).with_extension("cfg");
    write(&file, text)?;
    let mut command = pinned(&cores.proxy, &program);
    command.arg("-db").arg("-f").arg(&file);
    run(command, folder, name, bind)
}

fn nginx(cores: &Cores, folder: &Path, upstream: SocketAddr) -> Result<Contender, String> {
    let program = find("nginx").ok_or("not installed (Debian: nginx)")?;
    let bind = free_address()?;
    let text = format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream component {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {bind};
    location / {{
      proxy_pass http://component;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header x-bench added;
    }}
  }}
}}
",
        folder = folder.display()
    );
    let file = folder.join("nginx.conf");
    write(&file, &text)?;
    let mut command = pinned(&cores.proxy, &program);
    command
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(folder.join("nginx-error.log"));
    let process = run(command, folder, "nginx", bind)?;
    Ok(Contender {
        name: "nginx",
        process,
        http1: bind,
        http2: None,
    })
}

fn tracegate(
    cores: &Cores,
    folder: &Path,
    upstream: SocketAddr,
    collector: SocketAddr,
) -> Result<Contender, String> {
    let bind = free_address()?;
    let text = format!(
        "apiVersion: tracegate.dev/v1alpha1
kind: TracegateConfiguration
service:
  name: bench
tracing:
  samplingRatePerMillion: {SAMPLING_PER_MILLION}
  export:
    protocol: grpc
    endpoint: http://{collector}
workers: 1
listeners:
- name: bench
  bind: {bind}
  forwarded: off
  upstream:
    url: http://{upstream}
"
    );
    let file = folder.join("tracegate.yaml");
    write(&file, &text)?;
    let mut command = pinned(&cores.proxy, Path::new(env!("CARGO_BIN_EXE_tracegate")));
    command.arg("run").arg("--config").arg(&file);
    // Variables of the caller's shell mustn't change what is measured.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    let process = run(command, folder, "tracegate", bind)?;
    Ok(Contender {
        name: TRACEGATE,
        process,
        http1: bind,
        http2: Some(bind),
    })
}

fn run(command: Command, folder: &Path, name: &str, bind: SocketAddr) -> Result<Process, String> {
    let mut process = Process::start(command, folder.join(name).with_extension("log"))?;
    process.ready(bind)?;
    Ok(process)
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
