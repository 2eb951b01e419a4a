//! The floor: bytes in, bytes out, no HTTP. One upstream connection per accepted one.

use std::process::ExitCode;

use tokio::net::{TcpListener, TcpStream};

use crate::control;

/// Large enough for every message of the scenarios in one read.
const BUFFER: usize = 16 * 1024;

/// Serves until standard input ends.
pub fn main(upstream: Option<String>) -> Result<ExitCode, String> {
    let upstream = upstream.ok_or("the forwarder needs its upstream's address")?;
    control::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        control::serve(address, |_| String::new());
        loop {
            let (caller, _) = listener.accept().await.map_err(|error| error.to_string())?;
            tokio::spawn(forward(caller, upstream.clone()));
        }
    })
}

async fn forward(mut caller: TcpStream, upstream: String) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    caller.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await?;
    Ok(())
}
