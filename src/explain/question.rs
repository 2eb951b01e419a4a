//! Whether a question can be asked of a listener: nothing is explained that can't happen there.

use http::Method;

use super::{Question, Refused};
use crate::config::Listener;
use crate::listen::settings::{Bind, Protocol};

/// Checks that such a request, from such a caller, can come to the listener.
///
/// # Errors
/// When it can't.
pub fn fits(question: &Question, listener: &Listener) -> Result<(), Refused> {
    let name = || listener.listen.name.to_string();
    let (address, process) = (question.from.address, question.from.process);
    match &listener.listen.bind {
        Bind::Tcp(bind) if process.is_some() => {
            return Err(Refused::Process {
                listener: name(),
                bind: bind.to_string(),
            });
        }
        Bind::Unix { path, .. } if address.is_some() => {
            return Err(Refused::Address {
                listener: name(),
                bind: format!("unix://{}", path.display()),
            });
        }
        // A socket that is handed over may be of either kind.
        Bind::Tcp(_) | Bind::Unix { .. } | Bind::Fd(_) => {}
    }
    if question.http2 && listener.listen.protocol == Protocol::Http1 {
        return Err(Refused::Protocol { listener: name() });
    }
    target(question, listener.proxy.allow_connect)
}

/// Each method has its form of target (RFC 9112, section 3.2).
fn target(question: &Question, allow_connect: bool) -> Result<(), Refused> {
    let given = &question.target;
    let connect = question.method == Method::CONNECT;
    let expected = if connect {
        let authority = given.authority().is_some() && given.scheme().is_none();
        // Where it isn't allowed it is refused, whatever it asks for.
        (allow_connect && !authority).then_some("host:port, as CONNECT has it")
    } else {
        let path = given.path_and_query().is_some();
        (!path).then_some("a path that begins with '/', or a whole target like http://host/path")
    };
    match expected {
        None => Ok(()),
        Some(expected) => Err(Refused::Target {
            given: given.to_string(),
            expected,
        }),
    }
}
