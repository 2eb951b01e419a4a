//! The programs of a real control plane, where there are any.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

/// Names the folder, as setup-envtest lays it out.
const VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// A folder with `kube-apiserver`, `etcd` and `kubectl`.
#[derive(Debug)]
pub struct Assets {
    pub apiserver: PathBuf,
    pub etcd: PathBuf,
    pub kubectl: PathBuf,
    /// Every flag the apiserver knows.
    flags: BTreeSet<String>,
}

impl Assets {
    /// Finds them; where something is missing that is said once, and there are none.
    pub fn find() -> Option<Self> {
        let Some(folder) = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) else {
            skipped(&format!("{VARIABLE} isn't set"));
            return None;
        };
        let folder = Path::new(&folder);
        let [apiserver, etcd, kubectl] =
            ["kube-apiserver", "etcd", "kubectl"].map(|name| folder.join(name));
        for program in [&apiserver, &etcd, &kubectl] {
            if !program.is_file() {
                skipped(&format!(
                    "{VARIABLE} is set, but there is no {}",
                    program.display()
                ));
                return None;
            }
        }
        let flags = flags(&apiserver);
        Some(Self {
            apiserver,
            etcd,
            kubectl,
            flags,
        })
    }

    /// Whether the apiserver has a flag. A few came with some version.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }
}

/// What `kube-apiserver --help` lists.
fn flags(apiserver: &Path) -> BTreeSet<String> {
    let help = Command::new(apiserver)
        .arg("--help")
        .stdin(Stdio::null())
        .output();
    let help = help.expect("kube-apiserver says what it can");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    let found: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            let start = line.find("--")?;
            // Flags stand first, behind a letter for short at the most.
            (start < 9).then(|| {
                let name = line[start + 2..].split([' ', '=', '[']).next();
                name.unwrap_or_default().to_owned()
            })
        })
        .collect();
    assert!(found.contains("etcd-servers"), "no list of flags:\n{text}");
    found
}

/// Says once that nothing here could run, for people and for who counts.
fn skipped(why: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let line = format!("tests against a real kube-apiserver: {why}");
        println!("skipped: {line}");
        if let Some(file) = std::env::var_os("TRACEGATE_SKIPPED") {
            let file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(file);
            let _ = file.and_then(|mut file| writeln!(file, "{line}"));
        }
    });
}
