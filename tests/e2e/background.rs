//! A peer of the proxy on a thread of its own, so that no test's runtime has to turn for it.

use std::future::Future;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// A future that runs on its own thread until dropped.
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs what `make` returns, with tasks of its own.
    pub fn run<F: Future<Output = ()>>(make: impl FnOnce() -> F + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(async move {
                    tokio::select! {
                        () = make() => {}
                        _ = stopped => {}
                    }
                });
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A listening socket on a free loopback port, ready for a runtime.
pub fn listener() -> (std::net::TcpListener, std::net::SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a usable socket");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Bounds what a test waits for.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(super::component::PATIENCE, future)
        .await
        .expect("an event in time")
}
