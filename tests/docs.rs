//! What the pages say of the sources is there: files, tests and commands.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

const PAGES: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "benches/README.md",
    "deploy/control-plane/README.md",
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between backticks, outside of blocks of code.
fn quoted(page: &str) -> Vec<String> {
    let text = page.split("```").step_by(2).collect::<String>();
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Names of all functions below a folder.
fn functions(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let names = text
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split('(').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_file_a_page_names_exists() {
    let mut named = 0;
    for page in PAGES {
        for path in quoted(&read(page)) {
            let roots = ["src/", "tests/", "benches/", "config/", "deploy/"];
            let file = path.ends_with(".md") && !path.contains(' ');
            if file || roots.iter().any(|root| path.starts_with(root)) {
                let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists();
                assert!(there, "{page} names {path}, which doesn't exist");
                named += 1;
            }
        }
    }
    assert!(named > 50, "only {named} files were found in the pages");
}

#[test]
fn every_test_a_page_names_exists() {
    let mut known = HashSet::new();
    for folder in ["src", "tests"] {
        functions(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut known,
        );
    }
    let mut named = 0;
    for name in quoted(&read("ARCHITECTURE.md")) {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.matches('_').count() >= 3 && name.chars().all(letters) {
            assert!(known.contains(&name), "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} tests were found in the page");
}

#[test]
fn every_make_target_a_page_names_exists() {
    let makefile = read("Makefile");
    for page in PAGES {
        let text = read(page);
        for rest in text.split("make ").skip(1) {
            let target: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            let quoted_before = text.contains(&format!("`make {target}"))
                || text.contains(&format!("\nmake {target}"));
            if quoted_before && !target.is_empty() {
                let there = makefile.contains(&format!("\n{target}:"));
                assert!(there, "{page} names make {target}, which doesn't exist");
            }
        }
    }
}

#[test]
fn every_flag_the_readme_uses_is_known() {
    let page = read("README.md");
    let source = ["run", "check", "explain"].map(|command| read(&format!("src/cli/{command}.rs")));
    let source = source.concat();
    let commands = page.split("```").skip(1).step_by(2).collect::<String>();
    let lines = commands.replace("\\\n", " ");
    let ours = lines.lines().filter(|line| line.contains("tracegate "));
    let mut used = 0;
    for word in ours.flat_map(str::split_whitespace) {
        if let Some(flag) = word.strip_prefix("--") {
            let field = format!("    {}: ", flag.replace('-', "_"));
            assert!(source.contains(&field), "tracegate has no --{flag}");
            used += 1;
        }
    }
    assert!(used > 8, "only {used} flags were found in the readme");
}
