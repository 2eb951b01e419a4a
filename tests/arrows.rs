//! Reads the sources and fails where a module uses one it must not know.
//!
//! The table in `arrows/rules.rs` is the architecture. A module without a row is a failure too: whoever adds a
//! module decides here what it may see.

#[path = "arrows/rules.rs"]
mod rules;
#[path = "arrows/tokens.rs"]
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{LONGEST, bad_shape, impurities, unexplained, wrong_arrows};

#[test]
fn every_arrow_points_the_right_way() {
    report(
        sources("src")
            .iter()
            .flat_map(|(path, text)| wrong_arrows(path, text)),
    );
}

#[test]
fn context_sample_and_batcher_know_no_runtime_no_clock_and_no_sockets() {
    report(
        sources("src")
            .iter()
            .flat_map(|(path, text)| impurities(path, text)),
    );
}

#[test]
fn files_are_named_after_their_module_and_stay_short() {
    report(
        sources("src")
            .iter()
            .flat_map(|(path, text)| bad_shape(path, text)),
    );
}

#[test]
fn every_relaxed_lint_has_a_reason() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    report(all.flat_map(|(path, text)| unexplained(&path, &text)));
}

#[test]
fn a_wrong_arrow_is_found_however_it_is_written() {
    let batch = Path::new("export/batch.rs");
    for wrong in [
        "use crate::proxy::pipeline;",
        "use crate::{span::record::Record, proxy::settings::{Settings, Forwarded}};",
        "pub(crate) use crate::proxy as p;",
        "fn f() { crate::proxy::run(); }",
        "use super::super::proxy;",
        "mod inner { use super::super::super::proxy; }",
        "fn f() -> Vec<crate::proxy::Head> { todo!() }",
        "#[cfg(test)] mod tests { use crate::proxy; }",
    ] {
        let found = wrong_arrows(batch, wrong);
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        assert!(
            found[0].starts_with("src/export/batch.rs:1: `export` may not use `proxy`"),
            "{found:?}"
        );
    }
    for right in [
        "use crate::span::record::Record; use super::settings; mod a { use super::super::ring; }",
        "// use crate::proxy;\n/// [`crate::proxy`]\nconst A: &str = \"crate::proxy\";",
        "use crate::export::ring; mod proxy {}",
        "pub(crate) fn f() {}",
    ] {
        assert_eq!(wrong_arrows(batch, right), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn a_module_without_a_row_is_refused() {
    let found = wrong_arrows(Path::new("novelty/thing.rs"), "fn f() {}");
    assert_eq!(found.len(), 1);
    let found = wrong_arrows(Path::new("lib.rs"), "pub mod novelty;");
    assert_eq!(
        found.len(),
        0,
        "a declaration alone is found through its file"
    );
}

#[test]
fn runtime_clock_and_sockets_are_found_in_pure_code() {
    for (path, wrong) in [
        ("context/baggage.rs", "use tokio::sync::Mutex;"),
        ("context.rs", "fn f(s: std::net::TcpStream) {}"),
        ("sample/rate.rs", "use std::time::{Duration, Instant};"),
        ("sample/rate.rs", "let t = std::time::SystemTime::now();"),
        ("export/batch.rs", "let now = Instant::now();"),
        ("export/batch.rs", "let s = tokio::time::sleep(d);"),
    ] {
        assert_eq!(
            impurities(Path::new(path), wrong).len(),
            1,
            "{path}: {wrong}"
        );
    }
    for (path, right) in [
        (
            "export/batch.rs",
            "fn due(&self, now: Instant) -> bool { now >= self.due }",
        ),
        (
            "export/batch.rs",
            "#[cfg(test)] mod tests { fn f() { Instant::now(); } }",
        ),
        ("export/otlp.rs", "let now = tokio::time::Instant::now();"),
        ("context/trust.rs", "use std::net::IpAddr; // not tokio"),
    ] {
        assert_eq!(
            impurities(Path::new(path), right),
            Vec::<String>::new(),
            "{path}: {right}"
        );
    }
}

#[test]
fn long_files_and_mod_rs_are_found() {
    let long = "fn f() {}\n".repeat(LONGEST + 1);
    assert_eq!(bad_shape(Path::new("a.rs"), &long).len(), 1);
    assert_eq!(bad_shape(Path::new("a/tests.rs"), &long).len(), 0);
    assert_eq!(bad_shape(Path::new("a/mod.rs"), "").len(), 1);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(bad_shape(Path::new("a.rs"), &tests).len(), 0);
}

#[test]
fn a_relaxed_lint_without_a_reason_is_found() {
    let path = Path::new("src/a.rs");
    assert_eq!(unexplained(path, "#[allow(dead_code)] fn f() {}").len(), 1);
    assert_eq!(unexplained(path, "#![expect(clippy::all)]").len(), 1);
    assert_eq!(
        unexplained(path, "#[cfg_attr(test, allow(dead_code))] fn f() {}").len(),
        1
    );
    assert_eq!(
        unexplained(
            path,
            "#[allow(dead_code, reason = \"kept\")] fn f() { x.expect(\"y\"); }"
        )
        .len(),
        0
    );
}

/// Every Rust file below `root`, with its path relative to `src` (or to the package for others).
fn sources(root: &str) -> Vec<(PathBuf, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = if root == "src" {
        package.join("src")
    } else {
        package.to_owned()
    };
    let mut found = Vec::new();
    let mut open = vec![package.join(root)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source file");
                found.push((
                    path.strip_prefix(&base).expect("below its base").to_owned(),
                    text,
                ));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {root}");
    found.sort();
    found
}

fn report(faults: impl Iterator<Item = String>) {
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
