//! Files a configuration refers to: they exist, can be read and hold what they should.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::reader::Field;
use crate::listen::authority::{Authority, Validity};

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A file with at least one certificate in PEM.
pub(super) fn certificates(field: &Field<'_>) -> Option<PathBuf> {
    read_certificates(field).map(|(path, _)| path)
}

/// A file of those who may issue certificates to callers. One whose time is over, or hasn't come,
/// may stand there while authorities are replaced.
pub(super) fn authorities(field: &Field<'_>) -> Option<PathBuf> {
    let (path, certificates) = read_certificates(field)?;
    let now = UnixTime::now();
    let mut all_are = true;
    for (index, certificate) in certificates.iter().enumerate() {
        let number = index + 1;
        match Authority::parse(certificate) {
            Ok(authority) => {
                if let Some(why) = idle(authority.validity, now) {
                    let (path, subject) = (path.display(), &authority.subject);
                    field.report().warn(format!(
                        "{}: {path}: certificate {number} ({subject:?}) {why}: nobody is known by it",
                        field.path()
                    ));
                }
            }
            Err(error) => {
                all_are = false;
                let problem = format!(
                    "expected certificates of authorities in PEM; certificate {number} {error}"
                );
                complain::<()>(field, &path, &problem);
            }
        }
    }
    all_are.then_some(path)
}

/// Why an authority's certificate vouches for nobody now.
fn idle(validity: Validity, now: UnixTime) -> Option<String> {
    let date =
        |seconds| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    match validity.check(now) {
        Ok(()) => None,
        Err(webpki::Error::CertNotValidYet { .. }) => {
            Some(format!("isn't valid before {}", date(validity.not_before)))
        }
        Err(_) => Some(format!("expired on {}", date(validity.not_after))),
    }
}

fn read_certificates(field: &Field<'_>) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let (path, contents) = read(field)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&contents).collect();
    match found {
        Ok(found) if found.is_empty() => {
            complain(field, &path, "expected certificates in PEM; found none")
        }
        Ok(found) => Some((path, found)),
        Err(_) => complain(
            field,
            &path,
            "expected certificates in PEM; a section is malformed",
        ),
    }
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
