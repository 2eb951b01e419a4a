//! End to end: the whole proxy in-process, between a real client and a real component.
//!
//! One binary, so that it links once; a module per concern.

#[path = "../support/receiver.rs"]
mod receiver;

mod background;
mod component;
mod proxy;
mod span_view;
mod wire;

mod etcd;
mod grpc;
mod outage;
mod smoke;
