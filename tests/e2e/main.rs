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
mod process;
mod proxy;
mod server;
mod span_view;
mod strict;
mod wire;

mod bodies;
mod egress;
mod etcd;
mod forwarded;
mod grpc;
mod outage;
mod pairings;
mod proxy_protocol;
mod ready_made;
mod sampling;
mod smoke;
mod smuggling;
mod sockets;
mod tls;
mod untrusted;
mod w3c;
