//! Reload: when the contents of a file change, or on SIGHUP, the configuration is read anew.
//!
//! Contents are compared because ConfigMaps and Secrets swap symlinks. A bad configuration
//! changes nothing: the running one stays.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{App, plan};
use crate::config::{self, Config, FileText, Source, Strictness};
use crate::proxy::listener::Plan;
use crate::proxy::worker::{Handle, Job};

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Watches the files a configuration depends on.
pub struct Reload {
    source: Source,
    files: Vec<PathBuf>,
    seen: u64,
    ticks: Interval,
}

impl Reload {
    /// `seen` is the digest of the files, taken before they were put to use: whatever changed
    /// since then is a change.
    pub fn new(source: &Source, config: &Config, seen: u64) -> Self {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            source: source.clone(),
            seen,
            files: config.files.clone(),
            ticks,
        }
    }

    /// Resolves when a file's contents have changed.
    pub async fn changed(&mut self) {
        loop {
            self.ticks.tick().await;
            let now = digest(&self.files);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// Reads everything anew and puts it in force, or says why not.
    pub fn now(&mut self, app: &App, workers: &[Handle]) {
        // Before reading: what changes while it is read changes once more.
        self.seen = digest(&self.files);
        match self.load(app) {
            Ok((config, plans)) => self.apply(app, workers, config, plans),
            Err(why) => {
                for line in why.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration was not reloaded; the running one stays");
            }
        }
    }

    fn load(&mut self, app: &App) -> Result<(Config, Vec<Plan>), String> {
        if let Some(file) = &self.source.file {
            let path = file.path.clone();
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            self.source.file = Some(FileText { path, text });
        }
        let loaded = config::load(&self.source, Strictness::Run).map_err(|f| f.to_string())?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let config = loaded.config;
        if let Some(what) = needs_restart(&app.config, &config) {
            return Err(format!(
                "{what} can't change while running: restart to apply"
            ));
        }
        let plans = plan::plans(&config, &app.secrets).map_err(|error| error.to_string())?;
        Ok((config, plans))
    }

    fn apply(&mut self, app: &App, workers: &[Handle], config: Config, plans: Vec<Plan>) {
        app.sampler.replace(&config.sampling, &plans);
        if let Err(error) = app.access_log.prepare(config.access_log) {
            tracing::error!(%error, "the access log can't be written");
        }
        let plans: Arc<[Plan]> = plans.into();
        for worker in workers {
            worker.tell(Job::Plans(Arc::clone(&plans)));
        }
        if let Err(error) = app.exporter.reconfigure(&config.export) {
            tracing::error!(%error, "the exporter keeps its settings");
        }
        *app.effective.lock().unwrap_or_else(PoisonError::into_inner) = config.effective;
        if self.files != config.files {
            self.files = config.files;
            self.seen = digest(&self.files);
        }
        tracing::info!("configuration reloaded");
    }
}

/// What differs that only a restart can change.
fn needs_restart(old: &Config, new: &Config) -> Option<&'static str> {
    let sockets = |config: &Config| -> Vec<_> {
        let key = |l: &config::Listener| (l.listen.name.clone(), l.listen.bind.clone());
        config.listeners.iter().map(key).collect()
    };
    if sockets(old) != sockets(new) {
        Some("names and addresses of listeners")
    } else if old.workers != new.workers {
        Some("workers")
    } else if old.admin != new.admin || old.health != new.health {
        Some("admin and health addresses")
    } else {
        None
    }
}

/// What the files hold. A missing one has contents, too: none.
pub fn digest(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).ok().hash(&mut hasher);
    }
    hasher.finish()
}
