//! End to end: the whole proxy in-process, between a real client and a real component.
//!
//! One binary, so that it links once; a module per concern.

#[path = "../support/receiver.rs"]
mod receiver;

mod background;
mod caller;
mod component;
mod files;
mod frames;
mod http2;
mod http2_relay;
mod metrics;
mod process;
mod program;
mod proxy;
mod server;
mod span_view;
mod streams;
mod strict;
mod wire;

mod access_log;
mod admin;
mod apiserver;
mod attempts;
mod bodies;
mod cancel;
mod cli;
mod correlation;
mod cri;
mod destinations;
mod drain;
mod egress;
mod endpoints;
mod etcd;
mod expect;
mod explain;
mod forwarded;
mod grpc;
mod http2_blame;
mod http2_faults;
mod http2_limits;
mod interim;
mod keep;
mod limits;
mod metrics_names;
mod metrics_push;
mod outage;
mod pairings;
mod pings;
mod propagators;
mod proxy_protocol;
mod ready_made;
mod relay;
mod retry;
mod routes;
mod sampling;
mod segments;
mod smoke;
mod smuggling;
mod sockets;
mod stalled;
mod tls;
mod trace_id_header;
mod trust;
mod untrusted;
mod upgrade;
mod w3c;
