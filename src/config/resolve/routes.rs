//! `listeners[].routes`: requests that go to other upstreams.

use std::sync::Arc;

use crate::config::reader::Field;
use crate::config::values;
use crate::proxy::destination::{Destination, Match};

use super::upstream;

const MOST_ROUTES: usize = 256;

/// `None` if one of them is faulty: what it is about must not go elsewhere. `tls`: whether callers
/// can name a server.
pub(super) fn read(field: &Field<'_>, tls: bool) -> Option<Arc<[Destination]>> {
    let items = field.list();
    if items.len() > MOST_ROUTES {
        field.fault(format!("expected at most {MOST_ROUTES} routes"));
        return None;
    }
    let routes: Vec<_> = items.iter().map(|item| route(item, tls)).collect();
    routes.into_iter().collect()
}

fn route(field: &Field<'_>, tls: bool) -> Option<Destination> {
    let map = field.map()?;
    let condition = map.get("match").required();
    let matches = condition.map().map(|map| {
        let sni = map.get("sni");
        let keys = [map.get("host"), map.get("sni"), map.get("path")];
        if !keys.iter().any(Field::is_present) {
            condition.fault("expected at least one of host, sni or path");
        }
        if sni.is_present() && !tls {
            sni.fault("can never match: the listener has no tls");
        }
        Match {
            host: map.get("host").read(values::host_glob),
            sni: sni.read(values::host_glob),
            path: map.get("path").read(values::path_glob),
        }
    });
    let upstream = upstream::read(&map.get("upstream").required());
    Some(Destination {
        matches: matches?,
        upstream: upstream?,
    })
}
