//! Files a configuration refers to: they exist, can be read and hold what they should.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::reader::Field;

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A file with at least one certificate in PEM.
pub(super) fn certificates(field: &Field<'_>) -> Option<PathBuf> {
    let (path, contents) = read(field)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&contents) {
        if certificate.is_err() {
            return complain(
                field,
                &path,
                "expected certificates in PEM; a section is malformed",
            );
        }
        count += 1;
    }
    if count == 0 {
        return complain(field, &path, "expected certificates in PEM; found none");
    }
    Some(path)
}

/// A file with a private key in PEM.
pub(super) fn private_key(field: &Field<'_>) -> Option<PathBuf> {
    let (path, contents) = read(field)?;
    match PrivateKeyDer::from_pem_slice(&contents) {
        Ok(_) => Some(path),
        Err(_) => complain(field, &path, "expected a private key in PEM; found none"),
    }
}

/// A file with a bearer token: one line of printable ASCII.
pub(super) fn token(field: &Field<'_>) -> Option<PathBuf> {
    let (path, contents) = read(field)?;
    let token = contents.trim_ascii();
    let fine = (8..=4096).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    if !fine {
        return complain(
            field,
            &path,
            "expected a token of 8 to 4096 printable characters without spaces",
        );
    }
    Some(path)
}

/// A file with a key of 16 bytes, written as 32 hexadecimal digits.
pub(super) fn key(field: &Field<'_>) -> Option<(PathBuf, [u8; 16])> {
    let (path, contents) = read(field)?;
    let key = std::str::from_utf8(contents.trim_ascii())
        .ok()
        .filter(|text| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|text| u128::from_str_radix(text, 16).ok());
    match key {
        Some(key) => Some((path, key.to_be_bytes())),
        None => complain(
            field,
            &path,
            "expected a key of 32 hexadecimal digits (openssl rand -hex 16)",
        ),
    }
}

/// A file of text.
pub(super) fn text(field: &Field<'_>) -> Option<(PathBuf, String)> {
    text_up_to(field, MAX_FILE)
}

/// A file of text of at most that many bytes.
pub(super) fn text_up_to(field: &Field<'_>, most: u64) -> Option<(PathBuf, String)> {
    let (path, contents) = read_up_to(field, most)?;
    match String::from_utf8(contents) {
        Ok(text) => Some((path, text)),
        Err(_) => complain(field, &path, "expected text in UTF-8"),
    }
}

/// Resolves the path from where it was said, and reads the file.
fn read(field: &Field<'_>) -> Option<(PathBuf, Vec<u8>)> {
    read_up_to(field, MAX_FILE)
}

fn read_up_to(field: &Field<'_>, most: u64) -> Option<(PathBuf, Vec<u8>)> {
    let named = field.read(super::values::text)?;
    let path = field.at().directory().join(named);
    field.report().file(path.clone());
    match contents(&path, most) {
        Ok(contents) => Some((path, contents)),
        Err(problem) => complain(field, &path, &problem),
    }
}

fn contents(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("can't be read: {error}");
    let length = std::fs::metadata(path).map_err(unreadable)?;
    if !length.is_file() {
        return Err("expected a regular file".to_owned());
    }
    if length.len() > most {
        return Err(format!("expected at most {} MiB", most >> 20));
    }
    std::fs::read(path).map_err(unreadable)
}

fn complain<T>(field: &Field<'_>, path: &Path, problem: &str) -> Option<T> {
    field.fault(format!("{}: {problem}", path.display()));
    None
}
