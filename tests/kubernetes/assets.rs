//! The programs of a real control plane, where there are any.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;

/// Names the folder, as setup-envtest lays it out.
const VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// A folder with `kube-apiserver`, `etcd` and `kubectl`.
#[derive(Debug)]
pub struct Assets {
    pub apiserver: PathBuf,
    pub etcd: PathBuf,
    pub kubectl: PathBuf,
}

impl Assets {
    /// Finds them; where something is missing that is said once, and there are none.
    pub fn find() -> Option<Self> {
        let Some(folder) = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) else {
            skipped(&format!("{VARIABLE} isn't set"));
            return None;
        };
        // Programs run in folders of their own.
        let folder = std::path::absolute(folder).expect("a path");
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
        Some(Self {
            apiserver,
            etcd,
            kubectl,
        })
    }
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
