//! The configuration as a whole: reference and ready-made files, and every kind of fault.

use std::path::{Path, PathBuf};

use tracegate::config::{self, Config, Faults, FileText, Loaded, Source, Strictness};

fn read(path: &str) -> Result<Loaded, Faults> {
    let text = std::fs::read_to_string(path).unwrap();
    check(path, text)
}

fn check(path: &str, text: String) -> Result<Loaded, Faults> {
    let source = Source {
        file: Some(FileText {
            path: PathBuf::from(path),
            text,
        }),
        ..Source::default()
    };
    config::load(&source, Strictness::Check)
}

#[test]
#[ignore]
fn dump() {
    let mut names: Vec<_> = std::fs::read_dir("tests/broken")
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for n in names {
        println!("== {}", n.display());
        match read(n.to_str().unwrap()) {
            Ok(_) => println!("OK!?"),
            Err(f) => println!("{f}"),
        }
    }
    for n in ["reference", "etcd", "sidecar", "gateway", "webhooks"] {
        match read(&format!("config/{n}.yaml")) {
            Ok(l) => println!("{n}: ok {:?} {:?}", l.warnings, l.config.notes),
            Err(f) => println!("{f}"),
        }
    }
}
