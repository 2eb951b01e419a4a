use std::fs;

use crate::config::{FileText, Source, Strictness, load};

/// The routes of some requests, or the faults, of a document beside these patterns.
fn routes(
    document: &str,
    patterns: &str,
    requests: &[(&str, &str)],
) -> Result<Vec<Option<String>>, Vec<String>> {
    let directory = tempdir();
    fs::write(directory.join("api.yaml"), document).unwrap();
    let text = format!(
        "apiVersion: tracegate.dev/v1alpha1\nkind: TracegateConfiguration\nlisteners:\n\
         - name: a\n  bind: 127.0.0.1:1\n  upstream: {{url: \"http://h\"}}\n  \
         span: {{templates: {{openapi: api.yaml, patterns: {patterns}}}}}\n"
    );
    let path = directory.join("c.yaml");
    let file = Some(FileText { path, text });
    let source = Source {
        file,
        ..Source::default()
    };
    let loaded = load(&source, Strictness::Check);
    let _ = fs::remove_dir_all(&directory);
    match loaded {
        Ok(loaded) => {
            assert!(loaded.config.files.contains(&directory.join("api.yaml")));
            let routes = &loaded.config.listeners[0].proxy.routes;
            let find = |(method, path): &(&str, &str)| routes.find(method, path, None).route;
            Ok(requests.iter().map(find).collect())
        }
        Err(faults) => {
            let place = format!("{}/", directory.display());
            let faults = faults.iter().map(|f| f.to_string().replace(&place, ""));
            Err(faults.collect())
        }
    }
}

fn tempdir() -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tracegate-openapi-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The route of each GET, in one word; `-` where there is none.
fn gets(document: &str, paths: &[&str]) -> Vec<String> {
    let requests: Vec<_> = paths.iter().map(|path| ("GET", *path)).collect();
    let routes = routes(document, "[]", &requests).unwrap_or_else(|faults| panic!("{faults:?}"));
    let word = |route: Option<String>| route.unwrap_or_else(|| "-".to_owned());
    routes.into_iter().map(word).collect()
}

#[test]
fn paths_and_their_methods_are_read() {
    let document = "\
openapi: 3.1.0
info: {title: Shop, version: null}
paths:
  /carts: {get: {}, post: {}, summary: Carts}
  /carts/{id}:
    parameters: [{name: id}]
    get: {responses: {}}
    delete: {}
  /reports/{from}-{to}.csv: {get: {}}
  /anything: {$ref: other.yaml}
  /nothing: {summary: no method at all}
  x-internal: {get: {}}
components: {schemas: {A: {type: object}}}
";
    let rows = [
        ("GET", "/carts", Some("/carts"), "listed"),
        ("PUT", "/carts", None, "not listed"),
        ("GET", "/carts/7", Some("/carts/{id}"), "a parameter"),
        (
            "HEAD",
            "/carts/7",
            Some("/carts/{id}"),
            "what can be got has a head",
        ),
        ("POST", "/carts/7", None, "listed for another path"),
        (
            "GET",
            "/reports/1-2.csv",
            Some("/reports/{from}-{to}.csv"),
            "two in a segment",
        ),
        (
            "PATCH",
            "/anything",
            Some("/anything"),
            "methods are elsewhere",
        ),
        (
            "GET",
            "/nothing",
            None,
            "without methods it can't be asked for",
        ),
        ("GET", "/x-internal", None, "an extension"),
    ];
    let requests: Vec<_> = rows.iter().map(|(m, p, ..)| (*m, *p)).collect();
    let found = routes(document, "[]", &requests).unwrap();
    for ((method, path, expected, why), found) in rows.into_iter().zip(found) {
        assert_eq!(found.as_deref(), expected, "{why}: {method} {path}");
    }
}

#[test]
fn json_and_the_older_version_are_read_too() {
    let json = r#"{"swagger": "2.0", "basePath": "/v1/", "paths": {"/a/{b}": {"get": {}}}}"#;
    assert_eq!(gets(json, &["/v1/a/1", "/a/1"]), ["/v1/a/{b}", "-"]);
    let json = r#"{"openapi": "3.0.3", "paths": {"/a": {"get": {}}}}"#;
    assert_eq!(gets(json, &["/a"]), ["/a"]);
}

#[test]
fn servers_stand_before_the_paths() {
    for (servers, paths, expected, why) in [
        ("[]", ["/a", "/v1/a"], ["/a", "-"], "none"),
        ("[{url: /}]", ["/a", "/v1/a"], ["/a", "-"], "the root"),
        ("[{url: /v1}]", ["/a", "/v1/a"], ["-", "/v1/a"], "a path"),
        (
            "[{url: \"https://h:1/v1/\"}]",
            ["/a", "/v1/a"],
            ["-", "/v1/a"],
            "a URL",
        ),
        (
            "[{url: \"https://h\"}, {url: \"https://i\"}]",
            ["/a", "/v1/a"],
            ["/a", "-"],
            "hosts alone",
        ),
        (
            "[{url: \"//h/v1\"}, {url: /}]",
            ["/a", "/v1/a"],
            ["/a", "/v1/a"],
            "two paths",
        ),
        (
            "[{url: \"https://{h}/{b}\", variables: {b: {default: v1}}}]",
            ["/a", "/v1/a"],
            ["-", "/v1/a"],
            "a variable of the host needs none, one of the path has a default",
        ),
    ] {
        let document =
            format!("openapi: 3.0.0\nservers: {servers}\npaths: {{/a: {{get: {{}}}}}}\n");
        assert_eq!(gets(&document, &paths), expected, "{why}");
    }
    let of_a_path = "openapi: 3.0.0\nservers: [{url: /v1}]\n\
                     paths:\n  /a: {servers: [{url: /v2}], get: {}}\n  /b: {get: {}}\n";
    assert_eq!(
        gets(of_a_path, &["/v1/a", "/v2/a", "/v1/b"]),
        ["-", "/v2/a", "/v1/b"]
    );
}

#[test]
fn what_the_configuration_says_itself_counts() {
    let document = "openapi: 3.0.0\npaths:\n  /a/{x}: {get: {}}\n  /b: {get: {}}\n";
    let requests = [("GET", "/a/1"), ("GET", "/b")];
    let found = routes(document, "[\"/a/{mine}\"]", &requests).unwrap();
    assert_eq!(found, [Some("/a/{mine}".to_owned()), Some("/b".to_owned())]);
}

#[test]
fn anchors_and_aliases_of_others_do_no_harm() {
    let document = "\
openapi: 3.0.0
x-all: &all {get: {}}
paths:
  /a: *all
  /b: {<<: *all}
  /c: {get: &get {}, post: !tag {}}
";
    assert_eq!(gets(document, &["/a", "/b", "/c"]), ["/a", "/b", "/c"]);
}

#[test]
fn a_documents_faults_name_its_file_and_line() {
    let deep = "[".repeat(200);
    let deep = format!("openapi: 3.0.0\na: {deep}\n");
    for (document, expected) in [
        ("", &["api.yaml:1: expected an OpenAPI document"][..]),
        (
            "swagger: 1.2\npaths: {}\n",
            &["api.yaml:1: expected an OpenAPI document"],
        ),
        ("openapi: 3.0.0\n", &["api.yaml:1: paths: is required"]),
        (
            "openapi: 3.0.0\npaths: []\n",
            &["api.yaml:2: paths: expected a mapping"],
        ),
        (
            "openapi: 3.0.0\npaths:\n  a: {get: {}}\n  /b{: {get: {}}\n",
            &[
                "api.yaml:3: paths.a: expected a path like",
                "api.yaml:4: paths./b{: expected { and } in pairs",
            ],
        ),
        (
            "openapi: 3.0.0\npaths:\n  /{a}: {get: {}}\n  /{b}: {get: {}}\n",
            &["api.yaml:4: paths./{b}: matches the same requests as \"/{a}\""],
        ),
        (
            "openapi: 3.0.0\nservers:\n- url: /{v}\npaths: {/a: {get: {}}}\n",
            &["api.yaml:3: servers[0].url: expected a path, or a URL with one"],
        ),
        (
            "swagger: \"2.0\"\nbasePath: v1\npaths: {/a: {get: {}}}\n",
            &["api.yaml:2: basePath: expected a path"],
        ),
        (
            "openapi: 3.0.0\npaths: {a: b: c}\n",
            &["api.yaml:2: not YAML"],
        ),
        (
            "openapi: 3.0.0\nopenapi: 3.0.0\n",
            &["api.yaml:2: \"openapi\" stands here twice"],
        ),
        (&deep, &["api.yaml:2: nested deeper than 128 levels"]),
    ] {
        let faults = routes(document, "[]", &[]).unwrap_err();
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault}\n{expected}");
        }
    }
}

#[test]
fn a_document_is_bounded() {
    let many: String = (0..=super::MAX_PATTERNS)
        .map(|number| format!("  /{number}: {{get: {{}}}}\n"))
        .collect();
    let faults = routes(&format!("openapi: 3.0.0\npaths:\n{many}"), "[]", &[]).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].contains("expected at most 5000 patterns"),
        "{faults:?}"
    );
    let long = format!("openapi: 3.0.0\ninfo: {}\n", "x".repeat(super::MANNER.text));
    let faults = routes(&long, "[]", &[]).unwrap_err();
    assert!(
        faults[0].contains("api.yaml: expected at most 8 MiB"),
        "{faults:?}"
    );
}
