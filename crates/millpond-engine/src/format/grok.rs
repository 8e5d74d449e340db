//! Grok expressions (`%{IP:client} %{NUMBER:bytes}`) as regular expressions (Athena user guide, "Grok SerDe"; AWS Glue developer guide,
//! "Writing grok custom classifiers").
//!
//! A name stands for a pattern of the library below or of the table's `input.grokCustomPatterns`; patterns name others. What has a field name (`%{NAME:field}`)
//! becomes a group, all else only matches.

use std::collections::HashMap;

/// Patterns nest at most so deep: deeper is a circle, most likely.
const DEPTH_MAX: usize = 32;

/// The longest expression that may come of it: patterns that name others twice grow fast.
const LENGTH_MAX: usize = 256 << 10;

/// A Grok expression in its plain form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub regex: String,
    /// Of the groups, in order.
    pub names: Vec<String>,
}

/// Writes out an expression.
///
/// # Errors
/// A name that is not known, a circle, a bracket that is not closed, a result that is too long.
pub(super) fn expand(format: &str, custom: &str) -> Result<Expanded, String> {
    let mut own: HashMap<&str, &str> = HashMap::new();
    for line in custom.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, pattern) = line
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("'input.grokCustomPatterns': '{line}' is no name and pattern"))?;
        own.insert(name, pattern.trim());
    }
    let mut expanded = Expanded { regex: String::new(), names: Vec::new() };
    write(format, &own, &mut expanded, true, 0)?;
    Ok(expanded)
}

fn write(pattern: &str, own: &HashMap<&str, &str>, out: &mut Expanded, named: bool, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("Grok patterns name each other in a circle".into());
    }
    let mut rest = pattern;
    while let Some(at) = rest.find("%{") {
        plain(&rest[..at], out);
        let end = rest[at..].find('}').ok_or_else(|| format!("'%{{' is not closed in '{pattern}'"))?;
        let mut parts = rest[at + 2..at + end].split(':');
        let name = parts.next().unwrap_or_default().trim();
        let field = parts.next().map(str::trim).filter(|field| !field.is_empty());
        let inner =
            own.get(name).copied().or_else(|| standard(name)).ok_or_else(|| format!("the Grok pattern '{name}' is not known"))?;
        match field.filter(|_| named) {
            Some(field) => {
                out.names.push(field.to_lowercase());
                out.regex.push('(');
                // Groups inside of a field's pattern would be counted as fields.
                write(inner, own, out, false, depth + 1)?;
            }
            None => {
                out.regex.push_str("(?:");
                write(inner, own, out, named, depth + 1)?;
            }
        }
        out.regex.push(')');
        if out.regex.len() > LENGTH_MAX {
            return Err(format!("the Grok expression is longer than {} KiB when its patterns are written out", LENGTH_MAX >> 10));
        }
        rest = &rest[at + end + 1..];
    }
    plain(rest, out);
    Ok(())
}

/// Copies a piece of an expression, with its groups made silent: only fields are groups.
fn plain(text: &str, out: &mut Expanded) {
    let mut chars = text.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        out.regex.push(c);
        match c {
            '\\' => out.regex.extend(chars.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                if chars.peek() != Some(&'?') {
                    out.regex.push_str("?:");
                    continue;
                }
                // `(?<name>…)` and `(?P<name>…)` are groups too, other than `(?<=` and `(?<!`.
                let ahead: String = chars.clone().take(3).collect();
                let opens = ahead.starts_with("?P<") || (ahead.starts_with("?<") && !ahead.ends_with(['=', '!']));
                if opens {
                    while chars.next().is_some_and(|c| c != '>') {}
                    out.regex.push_str("?:");
                }
            }
            _ => {}
        }
    }
}

fn standard(name: &str) -> Option<&'static str> {
    STANDARD.iter().find(|(known, _)| *known == name).map(|(_, pattern)| *pattern)
}

/// The patterns that every Grok knows, by what they stand for.
const STANDARD: &[(&str, &str)] = &[
    // Words and numbers.
    ("USERNAME", r"[a-zA-Z0-9._-]+"),
    ("USER", r"%{USERNAME}"),
    ("EMAILLOCALPART", r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+"),
    ("EMAILADDRESS", r"%{EMAILLOCALPART}@%{HOSTNAME}"),
    ("INT", r"[+-]?[0-9]+"),
    ("BASE10NUM", r"(?<![0-9.+-])[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"),
    ("NUMBER", r"%{BASE10NUM}"),
    ("BASE16NUM", r"(?<![0-9A-Fa-f])[+-]?(?:0x)?[0-9A-Fa-f]+"),
    ("BASE16FLOAT", r"\b(?<![0-9A-Fa-f.])[+-]?(?:0x)?(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?|\.[0-9A-Fa-f]+)\b"),
    ("BOOLEAN", r"(?i:true|false)"),
    ("POSINT", r"\b[1-9][0-9]*\b"),
    ("NONNEGINT", r"\b[0-9]+\b"),
    ("WORD", r"\b\w+\b"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("DATA", r".*?"),
    ("GREEDYDATA", r".*"),
    ("QUOTEDSTRING", r#""(?:\\.|[^\\"])*"|'(?:\\.|[^\\'])*'|`(?:\\.|[^\\`])*`"#),
    ("QS", r"%{QUOTEDSTRING}"),
    ("UUID", r"[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}"),
    // Networks.
    ("MAC", r"%{CISCOMAC}|%{WINDOWSMAC}|%{COMMONMAC}"),
    ("CISCOMAC", r"(?:[A-Fa-f0-9]{4}\.){2}[A-Fa-f0-9]{4}"),
    ("WINDOWSMAC", r"(?:[A-Fa-f0-9]{2}-){5}[A-Fa-f0-9]{2}"),
    ("COMMONMAC", r"(?:[A-Fa-f0-9]{2}:){5}[A-Fa-f0-9]{2}"),
    ("IPV6", r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|%{IPV4})?(?:%\w+)?"),
    ("IPV4", r"(?<![0-9])(?:(?:25[0-5]|2[0-4][0-9]|[0-1]?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|[0-1]?[0-9]{1,2})(?![0-9])"),
    ("IP", r"%{IPV6}|%{IPV4}"),
    ("HOSTNAME", r"\b[0-9A-Za-z][0-9A-Za-z-]{0,62}(?:\.[0-9A-Za-z][0-9A-Za-z-]{0,62})*\.?(?:\b|$)"),
    ("HOST", r"%{HOSTNAME}"),
    ("IPORHOST", r"%{IP}|%{HOSTNAME}"),
    ("HOSTPORT", r"%{IPORHOST}:%{POSINT}"),
    // Paths and addresses.
    ("PATH", r"%{UNIXPATH}|%{WINPATH}"),
    ("UNIXPATH", r"(?:/[\w_%!$@:.,~+-]*)+"),
    ("TTY", r"/dev/(?:pts|tty[pq]?)\w*/?[0-9]*"),
    ("WINPATH", r"(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+"),
    ("URIPROTO", r"[A-Za-z]+(?:\+[A-Za-z+]+)?"),
    ("URIHOST", r"%{IPORHOST}(?::%{POSINT})?"),
    ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_-]*)+"),
    ("URIPARAM", r"\?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]<>]*"),
    ("URIPATHPARAM", r"%{URIPATH}(?:%{URIPARAM})?"),
    ("URI", r"%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?"),
    // Dates and times.
    (
        "MONTH",
        r"\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b",
    ),
    ("MONTHNUM", r"0?[1-9]|1[0-2]"),
    ("MONTHNUM2", r"0[1-9]|1[0-2]"),
    ("MONTHDAY", r"0[1-9]|[12][0-9]|3[01]|[1-9]"),
    ("DAY", r"Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?"),
    ("YEAR", r"[0-9]{2}(?:[0-9]{2})?"),
    ("HOUR", r"2[0-3]|[01]?[0-9]"),
    ("MINUTE", r"[0-5][0-9]"),
    ("SECOND", r"(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?"),
    ("TIME", r"(?<![0-9])%{HOUR}:%{MINUTE}(?::%{SECOND})(?![0-9])"),
    ("DATE_US", r"%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"),
    ("DATE_EU", r"%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"),
    ("DATE", r"%{DATE_US}|%{DATE_EU}"),
    ("ISO8601_TIMEZONE", r"Z|[+-]%{HOUR}(?::?%{MINUTE})"),
    ("ISO8601_SECOND", r"%{SECOND}|60"),
    ("TIMESTAMP_ISO8601", r"%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?(?:%{ISO8601_TIMEZONE})?"),
    ("DATESTAMP", r"%{DATE}[- ]%{TIME}"),
    ("TZ", r"[PMCE][SD]T|UTC"),
    ("DATESTAMP_RFC822", r"%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}"),
    ("DATESTAMP_RFC2822", r"%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}"),
    ("DATESTAMP_OTHER", r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}"),
    ("DATESTAMP_EVENTLOG", r"%{YEAR}%{MONTHNUM2}%{MONTHDAY}%{HOUR}%{MINUTE}%{SECOND}"),
    ("HTTPDATE", r"%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}"),
    // Logs.
    ("SYSLOGTIMESTAMP", r"%{MONTH} +%{MONTHDAY} %{TIME}"),
    ("PROG", r"[\w._/%-]+"),
    ("SYSLOGPROG", r"%{PROG:program}(?:\[%{POSINT:pid}\])?"),
    ("SYSLOGHOST", r"%{IPORHOST}"),
    ("SYSLOGFACILITY", r"<%{NONNEGINT:facility}.%{NONNEGINT:priority}>"),
    ("SYSLOGBASE", r"%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:"),
    (
        "COMMONAPACHELOG",
        r#"%{IPORHOST:clientip} %{USER:ident} %{USER:auth} \[%{HTTPDATE:timestamp}\] "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})" %{NUMBER:response} (?:%{NUMBER:bytes}|-)"#,
    ),
    ("COMBINEDAPACHELOG", r"%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}"),
    (
        "LOGLEVEL",
        r"(?i:alert|trace|debug|notice|info(?:rmation)?|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|emerg(?:ency)?)",
    ),
    // Java.
    ("JAVACLASS", r"(?:[a-zA-Z$_][a-zA-Z$_0-9]*\.)*[a-zA-Z$_][a-zA-Z$_0-9]*"),
    ("JAVAFILE", r"[A-Za-z0-9_. -]+"),
    ("JAVAMETHOD", r"<init>|[a-zA-Z$_][a-zA-Z$_0-9]*"),
    ("JAVASTACKTRACEPART", r"%{SPACE}at %{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{NUMBER:line})?\)"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::lines::compile;

    fn check(format: &str, custom: &str, line: &str, expected: &str) {
        let expanded = expand(format, custom).unwrap();
        let regex = compile(&expanded.regex).unwrap();
        let found = regex.captures(line).unwrap().map_or("no match".to_owned(), |found| {
            let fields = expanded.names.iter().enumerate();
            let fields = fields.map(|(i, name)| format!("{name}={}", found.get(i + 1).map_or("∅", |group| group.as_str())));
            fields.collect::<Vec<_>>().join("|")
        });
        assert_eq!(found, expected, "{format} on {line}");
    }

    #[test]
    fn lines_of_logs_fall_into_their_fields() {
        check(
            "%{IP:client} %{WORD:method} %{NUMBER:bytes:int}",
            "",
            "55.3.244.1 GET 15824",
            "client=55.3.244.1|method=GET|bytes=15824",
        );
        check("%{IP:client} %{WORD:method}", "", "55.3.244.1 GET 15824", "no match");
        check(
            "%{COMBINEDAPACHELOG}",
            "",
            r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326 "http://e.com/" "Mozilla/4.08""#,
            "clientip=127.0.0.1|ident=-|auth=frank|timestamp=10/Oct/2000:13:55:36 -0700|verb=GET|request=/a.gif|httpversion=1.0|\
             rawrequest=∅|response=200|bytes=2326|referrer=\"http://e.com/\"|agent=\"Mozilla/4.08\"",
        );
        check(
            "%{SYSLOGBASE} %{GREEDYDATA:message}",
            "",
            "Feb  9 10:18:14 host sshd[42]: hello world",
            "timestamp=Feb  9 10:18:14|facility=∅|priority=∅|logsource=host|program=sshd|pid=42|message=hello world",
        );
        check(
            "%{TIMESTAMP_ISO8601:at} %{LOGLEVEL:level} %{JAVACLASS:class}: %{GREEDYDATA:text}",
            "",
            "2024-01-02T03:04:05,678Z WARN org.x.Main: odd (x)",
            "at=2024-01-02T03:04:05,678Z|level=WARN|class=org.x.Main|text=odd (x)",
        );
        check("%{QUEUE:q}-%{INT:n}", "QUEUE ([A-F]{3})\n# a comment", "ABC--5", "q=ABC|n=-5");
    }

    #[test]
    fn every_standard_pattern_compiles() {
        for (name, _) in STANDARD {
            let expanded = expand(&format!("%{{{name}:x}}"), "").unwrap();
            compile(&expanded.regex).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(expanded.names, ["x"], "{name}");
        }
    }

    #[test]
    fn wrong_expressions_are_refused() {
        for (format, custom, message) in [
            ("%{NOPE:x}", "", "the Grok pattern 'NOPE' is not known"),
            ("%{A:x}", "A %{B}\nB %{A}", "Grok patterns name each other in a circle"),
            ("%{INT", "", "'%{' is not closed"),
            ("%{INT}", "LONELY", "is no name and pattern"),
        ] {
            let error = expand(format, custom).unwrap_err();
            assert!(error.contains(message), "{format}: {error}");
        }
        let bomb: String = (1..30).map(|i| format!("A{i} %{{A{}}}%{{A{}}}\n", i - 1, i - 1)).collect();
        assert!(expand("%{A29}", &(bomb + "A0 x")).unwrap_err().contains("longer than"));
    }
}
