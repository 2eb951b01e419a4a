//! Health and admin servers, on the control runtime.

use std::future;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};

use super::{App, StartError, observe};
use crate::admin::{self, Listener, State};
use crate::listen::bind::Bound;

/// Starts what is configured; the sockets close when the result is dropped.
pub fn spawn(app: &mut App) -> Result<Vec<Bound>, StartError> {
    let state = Arc::new(state(app));
    let mut bound = Vec::new();
    if let Some(health) = app.health.take() {
        announce("health", &health);
        let listener = listener(&health).map_err(StartError::Runtime)?;
        let served = admin::serve_health(listener, Arc::clone(&state), future::pending());
        tokio::task::spawn_local(report("health", served));
        bound.push(health);
    }
    if let (Some(admin), Some(settings)) = (app.admin.take(), &app.config.admin) {
        announce("admin", &admin);
        let listener = listener(&admin).map_err(StartError::Runtime)?;
        let token = settings.token_file.clone();
        let served = admin::serve_admin(listener, token, state, future::pending());
        tokio::task::spawn_local(report("admin", served));
        bound.push(admin);
    }
    Ok(bound)
}

/// Says where something listens, the port chosen by the kernel included.
pub fn announce(name: &str, bound: &Bound) {
    match bound.local_addr() {
        Ok(Some(address)) => tracing::info!(name, %address, "listening"),
        _ => tracing::info!(name, address = %bound, "listening"),
    }
}

async fn report(server: &'static str, served: impl Future<Output = io::Result<()>>) {
    if let Err(error) = served.await {
        tracing::error!(server, %error, "can't serve");
    }
}

/// A second descriptor of the same socket; the first keeps a unix socket's file.
fn listener(bound: &Bound) -> io::Result<Listener> {
    let descriptor = bound.as_fd().try_clone_to_owned()?;
    Ok(match bound.local_addr()? {
        Some(_) => Listener::Tcp(descriptor.into()),
        None => Listener::Unix(descriptor.into()),
    })
}

fn state(app: &App) -> State {
    let effective = Arc::clone(&app.effective);
    let status = app.exporter.status();
    let (drain, quit) = (app.drain.clone(), app.drain.clone());
    State {
        readiness: Arc::clone(&app.readiness),
        metrics: Arc::clone(&app.registry),
        sampling: Arc::clone(&app.sampler) as Arc<dyn admin::Sampling>,
        config: Box::new(move || {
            effective
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        }),
        status: Box::new(move || observe::lines(&status)),
        drain: Box::new(move || drain.request()),
        quit: Box::new(move || quit.cut_short()),
    }
}
