//! Faults: what was expected, what came, and where.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// The Kubernetes file the configuration names.
    Kubernetes(PathBuf),
    /// An OpenAPI document the configuration names.
    OpenApi(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(&'static str),
    /// Nobody: the command line said too little.
    CommandLine,
}

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// By whom.
    pub origin: Arc<Origin>,
    /// Line of a file, from 1; 0 where there are no lines.
    pub line: usize,
    /// Column of that line, from 1; 0 where there are no lines.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// The field, like `listeners[0].upstream.url`; empty for the file as a whole.
    pub path: String,
    /// What was expected and what came; never a secret.
    pub message: String,
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl At {
    /// A position in a file.
    pub fn new(origin: &Arc<Origin>, line: usize, column: usize) -> Self {
        Self {
            origin: Arc::clone(origin),
            line,
            column,
        }
    }

    /// A place without lines.
    pub fn origin(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
            line: 0,
            column: 0,
        }
    }

    /// The variable, if it was the environment that said this.
    pub fn variable(&self) -> Option<&str> {
        match &*self.origin {
            Origin::Environment(name) => Some(name),
            _ => None,
        }
    }

    /// The directory relative paths said here start from.
    pub fn directory(&self) -> &Path {
        match &*self.origin {
            Origin::File(path) | Origin::Kubernetes(path) | Origin::OpenApi(path) => {
                path.parent().unwrap_or(Path::new(""))
            }
            _ => Path::new(""),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.origin {
            Origin::File(path) | Origin::Kubernetes(path) | Origin::OpenApi(path) => {
                write!(f, "{}", path.display())?;
                if self.line > 0 {
                    write!(f, ":{}", self.line)?;
                }
                Ok(())
            }
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A variable or a flag names the setting already.
        let named = matches!(
            &*self.at.origin,
            Origin::Environment(_) | Origin::Flag(_) | Origin::CommandLine
        );
        if named || self.path.is_empty() {
            write!(f, "{}: {}", self.at, self.message)
        } else {
            write!(f, "{}: {}: {}", self.at, self.path, self.message)
        }
    }
}

impl Faults {
    /// In the order of the files' lines, each once.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self(faults)
    }

    /// Every one of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        match self.0.len() {
            1 => write!(f, "1 fault"),
            n => write!(f, "{n} faults"),
        }
    }
}

impl std::error::Error for Faults {}

/// Collects what one reading finds.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<String>>,
    notes: RefCell<Vec<String>>,
    files: RefCell<Vec<PathBuf>>,
}

/// What one reading found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub faults: Vec<Fault>,
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
    pub files: Vec<PathBuf>,
}

impl Report {
    /// Something is wrong.
    pub fn fault(&self, at: &At, path: &str, message: impl Into<String>) {
        self.faults.borrow_mut().push(Fault {
            at: at.clone(),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Something works, but hardly as meant.
    pub fn warn(&self, message: impl Into<String>) {
        push_new(&self.warnings, message.into());
    }

    /// Something an operator should know.
    pub fn note(&self, message: impl Into<String>) {
        push_new(&self.notes, message.into());
    }

    /// The configuration depends on this file.
    pub fn file(&self, path: PathBuf) {
        push_new(&self.files, path);
    }

    /// How many faults there are so far.
    pub fn fault_count(&self) -> usize {
        self.faults.borrow().len()
    }

    /// Everything found.
    pub fn finish(self) -> Findings {
        Findings {
            faults: self.faults.into_inner(),
            warnings: self.warnings.into_inner(),
            notes: self.notes.into_inner(),
            files: self.files.into_inner(),
        }
    }
}

fn push_new<T: PartialEq>(list: &RefCell<Vec<T>>, item: T) {
    let mut list = list.borrow_mut();
    if !list.contains(&item) {
        list.push(item);
    }
}
