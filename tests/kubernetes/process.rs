//! Programs of the rig: killed when dropped, what they write kept in a file.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of what a program has written that are shown when something fails.
const SHOWN: usize = 40;

/// A running program.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with nothing of our environment but the path.
    pub fn start(name: &'static str, command: &mut Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("a file");
        let errors = file.try_clone().expect("a file");
        let child = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            // Spans are waited for: let them come at once.
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} doesn't start: {error}"));
        Self { name, child, log }
    }

    /// Why it can't go on, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().expect("a child")?;
        Some(format!("{} ended ({status}):\n{}", self.name, self.tail()))
    }

    /// The last lines it has written.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// Waits until something listens there, as long as it runs.
    ///
    /// # Errors
    /// Why nothing does.
    pub fn listens(&mut self, at: SocketAddr, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        while TcpStream::connect(at).is_err() {
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            if Instant::now() > end {
                return Err(format!("{} doesn't listen:\n{}", self.name, self.tail()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody has at the moment. Whoever loses it again starts anew.
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// Looks until there is something, for so long at the most.
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
