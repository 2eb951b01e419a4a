//! gRPC spans ("Semantic conventions for gRPC").

use std::borrow::Cow;

use super::Attributes;
use super::http::OTHER;
use crate::span::error_type::code_name;
use crate::span::known_rpc::KnownMethods;
use crate::span::record::Record;

/// The system's name; also the name of spans whose method isn't known.
const GRPC: &str = "grpc";

pub(super) fn describe(
    record: &Record,
    known: &KnownMethods,
    attributes: &mut Attributes,
) -> Cow<'static, str> {
    attributes.put("rpc.system.name", GRPC);
    let name = if let Some(method) = known.method(&record.path) {
        attributes.put("rpc.method", method.to_owned());
        Cow::Owned(method.to_owned())
    } else {
        attributes.put("rpc.method", OTHER);
        let original = record.path.strip_prefix('/').unwrap_or(&record.path);
        attributes.put("rpc.method_original", original.to_owned());
        Cow::Borrowed(GRPC)
    };
    attributes.put("network.protocol.name", "http");
    if record.peer.is_some() {
        attributes.put("network.transport", "tcp");
    }
    match (record.grpc_status, record.status) {
        (Some(code), _) => attributes.put("rpc.response.status_code", code_name(code)),
        // Something on the way answered in plain HTTP.
        (None, Some(status)) if status != 200 => {
            attributes.put("http.response.status_code", i64::from(status));
        }
        (None, _) => {}
    }
    name
}
