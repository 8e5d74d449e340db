//! Statements that are about the session, and not about the lake: settings, transactions, cursors. Clients send them without being asked.

use crate::text::{Kind, Token, name_of, tokens};

/// A statement of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `SET name = value`; `None` for `DEFAULT`.
    Set(String, Option<String>),
    /// `SHOW name`
    Show(String),
    /// `SHOW ALL`
    ShowAll,
    /// `RESET name`; `None` for `ALL`.
    Reset(Option<String>),
    /// `BEGIN`, `START TRANSACTION`
    Begin(&'static str),
    /// `COMMIT`, `END`
    Commit,
    /// `ROLLBACK`, `ABORT`
    Rollback,
    /// Something that is granted and changes nothing: `SAVEPOINT`, `LISTEN`; with its name.
    Nothing(&'static str),
    /// `DISCARD ALL` and its parts; with its name.
    Discard(&'static str),
    /// `DEALLOCATE name` of a prepared statement of the protocol; `None` for `ALL`.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR query`
    Declare { cursor: String, hold: bool, query: String },
    /// `FETCH count FROM name`; `None` for all that are left.
    Fetch { cursor: String, count: Option<usize> },
    /// `MOVE count FROM name`
    Move { cursor: String, count: Option<usize> },
    /// `CLOSE name`; `None` for `ALL`.
    Close(Option<String>),
    /// One that PostgreSQL has and Millpond does not.
    Unsupported(&'static str),
}

/// What Athena shows itself; any other `SHOW` is about a setting.
const SHOWN_BY_ATHENA: &[&str] =
    &["COLUMNS", "CREATE", "DATABASES", "FUNCTIONS", "PARTITIONS", "SCHEMAS", "TABLES", "TBLPROPERTIES", "VIEWS"];

/// Reads a statement; `None` where it is the lake's.
///
/// # Errors
/// It is of the session and does not have its form.
pub(crate) fn command(sql: &str) -> Result<Option<Command>, String> {
    let tokens = tokens(sql);
    let words = Words { sql, tokens: &tokens };
    let (first, second) = (words.upper(0), words.upper(1));
    Ok(Some(match (first.as_str(), second.as_str()) {
        ("SET", _) => words.set()?,
        ("RESET", "ALL") => Command::Reset(None),
        ("RESET", _) => Command::Reset(Some(words.setting(1, tokens.len())?)),
        ("SHOW", second) if SHOWN_BY_ATHENA.contains(&second) => return Ok(None),
        ("SHOW", "ALL") => Command::ShowAll,
        ("SHOW", _) => Command::Show(words.setting(1, tokens.len())?),
        ("BEGIN", _) => Command::Begin("BEGIN"),
        ("START", "TRANSACTION") => Command::Begin("START TRANSACTION"),
        ("COMMIT" | "END", _) => Command::Commit,
        ("ROLLBACK", _) if words.upper(1) == "TO" || words.upper(2) == "TO" => Command::Nothing("ROLLBACK"),
        ("ROLLBACK" | "ABORT", _) => Command::Rollback,
        ("SAVEPOINT", _) => Command::Nothing("SAVEPOINT"),
        ("RELEASE", _) => Command::Nothing("RELEASE"),
        ("LISTEN", _) => Command::Nothing("LISTEN"),
        ("UNLISTEN", _) => Command::Nothing("UNLISTEN"),
        ("DISCARD", "ALL") => Command::Discard("DISCARD ALL"),
        ("DISCARD", "PLANS") => Command::Nothing("DISCARD PLANS"),
        ("DISCARD", "TEMP" | "TEMPORARY") => Command::Nothing("DISCARD TEMP"),
        ("DISCARD", "SEQUENCES") => Command::Nothing("DISCARD SEQUENCES"),
        // Athena's own has the word PREPARE, which is none of PostgreSQL's names without quotes.
        ("DEALLOCATE", "PREPARE") => return Ok(None),
        ("DEALLOCATE", "ALL") => Command::Deallocate(None),
        ("DEALLOCATE", _) => Command::Deallocate(Some(words.name(1)?)),
        ("DECLARE", _) => words.declare()?,
        ("FETCH", _) => {
            let (cursor, count) = words.fetch()?;
            Command::Fetch { cursor, count }
        }
        ("MOVE", _) => {
            let (cursor, count) = words.fetch()?;
            Command::Move { cursor, count }
        }
        ("CLOSE", "ALL") => Command::Close(None),
        ("CLOSE", _) => Command::Close(Some(words.name(1)?)),
        ("COPY", _) => Command::Unsupported("COPY"),
        ("LOCK", _) => Command::Unsupported("LOCK"),
        ("NOTIFY", _) => Command::Unsupported("NOTIFY"),
        ("GRANT", _) => Command::Unsupported("GRANT"),
        ("REVOKE", _) => Command::Unsupported("REVOKE"),
        _ => return Ok(None),
    }))
}

struct Words<'a> {
    sql: &'a str,
    tokens: &'a [Token],
}

impl Words<'_> {
    fn upper(&self, place: usize) -> String {
        let token = self.tokens.get(place).filter(|token| token.kind == Kind::Word);
        token.map(|token| self.sql[token.at.clone()].to_uppercase()).unwrap_or_default()
    }

    fn name(&self, place: usize) -> Result<String, String> {
        let token = self.tokens.get(place).filter(|token| matches!(token.kind, Kind::Word | Kind::Quoted));
        token.map(|token| name_of(self.sql, token)).ok_or_else(|| self.wrong(place))
    }

    fn wrong(&self, place: usize) -> String {
        match self.tokens.get(place) {
            Some(token) => format!("syntax error at or near \"{}\"", &self.sql[token.at.clone()]),
            None => "syntax error at end of input".to_owned(),
        }
    }

    /// A setting's name from `from` to `to`: `a`, `a.b`, `TIME ZONE`, `TRANSACTION ISOLATION LEVEL`.
    fn setting(&self, from: usize, to: usize) -> Result<String, String> {
        match (self.upper(from).as_str(), self.upper(from + 1).as_str()) {
            ("TIME", "ZONE") => return Ok("timezone".to_owned()),
            ("TRANSACTION", "ISOLATION") => return Ok("transaction_isolation".to_owned()),
            ("SESSION", "AUTHORIZATION") => return Ok("session_authorization".to_owned()),
            _ => {}
        }
        self.name(from)?;
        let parts = self.tokens[from..to].iter().map(|token| name_of(self.sql, token));
        Ok(parts.collect())
    }

    fn set(&self) -> Result<Command, String> {
        let from = match self.upper(1).as_str() {
            "SESSION" if self.upper(2) == "CHARACTERISTICS" => return Ok(Command::Nothing("SET")),
            "SESSION" | "LOCAL" => 2,
            "TRANSACTION" => return Ok(Command::Nothing("SET")),
            _ => 1,
        };
        if self.upper(from) == "TIME" && self.upper(from + 1) == "ZONE" {
            return Ok(Command::Set("timezone".into(), self.value(from + 2)?));
        }
        if self.upper(from) == "NAMES" {
            return Ok(Command::Set("client_encoding".into(), self.value(from + 1)?));
        }
        let sign = self.tokens.iter().position(|token| {
            &self.sql[token.at.clone()] == "="
                || (token.kind == Kind::Word && self.sql[token.at.clone()].eq_ignore_ascii_case("to"))
        });
        let sign = sign.filter(|place| *place > from).ok_or_else(|| self.wrong(from + 1))?;
        Ok(Command::Set(self.setting(from, sign)?, self.value(sign + 1)?))
    }

    /// Values of a list are joined by commas.
    fn value(&self, from: usize) -> Result<Option<String>, String> {
        let rest = self.tokens.get(from..).filter(|rest| !rest.is_empty()).ok_or_else(|| self.wrong(from))?;
        if rest.len() == 1 && self.upper(from) == "DEFAULT" {
            return Ok(None);
        }
        let text = rest.iter().map(|token| match token.kind {
            Kind::Word => self.sql[token.at.clone()].to_owned(),
            _ => name_of(self.sql, token),
        });
        Ok(Some(text.collect()))
    }

    fn declare(&self) -> Result<Command, String> {
        let cursor = self.name(1)?;
        let place =
            (2..self.tokens.len()).find(|place| self.upper(*place) == "FOR").ok_or_else(|| self.wrong(self.tokens.len()))?;
        let options: Vec<String> = (2..place).map(|place| self.upper(place)).collect();
        if !options.iter().any(|word| word == "CURSOR") {
            return Err(self.wrong(2));
        }
        if options.iter().any(|word| word == "SCROLL") && !options.iter().any(|word| word == "NO") {
            return Err("cursors only go forward; leave SCROLL out".to_owned());
        }
        let query = self.tokens.get(place + 1).ok_or_else(|| self.wrong(place + 1))?;
        let with = options.iter().position(|word| word == "WITH");
        let hold = with.is_some_and(|with| options.get(with + 1).is_some_and(|word| word == "HOLD"));
        Ok(Command::Declare { cursor, hold, query: self.sql[query.at.start..].to_owned() })
    }

    /// `[NEXT | FORWARD [n | ALL] | n | ALL] [FROM | IN] name`
    fn fetch(&self) -> Result<(String, Option<usize>), String> {
        let last = self.tokens.len().checked_sub(1).filter(|last| *last > 0).ok_or_else(|| self.wrong(1))?;
        let cursor = self.name(last)?;
        let mut count = Some(1);
        for place in 1..last {
            let word = self.upper(place);
            count = match word.as_str() {
                "NEXT" | "FORWARD" | "FROM" | "IN" => continue,
                "ALL" => None,
                digits => Some(digits.parse().map_err(|_| format!("cursors only go forward; {}", self.wrong(place)))?),
            };
        }
        Ok((cursor, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_statements_are_read() {
        let check = |sql: &str, expected: Option<Command>| assert_eq!(command(sql), Ok(expected), "{sql}");
        let set = |name: &str, value: &str| Some(Command::Set(name.into(), Some(value.into())));
        check("SELECT 1", None);
        check("show tables", None);
        check("DEALLOCATE PREPARE p", None);
        check("SET extra_float_digits = 3", set("extra_float_digits", "3"));
        check("set session search_path to a, \"B\"", set("search_path", "a,B"));
        check("SET TIME ZONE 'Europe/Rome'", set("timezone", "Europe/Rome"));
        check("SET workgroup = DEFAULT", Some(Command::Set("workgroup".into(), None)));
        check("SET a.b = 'x'", set("a.b", "x"));
        check("SHOW transaction isolation level", Some(Command::Show("transaction_isolation".into())));
        check("BEGIN ISOLATION LEVEL SERIALIZABLE", Some(Command::Begin("BEGIN")));
        check("ROLLBACK TO SAVEPOINT a", Some(Command::Nothing("ROLLBACK")));
        check("DEALLOCATE \"_pg3_1\"", Some(Command::Deallocate(Some("_pg3_1".into()))));
        let declared = Command::Declare { cursor: "c".into(), hold: true, query: "SELECT 1".into() };
        check("DECLARE \"c\" NO SCROLL CURSOR WITH HOLD FOR SELECT 1", Some(declared));
        check("FETCH FORWARD 100 FROM \"c\"", Some(Command::Fetch { cursor: "c".into(), count: Some(100) }));
        check("FETCH ALL IN c", Some(Command::Fetch { cursor: "c".into(), count: None }));
        check("FETCH c", Some(Command::Fetch { cursor: "c".into(), count: Some(1) }));
        check("CLOSE \"c\"", Some(Command::Close(Some("c".into()))));
        for wrong in [
            "SET",
            "SET a",
            "DECLARE c SELECT 1",
            "FETCH",
            "FETCH BACKWARD 1 FROM c",
            "DECLARE c SCROLL CURSOR FOR SELECT 1",
            "CLOSE",
        ] {
            assert!(command(wrong).is_err(), "{wrong}");
        }
    }
}
