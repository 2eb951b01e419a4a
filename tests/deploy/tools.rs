//! Programs that read what is deployed, and places for what they read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is deployed in front of a control plane.
pub const CONTROL_PLANE: &str = "deploy/control-plane";

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a program prints, and what it complains of though it succeeds; `None`, noted, where there
/// is no such program.
pub fn run(program: &str, arguments: &[&str]) -> Option<(String, String)> {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            skip(&format!("manifests: {program}: {error}"));
            return None;
        }
    };
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (printed, complaint) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "{program} {arguments:?}:\n{complaint}"
    );
    Some((printed, complaint))
}

fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(file) = std::env::var_os("TRACEGATE_SKIPPED") {
        let file = fs::OpenOptions::new().append(true).create(true).open(file);
        let _ = file.and_then(|mut file| writeln!(file, "{why}"));
    }
}

/// A directory that is gone when the test is.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tracegate-deploy-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn write(&self, name: &str, contents: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, contents).expect("a file");
        path.display().to_string()
    }

    pub fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
