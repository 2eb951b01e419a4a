//! A real containerd, in directories of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::component::PATIENCE;
use crate::files::TempDir;
use crate::process::skipped;
use crate::wire;

/// One that can be ended and started again; killed when dropped.
pub struct Containerd {
    process: Option<Child>,
    directory: TempDir,
}

impl Containerd {
    /// One that doesn't run yet. `None` where it isn't installed, or may not run: it serves root
    /// only.
    pub fn new() -> Option<Self> {
        let version = Command::new("containerd")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if version.is_err() {
            skipped("container runtime: containerd is not installed");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            skipped("container runtime: containerd runs as root only");
            return None;
        }
        let directory = TempDir::new();
        let root = directory.path().display();
        // Without a network's configuration its CRI plugin serves everything but pods.
        let config = format!(
            "version = 2
root = \"{root}/root\"
state = \"{root}/state\"
[grpc]
  address = \"{root}/containerd.sock\"
[debug]
  address = \"{root}/debug.sock\"
[plugins.\"io.containerd.internal.v1.opt\"]
  path = \"{root}/opt\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  stream_server_address = \"127.0.0.1\"
  stream_server_port = \"0\"
  [plugins.\"io.containerd.grpc.v1.cri\".containerd]
    snapshotter = \"native\"
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    conf_dir = \"{root}/cni\"
"
        );
        directory.file("config.toml", config);
        Some(Self {
            process: None,
            directory,
        })
    }

    /// One that runs.
    pub fn start() -> Option<Self> {
        let mut containerd = Self::new()?;
        containerd.run();
        Some(containerd)
    }

    /// Starts it and waits until its CRI plugin answers.
    pub fn run(&mut self) {
        let log = std::fs::File::create(self.directory.join("log")).expect("a file");
        let process = Command::new("containerd")
            .arg("--config")
            .arg(self.directory.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("containerd starts"));
        let until = Instant::now() + PATIENCE;
        while !self.log().contains("containerd successfully booted") {
            let process = self.process.as_mut().expect("it was started");
            let ended = process.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < until,
                "containerd doesn't start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Ends it at once, as the kernel would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// Where it keeps what it has.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// How many of its goroutines stand in a function.
    pub fn goroutines(&self, function: &str) -> usize {
        let socket = self.directory.join("debug.sock");
        let request = "GET /debug/pprof/goroutine?debug=2 HTTP/1.1\r\nHost: localhost\r\n\
             Connection: close\r\n\r\n";
        let stacks = wire::exchange_unix(&socket, request);
        assert!(stacks.starts_with("HTTP/1.1 200"), "{stacks}");
        let all = stacks.split("\n\n");
        all.filter(|stack| stack.contains(function)).count()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.kill();
    }
}
