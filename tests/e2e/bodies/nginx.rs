//! nginx as the component: it serves files and takes them by PUT.

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;

use super::as_made;
use super::made::{Check, Pieces, made, read};
use super::sizes::SIZES;
use crate::caller::{Caller, Speaks, block_on, empty};
use crate::component::PATIENCE;
use crate::files::TempDir;
use crate::process::skipped;
use crate::proxy::{self, Proxy};

const PROGRAM: &str = "/usr/sbin/nginx";

/// A running nginx; killed when dropped.
struct Nginx {
    child: Child,
    directory: TempDir,
}

impl Nginx {
    /// `None`: it isn't installed here.
    fn start() -> Option<Self> {
        if !std::path::Path::new(PROGRAM).exists() {
            skipped("bodies through nginx: expected Debian's nginx at /usr/sbin/nginx");
            return None;
        }
        let directory = TempDir::new();
        for name in ["files", "temporary"] {
            std::fs::create_dir(directory.join(name)).expect("a directory");
        }
        let root = directory.path().display();
        let file = directory.file(
            "nginx.conf",
            format!(
                "daemon off; master_process off; pid {root}/pid; error_log stderr error;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {root}/temporary; proxy_temp_path {root}/temporary;
  fastcgi_temp_path {root}/temporary; uwsgi_temp_path {root}/temporary;
  scgi_temp_path {root}/temporary;
  server {{
    listen unix:{root}/socket;
    location /files/ {{ root {root}; dav_methods PUT; }}
    # Includes may change a file's length, so none is said: chunks.
    location /chunked/ {{ alias {root}/files/; ssi on; ssi_types *; }}
  }}
}}
"
            ),
        );
        let child = Command::new(PROGRAM)
            .args(["-e", "stderr", "-p"])
            .arg(directory.path())
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .expect("a process");
        let nginx = Self { child, directory };
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(nginx.directory.join("socket")).is_err() {
            assert!(Instant::now() < end, "nginx never listened");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(nginx)
    }

    fn upstream(&self) -> String {
        let socket = self.directory.join("socket");
        format!("{{url: \"unix://{}\", protocol: http1}}", socket.display())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nginx_serves_and_stores_bodies_byte_for_byte() {
    let Some(nginx) = Nginx::start() else {
        return;
    };
    let proxy = Proxy::start(&proxy::quiet(&nginx.upstream(), ""));
    for down in Speaks::BOTH {
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            for size in SIZES {
                for known in [true, false] {
                    let case = format!("{size} bytes, known: {known}, {down:?}");
                    stores(&mut caller, &nginx, size, known, &case).await;
                    serves(&mut caller, size, known, &case).await;
                }
            }
        });
    }
}

async fn stores(caller: &mut Caller, nginx: &Nginx, size: u64, known: bool, case: &str) {
    let name = format!("up-{size}");
    let request = caller.request(Method::PUT, &format!("/files/{name}"));
    let request = request.body(made(size, known)).expect("a request");
    let answer = caller.exchange(request).await;
    assert!(
        [201, 204].contains(&answer.status),
        "{case}: {}",
        answer.status
    );
    let stored = std::fs::read(nginx.directory.join("files").join(&name)).expect("a file");
    let mut check = Check::default();
    check.update(&stored);
    assert_eq!(check.verdict(), as_made(size), "stored, {case}");
    std::fs::remove_file(nginx.directory.join("files").join(name)).expect("removed");

    let bytes: Vec<u8> = Pieces::new(size).flatten().collect();
    nginx.directory.file(&format!("files/down-{size}"), bytes);
}

async fn serves(caller: &mut Caller, size: u64, known: bool, case: &str) {
    let location = if known { "files" } else { "chunked" };
    let path = format!("/{location}/down-{size}");
    let request = caller.request(Method::GET, &path).body(empty());
    let response = caller.send(request.expect("a request")).await;
    assert_eq!(response.status(), 200, "{case}");
    if size > 0 {
        let says = response.headers().contains_key("content-length");
        assert_eq!(says, known, "{case}");
    }
    assert!(
        response.headers()["server"]
            .to_str()
            .is_ok_and(|s| s.starts_with("nginx/"))
    );
    let check = read(response.into_body(), None).await.expect("a body");
    assert_eq!(check.verdict(), as_made(size), "served, {case}");

    let request = caller.request(Method::HEAD, &format!("/files/down-{size}"));
    let answer = caller
        .exchange(request.body(empty()).expect("a request"))
        .await;
    assert_eq!(
        answer.field("content-length"),
        Some(size.to_string()),
        "{case}"
    );
}
