use super::ast::{Comparison, Expr, Field, Filter, Operand, Test};
use super::literal::Literal;
use super::pattern::Pattern;
use super::{MAX_DEPTH, MAX_FILTERS, MAX_PATTERNS, MAX_SELECTOR_BYTES, Selector};
use proptest::prelude::*;

fn parsed(text: &str) -> Selector {
    match text.parse() {
        Ok(selector) => selector,
        Err(error) => panic!("{text}\n{error}"),
    }
}

fn refused(text: &str) -> crate::syntax::SyntaxError {
    match text.parse::<Selector>() {
        Ok(selector) => panic!("{text} was read as {selector}"),
        Err(error) => error,
    }
}

/// device-contract 4.2: what Edgehog's parser takes, with what it means written plainly.
#[test]
fn edgehogs_grammar_is_a_part_of_ours() {
    for (text, plain) in [
        (r#""foo" in tags"#, r#""foo" in tags"#),
        ("\t\"foo\"\r\n IN   tags ", r#""foo" in tags"#),
        (r#""foo" not in tags"#, r#""foo" not in tags"#),
        (r#""foo" NoT  iN tags"#, r#""foo" not in tags"#),
        (r#""f*o?" ~= tags"#, r#""f*o?" ~= tags"#),
        (r#""f*o?" !~= tags"#, r#""f*o?" !~= tags"#),
        (r"/^fo+\/bar$/ ~= tags", r"/^fo+\/bar$/ ~= tags"),
        (r"/x/ !~= tags", r"/x/ !~= tags"),
        (r#""say \"hi\"" in tags"#, r#""say \"hi\"" in tags"#),
        (r#""back\slash" in tags"#, r#""back\slash" in tags"#),
        (
            r#""a" in tags and "b" in tags or "c" in tags"#,
            r#""a" in tags and "b" in tags or "c" in tags"#,
        ),
        (
            r#""a" in tags OR "b" in tags AND "c" in tags"#,
            r#""a" in tags or "b" in tags and "c" in tags"#,
        ),
        (
            r#"( "a" in tags or "b" in tags ) and "c" in tags"#,
            r#"("a" in tags or "b" in tags) and "c" in tags"#,
        ),
        (
            r#"("a" in tags) and (("b" in tags))"#,
            r#""a" in tags and "b" in tags"#,
        ),
        (
            r#"attributes["Custom-NS:foo_bar"] == "x""#,
            r#"attributes["custom-ns:foo_bar"] == "x""#,
        ),
        // Blanks around a comparison may be missing.
        (r#"attributes["a:b"]!="x""#, r#"attributes["a:b"] != "x""#),
        (r#"attributes["a:b"] > 42"#, r#"attributes["a:b"] > 42"#),
        (r#"attributes["a:b"] >= -42"#, r#"attributes["a:b"] >= -42"#),
        (r#"attributes["a:b"] < 4.20"#, r#"attributes["a:b"] < 4.2"#),
        (
            r#"attributes["a:b"] <= -0.5"#,
            r#"attributes["a:b"] <= -0.5"#,
        ),
        (
            r#"attributes["a:b"] == 42.0"#,
            r#"attributes["a:b"] == 42.0"#,
        ),
        (
            r#"attributes["a:b"] == true"#,
            r#"attributes["a:b"] == true"#,
        ),
        (
            r#"attributes["a:b"] == false"#,
            r#"attributes["a:b"] == false"#,
        ),
        (
            r#"attributes["a:b"] > datetime("2022-06-27T17:27:58+02:00")"#,
            r#"attributes["a:b"] > datetime("2022-06-27T15:27:58Z")"#,
        ),
        (
            r#"attributes["a:b"] > now()"#,
            r#"attributes["a:b"] > now()"#,
        ),
        (
            r#"attributes["a:b"] == binaryblob("Zm9v")"#,
            r#"attributes["a:b"] == binaryblob("Zm9v")"#,
        ),
        // What Edgehog describes and leaves out.
        (r#""x" in attributes["a:b"]"#, r#""x" in attributes["a:b"]"#),
        (
            r#"5 not in attributes["a:b"]"#,
            r#"5 not in attributes["a:b"]"#,
        ),
    ] {
        assert_eq!(parsed(text).to_string(), plain, "{text}");
    }
}

#[test]
fn a_fleets_own_things_can_be_asked_for() {
    for text in [
        r#"hardware == "compute""#,
        r#"id != "r1""#,
        r#""r-*" ~= id"#,
        r#"/^Kiel/ ~= name"#,
        r#"model == "picker-2""#,
        r#"protocol == "edgehog""#,
        r#"label["site"] == "berlin""#,
        r#"label["payload kg"] >= 12.5"#,
        r#"image == "os@1.2.0""#,
        r#"reported["io.edgehog.devicemanager.OSInfo/osName"] == "linux""#,
        r#"attributes["reported:own.Os/cores"] >= 4"#,
        r#"version("os") >= "1.2.0""#,
        r#"version == "spring-build""#,
        r#"build("os") == "b7""#,
        "online == true",
        "ready != false",
        "held == true",
        r#"seen < ago("2w")"#,
        r#"registered >= datetime("2026-01-01T00:00:00Z")"#,
        r#""night" in groups"#,
        "not online == true",
        r#"not (online == true or "spare" in tags)"#,
        r#"attributes["robot:online"] == true"#,
        r#"attributes["label:site"] == "berlin""#,
        r#"attributes["version:os"] < "2.0.0""#,
    ] {
        assert_eq!(parsed(text).to_string(), text);
    }
}

/// The message points at the place and says what was expected there.
#[test]
fn mistakes_are_shown_where_they_are() {
    let golden = [
        (
            r#"online = true"#,
            "selector not understood at column 8: `=` says nothing here; write `==` to compare\n\
             \u{20} online = true\n\
             \u{20}        ^",
        ),
        (
            r#"hardware == compute"#,
            "selector not understood at column 13: expected a value: a text in double quotes, a number, true, false, \
             datetime(\"…\"), now(), ago(\"7d\") or binaryblob(\"…\"); found `compute`\n\
             \u{20} hardware == compute\n\
             \u{20}             ^",
        ),
        (
            "\"a\" in tags\nand site == \"b\"",
            "selector not understood at line 2, column 5: `site` is nothing that a robot has; use label[\"…\"], reported[\"…\"], \
             attributes[\"…\"] or one of tags, groups, id, name, model, protocol, hardware, ecu, image, version, build, \
             online, ready, held, registered, seen\n\
             \u{20} and site == \"b\"\n\
             \u{20}     ^",
        ),
        (
            r#"("a" in tags or "b" in tags"#,
            "selector not understood at column 28: expected `and`, `or` or a closing parenthesis; found the end\n\
             \u{20} (\"a\" in tags or \"b\" in tags\n\
             \u{20}                            ^",
        ),
    ];
    for (text, message) in golden {
        assert_eq!(refused(text).to_string(), message, "{text}");
    }
}

#[test]
fn what_is_not_a_selector_is_refused_with_its_place() {
    for (text, offset, part) in [
        ("", 0, "expected a filter"),
        ("   ", 3, "found the end"),
        (r#""a" in tags )"#, 12, "never opened"),
        (r#"("a" in tags"#, 12, "closing parenthesis"),
        ("()", 1, "expected a filter"),
        (r#""a" in tags "b" in tags"#, 12, "expected `and`, `or`"),
        (r#""a" in tags and"#, 15, "a blank before the end"),
        (r#""a" in tags and "#, 16, "expected a filter"),
        (r#""a" in tags and("b" in tags)"#, 15, "a blank before `(`"),
        (
            r#"("a" in tags)and "b" in tags"#,
            13,
            "a blank before `and`",
        ),
        (r#""a"in tags"#, 3, "a blank before `in`"),
        (r#""a" ~=tags"#, 6, "a blank before `tags`"),
        (r#"not(online == true)"#, 3, "a blank before `(`"),
        (r#""a" in"#, 6, "a blank before the end"),
        (r#""a" not tags"#, 8, "expected `in`"),
        (r#""a" == tags"#, 4, "expected `in`"),
        (r#"tags == "a""#, 5, "from the other side"),
        (r#"5 ~= tags"#, 2, "only a text or a /regex/"),
        (r#"5 in tags"#, 0, "a text in double quotes"),
        (r#"/a/ in tags"#, 4, "expected `~=`"),
        (r#"label["site"] ~= "x""#, 14, "the pattern comes first"),
        (r#""x" ~= online"#, 0, "only texts can be matched"),
        (r#"/a(/ ~= tags"#, 0, "unclosed group"),
        (r#"/\w{500}{500}/ ~= tags"#, 0, "too large"),
        (r#""a in tags"#, 0, "no closing"),
        (r#"/a ~= tags"#, 0, "no closing"),
        (r#"attributes["nokey"] == 1"#, 11, "namespace:key"),
        (r#"attributes[":k"] == 1"#, 11, "namespace:key"),
        (r#"attributes["a b:k"] == 1"#, 11, "namespace:key"),
        (r#"attributes["robot:colour"] == "x""#, 11, "no such key"),
        (r#"attributes[a_b] == 1"#, 11, "expected an attribute"),
        (r#"label[""] == 1"#, 6, "a label's key"),
        (r#"label["a" == 1"#, 10, "expected `]`"),
        (r#"version("os" == "1.0.0""#, 13, "expected `)`"),
        (r#"version("os") > "1.2""#, 16, "MAJOR.MINOR.PATCH"),
        (r#"version == 1.2"#, 11, "a version is a text"),
        (r#"online == "yes""#, 10, "true or false"),
        (r#"online > true"#, 9, "no order"),
        (r#"protocol == "mqtt""#, 12, "\"native\" or \"edgehog\""),
        (r#"seen < "yesterday""#, 7, "a moment"),
        (r#"seen < datetime("yesterday")"#, 16, "with its offset"),
        (
            r#"seen < datetime("2026-01-01T00:00:00")"#,
            16,
            "with its offset",
        ),
        (r#"seen < ago("7 days")"#, 11, "expected a span"),
        (
            r#"seen < ago("99999999999999999999d")"#,
            11,
            "expected a span",
        ),
        (r#"label["k"] == binaryblob("!")"#, 25, "base64"),
        (r#"label["k"] == 99999999999999999999"#, 14, "too large"),
        (r#"label["k"] == 5."#, 16, "expected digits"),
        (r#"label["k"] == "#, 14, "expected a value"),
        (r#"online && ready"#, 7, "write `and`"),
        (r#"online || ready"#, 7, "write `or`"),
        (r#"!online"#, 0, "write `not`"),
        (r#"name == 'x'"#, 8, "double quotes"),
        ("online ♥ true", 7, "says nothing here"),
        ("online\u{a0}== true", 6, "says nothing here"),
    ] {
        let error = refused(text);
        assert_eq!(error.offset, offset, "{text}\n{error}");
        assert!(error.message.contains(part), "{text}\n{error}");
    }
}

#[test]
fn a_selector_is_bounded_in_every_direction() {
    let filters = |count| vec!["online == true"; count].join(" or ");
    parsed(&filters(MAX_FILTERS));
    assert!(
        refused(&filters(MAX_FILTERS + 1))
            .message
            .contains("filters")
    );
    let nested = |depth| format!("{}online == true{}", "(".repeat(depth), ")".repeat(depth));
    parsed(&nested(MAX_DEPTH));
    assert!(refused(&nested(MAX_DEPTH + 1)).message.contains("deep"));
    assert!(
        refused(&"(".repeat(MAX_SELECTOR_BYTES))
            .message
            .contains("deep")
    );
    let nots = |depth| format!("{}online == true", "not ".repeat(depth));
    parsed(&nots(MAX_DEPTH));
    assert!(refused(&nots(MAX_DEPTH + 1)).message.contains("deep"));
    let patterns = |count| vec!["/a/ ~= tags"; count].join(" and ");
    parsed(&patterns(MAX_PATTERNS));
    assert!(
        refused(&patterns(MAX_PATTERNS + 1))
            .message
            .contains("patterns")
    );
    let long = format!("name == {:?}", "x".repeat(MAX_SELECTOR_BYTES));
    let error = refused(&long);
    assert!(error.message.contains("longer"));
    assert!(
        error.to_string().len() < 400,
        "the text is not echoed at length"
    );
}

#[test]
fn the_excerpt_of_a_long_line_shows_what_is_near_the_place() {
    let text = format!("{} = true", vec!["online == true"; 50].join(" and "));
    let error = refused(&text);
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[1].chars().nth(caret), Some('='));
    assert!(lines[1].chars().count() < 130);
}

#[test]
fn globs_match_whole_texts_and_regexes_any_part() {
    let glob = |glob: &str, text| Pattern::Glob(glob.into()).matches(text);
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "anything", true),
        ("a*", "abc", true),
        ("a*", "ba", false),
        ("*c", "abc", true),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abcd", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("?", "ä", true),
        // LIKE's own signs mean nothing here.
        ("a_c", "abc", false),
        ("50%", "50 off", false),
        ("*aab", "aaaab", true),
        ("a.c", "abc", false),
    ] {
        assert_eq!(glob(pattern, text), expected, "{pattern:?} {text:?}");
    }
    // A glob that goes back for every star would not come to an end here.
    let stars = format!("{}c", "a*".repeat(40));
    assert!(!glob(&stars, &format!("{}b", "a".repeat(200))));
    let regex = |source, text| Pattern::regex(source).unwrap().matches(text);
    assert!(regex("b", "abc"));
    assert!(!regex("^b", "abc"));
    assert!(!regex("B", "abc"));
    assert!(!regex("(a+)+$", &format!("{}b", "a".repeat(200))));
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        // What needs escaping, and what looks as if it did.
        r#"[a"/\\ *?é]{0,6}"#.prop_filter("a trailing backslash cannot be written", |text| {
            !text.ends_with('\\')
        }),
    ]
}

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        words().prop_map(|text| Literal::Text(text.into())),
        any::<i64>().prop_map(Literal::Integer),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Truth),
        (-62_135_596_800_000_i64..253_402_207_200_000).prop_map(Literal::Moment),
        Just(Literal::Now),
        (0_u64..1_000_000).prop_map(|seconds| Literal::Ago(seconds * 1_000)),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Literal::Blob(bytes.into())),
    ]
}

fn operands() -> impl Strategy<Value = Operand> {
    let key = || words().prop_filter("keys are not empty", |key| !key.is_empty());
    prop_oneof![
        key().prop_map(|key| Operand::Label(key.into())),
        "[a-z]{1,3}(/[a-z]{1,3}){1,2}".prop_map(|path| Operand::Reported(path.into())),
        ("[a-k._-]{1,5}", key()).prop_map(|(namespace, key)| Operand::Attribute {
            namespace: namespace.into(),
            key: key.into(),
            means: None,
        }),
    ]
}

fn filters() -> impl Strategy<Value = Expr> {
    let comparisons = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
    ];
    let patterns = prop_oneof![
        words().prop_map(|glob| Pattern::Glob(glob.into())),
        r"(\^?[a-c/]{1,4}[+*]?|\[/a\]|\\\\/)".prop_map(|source| Pattern::regex(&source).unwrap()),
    ];
    let filter = |operand, test, negated| {
        Expr::Filter(Filter {
            operand,
            test,
            negated,
        })
    };
    prop_oneof![
        (operands(), comparisons, literals(), any::<bool>()).prop_map(
            move |(operand, comparison, literal, negated)| {
                let negated = negated && comparison == Comparison::Equal;
                filter(operand, Test::Compare(comparison, literal), negated)
            }
        ),
        (operands(), literals(), any::<bool>()).prop_map(move |(operand, literal, negated)| {
            filter(operand, Test::Contains(literal), negated)
        }),
        (operands(), patterns, any::<bool>()).prop_map(move |(operand, pattern, negated)| {
            filter(operand, Test::Like(pattern), negated)
        }),
        (words(), any::<bool>()).prop_map(move |(tag, negated)| {
            let operand = Operand::Field(Field::Tags);
            filter(operand, Test::Contains(Literal::Text(tag.into())), negated)
        }),
    ]
}

fn exprs() -> impl Strategy<Value = Expr> {
    filters().prop_recursive(4, 14, 3, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 2..4);
        // Parts of the same kind are spliced, as the parser does.
        let spliced = |parts: Vec<Expr>, any: bool| {
            parts
                .into_iter()
                .flat_map(|part| match part {
                    Expr::Any(parts) if any => parts,
                    Expr::All(parts) if !any => parts,
                    part => vec![part],
                })
                .collect()
        };
        prop_oneof![
            parts().prop_map(move |parts| Expr::Any(spliced(parts, true))),
            parts().prop_map(move |parts| Expr::All(spliced(parts, false))),
            inner.clone().prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(expr in exprs()) {
        let patterns = format!("{expr:?}").matches("Like").count();
        prop_assume!(patterns <= MAX_PATTERNS);
        let text = expr.to_string();
        let back: Selector = text.parse().map_err(|error| TestCaseError::fail(format!("{text}\n{error}")))?;
        prop_assert_eq!(&*back.expr, &expr, "{}", text);
    }

    /// Hostile text: an answer, with its place inside the text.
    #[test]
    fn any_text_is_answered(text in r#"([ "/\\()a-z=<>!~\[\]0-9.é\n-]|"a"|tags|label|and|or|not|in|==|~=){0,30}"#) {
        if let Err(error) = text.parse::<Selector>() {
            prop_assert!(error.offset <= text.len());
            prop_assert!(text.is_char_boundary(error.offset));
        }
    }

    #[test]
    fn any_bytes_that_are_text_are_answered(text in ".{0,200}") {
        drop(text.parse::<Selector>());
    }
}
