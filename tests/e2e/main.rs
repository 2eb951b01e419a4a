//! End to end: the whole proxy in-process, between a real client and a real component.
//!
//! One binary, so that it links once; a module per concern.

#[path = "../support/receiver.rs"]
mod receiver;

mod caller;
mod component;
mod files;
mod process;
mod proxy;
mod server;
mod wire;

mod bodies;
mod pairings;
mod smoke;
mod sockets;
mod tls;
