//! End to end: the whole proxy in-process, between a real client and a real component.
//!
//! One binary, so that it links once; a module per concern.

#[path = "../support/receiver.rs"]
mod receiver;

mod caller;
mod component;
mod files;
mod frames;
mod http2;
mod process;
mod proxy;
mod server;
mod strict;
mod wire;

mod egress;
mod forwarded;
mod bodies;
mod pairings;
mod proxy_protocol;
mod sampling;
mod smoke;
mod smuggling;
mod untrusted;
mod w3c;
