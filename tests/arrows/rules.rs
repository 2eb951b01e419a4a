//! What is checked; pure functions over a path and a text.

use std::path::Path;

use crate::tokens::{Token, tokens, without_tests};

/// Module → what it may use of this crate.
#[rustfmt::skip]
const ARROWS: &[(&str, &str)] = &[
    ("context", ""),
    ("lifecycle", ""),
    ("listen", ""),
    ("logging", ""),
    ("sample", "context"),
    ("span", "context"),
    // Labels are made of the words of a record.
    ("metrics", "context span"),
    ("export", "context sample span"),
    ("access_log", "context span"),
    ("proxy", "context sample span export listen metrics lifecycle access_log"),
    ("admin", "context sample span export listen metrics lifecycle"),
    // Builds every module's settings; runs nothing, so it knows neither metrics nor lifecycle.
    ("config", "context sample span export listen proxy admin access_log"),
    ("app", "context sample span export listen proxy admin metrics lifecycle config access_log"),
    // Commands beside `run`: they stand where `main` stands.
    ("explain", "context sample span listen proxy config"),
    ("demo", "context sample span export listen proxy admin metrics lifecycle config app"),
];

/// The library's root, and the program with its command line: they name every module, and nothing
/// can use them.
const ROOTS: [&str; 3] = ["lib", "main", "cli"];

/// What code that knows no runtime, no clock and no sockets can't mention.
const IMPURE: [&str; 8] = [
    "tokio",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
];

/// The longest a file may be, in lines, tests not counted.
pub const LONGEST: usize = 400;

/// Uses of modules that the row of the file's own module doesn't list.
pub fn wrong_arrows(path: &Path, text: &str) -> Vec<String> {
    let modules = module_path(path);
    let own = modules[0].as_str();
    if ROOTS.contains(&own) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(module, _)| *module == own) else {
        return vec![format!(
            "src/{}: `{own}` has no row in the table of tests/arrows.rs",
            path.display()
        )];
    };
    let mut found = uses(&tokens(text), modules.len());
    found.retain(|(_, used)| used != own && allowed.split(' ').all(|module| module != used));
    found
        .into_iter()
        .map(|(line, used)| {
            format!(
                "src/{}:{line}: `{own}` may not use `{used}`",
                path.display()
            )
        })
        .collect()
}

/// `export/batch.rs` → `[export, batch]`.
fn module_path(path: &Path) -> Vec<String> {
    path.with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect()
}

/// Top-level modules that are named through `crate` or enough `super`s, with lines.
fn uses(all: &[Token], depth: usize) -> Vec<(usize, String)> {
    let word = |at: usize| all.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut braces: Vec<bool> = Vec::new();
    for at in 0..all.len() {
        match word(at) {
            "{" => braces.push(at >= 2 && word(at - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" if word(at + 1) == "::" => names(all, at + 2, &mut found),
            "super"
                if word(at + 1) == "::"
                    && !(at >= 2 && word(at - 1) == "::" && word(at - 2) == "super") =>
            {
                let mut next = at;
                let mut climbed = 0;
                while word(next) == "super" && word(next + 1) == "::" {
                    climbed += 1;
                    next += 2;
                }
                if climbed == depth + braces.iter().filter(|inline| **inline).count() {
                    names(all, next, &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// The name at `at`, or the first names of every branch of the group that starts there.
fn names(all: &[Token], at: usize, found: &mut Vec<(usize, String)>) {
    let Some(first) = all.get(at) else { return };
    if first.text != "{" {
        found.push((first.line, first.text.clone()));
        return;
    }
    let mut depth = 0usize;
    for (before, token) in all[at..].iter().zip(&all[at + 1..]) {
        match before.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
        if depth == 1 && matches!(before.text.as_str(), "{" | ",") && token.text != "}" {
            found.push((token.line, token.text.clone()));
        }
    }
}

/// Mentions of runtime, clock and sockets in the modules that must be pure, tests aside.
pub fn impurities(path: &Path, text: &str) -> Vec<String> {
    let modules = module_path(path);
    let timeless = matches!(modules[0].as_str(), "context" | "sample");
    if !(timeless || path == Path::new("export/batch.rs"))
        || modules.last().is_some_and(|last| last == "tests")
    {
        return Vec::new();
    }
    let (all, _) = without_tests(&tokens(text));
    let word = |at: usize| all.get(at).map_or("", |token| token.text.as_str());
    let reads_clock = |at: usize| {
        word(at) == "Instant" && (timeless || (word(at + 1) == "::" && word(at + 2) == "now"))
    };
    (0..all.len())
        .filter(|at| IMPURE.contains(&word(*at)) || reads_clock(*at))
        .map(|at| {
            format!(
                "src/{}:{}: `{}` in pure code",
                path.display(),
                all[at].line,
                word(at)
            )
        })
        .collect()
}

/// Files that are too long or named `mod.rs`.
pub fn bad_shape(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let name = path.file_name().unwrap_or_default();
    if name == "mod.rs" {
        found.push(format!(
            "src/{}: name it after its module instead",
            path.display()
        ));
    }
    let lines = text.lines().count() - without_tests(&tokens(text)).1;
    if name != "tests.rs" && lines > LONGEST {
        found.push(format!(
            "src/{}: {lines} lines without tests; {LONGEST} is the most",
            path.display()
        ));
    }
    found
}

/// `allow` and `expect` attributes that give no reason.
pub fn unexplained(path: &Path, text: &str) -> Vec<String> {
    let all = tokens(text);
    let word = |at: usize| all.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut attribute = 0usize;
    for at in 0..all.len() {
        let opens = word(at) == "["
            && at >= 1
            && (word(at - 1) == "#" || (at >= 2 && word(at - 1) == "!" && word(at - 2) == "#"));
        match word(at) {
            "[" if opens || attribute > 0 => attribute += 1,
            "]" if attribute > 0 => attribute -= 1,
            lint @ ("allow" | "expect") if attribute > 0 && word(at + 1) == "(" => {
                let end = (at..all.len())
                    .find(|end| word(*end) == ")")
                    .unwrap_or(all.len());
                if (at..end).all(|inside| word(inside) != "reason") {
                    found.push(format!(
                        "{}:{}: `{lint}` without a reason",
                        path.display(),
                        all[at].line
                    ));
                }
            }
            _ => {}
        }
    }
    found
}
