use proptest::prelude::*;

use super::*;

fn set<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Patterns {
    let mut set = Patterns::default();
    for text in patterns {
        let pattern = Pattern::parse(text).unwrap();
        set.insert(&pattern, Methods::Any).unwrap();
    }
    set
}

const SHOP: [&str; 14] = [
    "/",
    "/users",
    "/users/",
    "/users/{id}",
    "/users/me",
    "/users/{id}/orders/{order}",
    "/users/{id}.json",
    "/users/me-{id}",
    "/users/{id}/*",
    "/static/*",
    "/{a}/b",
    "/x/{b}",
    "/caf%C3%A9",
    "/report-{from}-{to}",
];

#[test]
fn the_most_specific_pattern_is_the_route() {
    #[rustfmt::skip]
    let rows = [
        ("/", Some("/"), "the root"),
        ("/users", Some("/users"), "text"),
        ("/users/", Some("/users/"), "a final slash is another path"),
        ("/users/7", Some("/users/{id}"), "a parameter"),
        ("/users/me", Some("/users/me"), "text beats a parameter"),
        ("/users/7.json", Some("/users/{id}.json"), "mixed beats a parameter"),
        ("/users/me-7.json", Some("/users/{id}.json"), "more text beats less"),
        ("/users/me-7", Some("/users/me-{id}"), "mixed"),
        ("/users/7/orders/8", Some("/users/{id}/orders/{order}"), "two parameters"),
        ("/users/7/orders/", Some("/users/{id}/*"), "a parameter isn't empty"),
        ("/users/7/orders/8/9", Some("/users/{id}/*"), "back to the rest"),
        ("/users/7/", Some("/users/{id}/*"), "the rest may be empty"),
        ("/users/me/orders", Some("/users/{id}/*"), "back from text to a parameter"),
        ("/static/a/b/c", Some("/static/*"), "the rest"),
        ("/static", None, "the rest needs its slash"),
        ("/x/b", Some("/x/{b}"), "the left-most text counts"),
        ("/y/b", Some("/{a}/b"), "a parameter first"),
        ("/report-1-2", Some("/report-{from}-{to}"), "two parameters in a segment"),
        ("/report-1", None, "one of them is missing"),
        ("/caf%C3%A9", Some("/caf%C3%A9"), "compared as received"),
        ("/caf%c3%a9", None, "compared as received"),
        ("/Users", None, "case counts"),
        ("/static/../users", None, "dots"),
        ("/users/./7", None, "a dot"),
        ("/users//orders/1", None, "a doubled slash"),
        ("", None, "nothing"),
        ("*", None, "OPTIONS *"),
        ("users", None, "no slash"),
        ("/minted/by/nobody", None, "unknown"),
    ];
    let (forth, back) = (set(SHOP), set(SHOP.into_iter().rev()));
    assert_eq!(forth, back, "the order doesn't count");
    for (path, expected, why) in rows {
        assert_eq!(forth.find("GET", path), expected, "{why}: {path}");
    }
}

#[test]
fn methods_restrict_a_pattern() {
    let mut set = Patterns::default();
    let only = |methods: &[&str]| Methods::Only(methods.iter().map(|&m| m.to_owned()).collect());
    for (text, methods) in [
        ("/a/{x}", only(&["GET"])),
        ("/a/{y}", only(&["POST"])),
        ("/a/me", only(&["PUT"])),
        ("/a/*", Methods::Any),
    ] {
        let pattern = Pattern::parse(text).unwrap();
        assert_eq!(set.insert(&pattern, methods), Ok(()), "{text}");
    }
    for (method, path, expected, why) in [
        ("GET", "/a/1", Some("/a/{x}"), "listed"),
        ("HEAD", "/a/1", Some("/a/{x}"), "what can be got has a head"),
        ("POST", "/a/1", Some("/a/{y}"), "the other one's"),
        ("PUT", "/a/me", Some("/a/me"), "listed"),
        ("GET", "/a/me", Some("/a/{x}"), "not listed there, but here"),
        ("DELETE", "/a/me", Some("/a/*"), "listed nowhere"),
        ("get", "/a/1", Some("/a/*"), "methods are case-sensitive"),
    ] {
        assert_eq!(set.find(method, path), expected, "{why}: {method} {path}");
    }
}

#[test]
fn two_patterns_for_the_same_paths_are_refused() {
    for (one, other, taken) in [
        ("/a", "/a", true),
        ("/{x}", "/{y}", true),
        ("/{x}.json", "/{y}.json", true),
        ("/a/*", "/a/*", true),
        ("/a/{x}", "/a/*", false),
        ("/{x}.json", "/{y}.yaml", false),
        ("/a", "/a/", false),
    ] {
        let mut set = set([one]);
        let result = set.insert(&Pattern::parse(other).unwrap(), Methods::Any);
        let expected = if taken {
            Err(Refused::Taken(one.to_owned()))
        } else {
            Ok(())
        };
        assert_eq!(result, expected, "{one} {other}");
    }
}

#[test]
fn a_set_is_bounded() {
    let mut set = Patterns::default();
    for number in 0..MAX_PATTERNS {
        let pattern = Pattern::parse(&format!("/{number}")).unwrap();
        set.insert(&pattern, Methods::Any).unwrap();
    }
    let one_more = Pattern::parse("/more").unwrap();
    assert_eq!(set.insert(&one_more, Methods::Any), Err(Refused::Full));
}

#[test]
fn of_a_path_that_was_cut_only_the_rest_is_sure() {
    let set = set(SHOP);
    let cut = |start: &str| record::text(&format!("{start}{}", "x".repeat(2 * record::MAX_TEXT)));
    assert_eq!(set.find("GET", &cut("/static/")), Some("/static/*"));
    assert_eq!(set.find("GET", &cut("/users/")), None);
}

proptest! {
    #[test]
    fn no_caller_can_mint_a_route(
        method in "\\PC{0,5}",
        path in "(/(users|me|orders|static|x|b|report-|\\.|\\{id\\}|\\*|\\PC{0,5})){0,7}",
    ) {
        if let Some(route) = set(SHOP).find(&method, &path) {
            prop_assert!(SHOP.contains(&route));
        }
    }

    #[test]
    fn a_pattern_matches_what_it_stands_for(values in proptest::collection::vec("[a-z0-9-]{1,8}", 2)) {
        let set = set(["/v/{a}/w-{b}.x"]);
        let path = format!("/v/{}/w-{}.x", values[0], values[1]);
        prop_assert_eq!(set.find("GET", &path), Some("/v/{a}/w-{b}.x"));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[/{}*a.\u{e4}-]{0,20}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            let mut set = Patterns::default();
            prop_assert_eq!(set.insert(&pattern, Methods::Any), Ok(()));
            // Written down it is a path itself, if names are taken for values.
            prop_assert_eq!(set.find("GET", &text), Some(&*text));
        }
    }
}
