use super::*;

fn check(pattern: &str, wanted: &[&str], others: &[&str]) {
    let parsed = FilterPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    for message in wanted {
        assert!(parsed.matches(message), "{pattern} must match {message}");
    }
    for message in others {
        assert!(!parsed.matches(message), "{pattern} must not match {message}");
    }
}

fn refused(pattern: &str, because: &str) {
    let error = FilterPattern::parse(pattern).map(|_| ()).expect_err(pattern).to_string();
    assert!(error.starts_with("Invalid filter pattern: ") && error.contains(because), "{pattern}: {error}");
}

const BAD: &str = "[ERROR 400] BAD REQUEST";
const UNAUTHORIZED: &str = "[ERROR 401] UNAUTHORIZED REQUEST";
const MISSING: &str = "[ERROR 419] MISSING ARGUMENTS";
const INVALID: &str = "[ERROR 420] INVALID ARGUMENTS";

/// The examples of the user guide.
#[test]
fn terms_are_required_excluded_or_optional() {
    check("", &["anything", ""], &[]);
    check("\" \"", &["anything", "any thing"], &[]);
    check("ERROR", &[BAD, MISSING], &["error", "INFO"]);
    check("ERROR ARGUMENTS", &[MISSING, INVALID], &[BAD, UNAUTHORIZED]);
    check("?ERROR ?ARGUMENTS", &[BAD, "no ARGUMENTS"], &["INFO"]);
    check("\"INTERNAL SERVER ERROR\"", &["[ERROR 500] INTERNAL SERVER ERROR"], &["INTERNAL ERROR SERVER"]);
    check("ERROR -ARGUMENTS", &[BAD, UNAUTHORIZED], &[MISSING, INVALID, "INFO"]);
    check("-ERROR", &["INFO"], &[BAD]);
    check("-\"exit code\" -ERROR", &["INFO", "exit"], &[BAD, "exit code 1"]);
    check(r#""say \"hi\" \\ now""#, &[r#"say "hi" \ now"#], &["say hi"]);
}

#[test]
fn question_marks_are_ignored_beside_other_terms() {
    check("?ERROR ?ARGUMENTS REQUEST", &["[INFO] REQUEST FAILED", BAD], &[MISSING]);
    check("?ERROR -ARGUMENTS", &["INFO"], &[MISSING]);
}

#[test]
fn terms_that_are_not_plain_words_are_refused_with_a_hint() {
    for pattern in ["email@example.com", "a-b", "a/b", "a:b", "?", "-", "\"\"", "--a", "a\"b\""] {
        refused(pattern, "Invalid character(s) in term");
    }
    refused("\"open", "not closed");
    refused("%open", "not closed");
    check("snake_case example.com émoi", &["snake_case émoi example.com"], &["émoi"]);
}

#[test]
fn regular_expressions_are_found_anywhere() {
    check("%AUTHORIZED%", &[UNAUTHORIZED, "[SUCCESS 200] AUTHORIZED REQUEST"], &[BAD]);
    check(r"%^\[ERROR 40[01]\]%", &[BAD, UNAUTHORIZED], &[MISSING, "x [ERROR 400]"]);
    check(r"%colou?r% -%gr[ae]y$%", &["the color blue"], &["color gray", "grey color grey"]);
    check(r"%\x28\d{3}\x29%", &["call (123) now"], &["call 123 now"]);
    check(r"%a.c%", &["abc", "aéc".replace('é', "b").as_str()], &["ac"]);
}

#[test]
fn regular_expressions_are_bounded() {
    refused("%(a)%", "Invalid character(s) in term");
    refused("%a!%", "Invalid character(s) in term");
    refused("%é%", "Invalid character(s) in term");
    refused("%%", "Invalid character(s) in term");
    refused("%[a%", "no regular expression");
    refused("%a{1000}{1000}{10}%", "too large");
    refused("%a% %a% %a% %a% %a% %a%", "more than 5");
    refused("{ $.a = %a% || $.a = %b% || $.a = %c% }", "more than 2");
    refused("{ $.a > %1% }", "only be compared");
}

const TRAIL: &str = r#"{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}], "SomeObject": null, "cluster.name": "c", "ok": true, "took": 75.5}"#;

#[test]
fn json_members_are_selected_and_compared() {
    for pattern in [
        r#"{ $.eventType = "UpdateTrail" }"#,
        r#"{$.eventType="UpdateTrail"}"#,
        "{ $.eventType = UpdateTrail }",
        r#"{ $.eventType = "*Trail" }"#,
        "{ $.eventType = Up*te*l }",
        "{ $.sourceIPAddress != 123.123.* }",
        r#"{ $.arrayKey[0] = "value" }"#,
        "{ $.eventType = %Trail% }",
        "{ $.arrayKey[*] = %val.{2}% }",
        r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }",
        "{ $.['cluster.name'] = \"c\" }",
        "{ $[\"cluster.name\"] = c }",
        "{ $.SomeObject IS NULL }",
        "{ $.SomeOtherObject NOT EXISTS }",
        "{ $.ok IS TRUE }",
        "{ $.ok = true }",
        "{ $.took > 75 && $.took < 1e2 && $.took >= 75.5 && $.took <= +75.5 && $.took = 7.55e+1 && $.took != 75 }",
        "{ $.objectList[1].id = 2 }",
        "{ $.objectList[*].name = b }",
        "{ $.eventType = * }",
    ] {
        check(pattern, &[TRAIL], &["no json", "\"UpdateTrail\"", "{\"eventType\": "]);
    }
    for pattern in [
        "{ $.eventType = updatetrail }",
        "{ $.eventType != UpdateTrail }",
        "{ $.nothing != x }",
        "{ $.arrayKey = value }",
        "{ $.SomeObject = null }",
        "{ $.SomeObject NOT EXISTS }",
        "{ $.arrayKey[2] = value }",
        "{ $.ok IS FALSE }",
        "{ $.eventType > 1 }",
        "{ $.objectList != x }",
    ] {
        check(pattern, &[], &[TRAIL]);
    }
}

const USERS: &str = r#"{"user": {"id": 1, "email": "John.Stiles@example.com"},
    "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
    "actions": ["GET", "PUT", "DELETE"], "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]]}"#;

#[test]
fn and_binds_more_tightly_than_or_and_parentheses_most() {
    let stiles = r#"$.user.email = "John.Stiles@example.com""#;
    let rest = r#"$.coordinates[0][1] = "nonmatch""#;
    let action = r#"$.actions[2] = "nonmatch""#;
    check(r#"{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }"#, &[USERS], &[TRAIL]);
    check(&format!("{{ {stiles} || {rest} && {action} }}"), &[USERS], &[]);
    check(&format!("{{ ({stiles} || {rest}) && {action} }}"), &[], &[USERS]);
    check(r#"{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }"#, &[], &[USERS]);
    check("{($.a=1)||($.b=2)}", &[r#"{"a":1}"#, r#"{"b":2}"#], &[r#"{"a":2}"#]);
    check("{ $.users[*].id = 3 && $.coordinates[1][*] = 6 }", &[USERS], &[]);
}

#[test]
fn json_patterns_that_are_wrong_say_where() {
    refused("{ $.a = 1", "must end with '}'");
    refused("{ }", "a selector such as $.name is expected");
    refused("{ a = 1 }", "a selector such as $.name is expected");
    refused("{ $ = 1 }", "'.' and a name are expected");
    refused("{ $.a }", "an operator");
    refused("{ $.a EXISTS }", "an operator");
    refused("{ $.a IS NOT NULL }", "NULL, TRUE or FALSE");
    refused("{ $.a = 1 AND $.b = 2 }", "'&&', '||' or the end");
    refused("{ ($.a = 1 }", "')' is expected");
    refused("{ $.a > \"Alpha\" }", "'Alpha' is none");
    refused("{ $.a[-1] = 1 }", "in '[-1]'");
    refused("{ $.a[*].* = 1 }", "more than one wildcard");
    refused("{ $.*=1 || $.*=2 || $.*=3 || $.*=4 }", "more than 3 wildcard");
    refused(&format!("{{ {}$.a = 1{} }}", "(".repeat(40), ")".repeat(40)), "parentheses");
}

const APACHE: &str = "127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534";

#[test]
fn fields_are_counted_from_both_ends_of_an_ellipsis() {
    for pattern in [
        r"[ip=%127\.0\.0\.[1-9]%, user, username, timestamp, request =*.html*, status_code = 4*, bytes]",
        "[..., request =*.html*, status_code = 4*, bytes]",
        "[ip, user, username, timestamp, request =*.html*, status_code = 404 || status_code = 410, bytes]",
        "[ip, ..., status_code >= 400 && status_code < 500, bytes > 1000]",
        "[ip = 127.*, ...]",
        "[...]",
        "[ip, rest = *1534]",
        "[ip, user, username, timestamp = \"10/Oct/2000:13:25:15 -0700\", ...]",
        "[ip, (user = Prod || user = Test), ...]",
    ] {
        check(pattern, &[APACHE], &[]);
    }
    for pattern in ["[..., status = 5*, bytes]", "[a, b, c, d, e, f, g, h]", "[ip != 127.0.0.1, ...]", "[..., bytes < 10]"] {
        check(pattern, &[], &[APACHE]);
    }
}

#[test]
fn the_last_field_takes_the_rest_of_the_line() {
    let error = "ERROR 09/25/2014 12:00:02 Failed to process request";
    let warning = "WARNING 09/25/2014 12:00:02 Invalid user request";
    let info = "INFO 09/25/2014 12:00:00 GET /service/resource/67 1200";
    check("[w1=ERROR, w2]", &[error], &[warning, info, "ERROR"]);
    check("[w1=ERROR || w1=WARNING, w2]", &[error, warning], &[info]);
    check("[w1!=ERROR && w1!=WARNING, w2]", &[info], &[error, warning]);
    check("[logLevel, date, time, method, url=%/service/resource/[0-9]+$%, response_time]", &[info], &[error]);
    check("[r=REPORT,...]", &["REPORT RequestId: 1\tDuration: 2 ms"], &["START RequestId: 1"]);
    let lambda = "2026-05-01T00:00:00.000Z\t1234-5678\tINFO\t{\"a\": 1}";
    check("[timestamp=*Z, request_id=\"*-*\", event]", &[lambda], &["plain words only here"]);
}

#[test]
fn field_patterns_that_are_wrong_say_where() {
    refused("[a, b", "must end with ']'");
    refused("[]", "the name of a field is expected");
    refused("[a b]", "',' is expected");
    refused("[a, ..., b, ...]", "more than one ellipsis");
    refused("[ip, status_code = 4* && bytes > 1000]", "also name 'bytes'");
    refused("[a = 1 && a]", "a condition is expected");
    refused("[a = ]", "a value is expected");
}

#[test]
fn values_are_taken_from_messages() {
    let extract = |pattern: &str, message: &str| FilterPattern::parse(pattern).unwrap().extract(message);
    let values = extract("[ip, user, username, timestamp, request, status_code, bytes]", APACHE).unwrap();
    assert_eq!(values["$timestamp"], "10/Oct/2000:13:25:15 -0700");
    assert_eq!(values["$request"], "GET /index.html HTTP/1.0");
    assert_eq!((values["$bytes"].as_str(), values.len()), ("1534", 7));
    let values = extract("[..., size]", APACHE).unwrap();
    assert_eq!((values["$1"].as_str(), values["$6"].as_str(), values["$size"].as_str()), ("127.0.0.1", "404", "1534"));
    let values = extract("{ $.eventType = * && $.objectList[1].id = 2 }", TRAIL).unwrap();
    assert_eq!((values["$.eventType"].as_str(), values["$.objectList[1].id"].as_str()), ("UpdateTrail", "2"));
    assert_eq!(extract("ERROR", BAD).unwrap().len(), 0);
    assert!(extract("ERROR", "INFO").is_none());
}

#[test]
fn hostile_patterns_and_messages_take_linear_time() {
    let message = "a".repeat(1 << 20);
    // Each of these is quadratic or worse with a matcher that goes back.
    for pattern in ["{ $.a = a*a*a*a*a*a*a*a*b }", "[x = a*a*a*a*a*b]", "%a*a*a*a*a*a*b%", "\"aaaaaaaab\""] {
        assert!(!FilterPattern::parse(pattern).unwrap().matches(&message), "{pattern}");
    }
    let open = "[ \" ".repeat(1 << 18);
    assert!(FilterPattern::parse("[a, ...]").unwrap().matches(&open));
    let deep = "[".repeat(100_000);
    assert!(!FilterPattern::parse("{ $.a = 1 }").unwrap().matches(&deep));
    assert!(FilterPattern::parse("[a, ...]").unwrap().matches(&deep));
    refused(&"x".repeat(1025), "1025 bytes");
}
