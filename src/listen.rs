//! Listeners: from an address to a byte stream whose protocol and peer are known.
//!
//! [`bind`] makes the socket, [`accept`] takes connections off it, and [`handshake`] settles, on
//! the worker that serves the connection and under one deadline, who calls ([`proxy_protocol`]),
//! under which encryption ([`tls`]), with whose certificate ([`client_auth`]) and in which version of HTTP ([`sniff`]). [`stream`] is what
//! comes out, and [`tls_client`] the same encryption towards upstreams.

pub mod accept;
pub mod authority;
pub mod bind;
pub mod client_auth;
pub mod handshake;
pub mod pem;
pub mod proxy_protocol;
pub mod settings;
pub mod sniff;
pub mod stream;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod tls_client;
