//! The app of the W3C suite's rig as a program: `w3c-app LISTEN EGRESS`, both `ip:port`. See
//! `make conformance`.

mod app;

use std::net::SocketAddr;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, egress] = arguments.as_slice() else {
        return Err("expected two addresses: where to listen, and the egress listener's".into());
    };
    let (listen, egress): (SocketAddr, SocketAddr) = (listen.parse()?, egress.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        app::serve(listener, egress).await;
        Ok(())
    })
}
