//! Statements from tokens. What is in them is in [`super::condition`] and [`super::terms`].

use super::lexer::{self, Kind, Token, malformed, place, unquoted};
use super::{Returning, STATEMENT_LENGTH_MAX, Select, Statement, StatementError};
use crate::expression::{Action, Condition, Path, Projection, Step, Update, closing_parentheses, collision};
use crate::value::{DEPTH_MAX, Value};

pub(super) type Parsed<T> = Result<T, StatementError>;

/// Reads tokens.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    /// For each opening parenthesis the one that closes it.
    pub(super) closing: Vec<usize>,
    pub(super) parameters: &'t [Value],
    /// How many of them are used.
    pub(super) used: usize,
    pub(super) operators: usize,
}

/// Words that stand for no attribute unless they are quoted.
const KEYWORDS: [&str; 24] = [
    "SELECT",
    "FROM",
    "WHERE",
    "ORDER",
    "BY",
    "INSERT",
    "INTO",
    "UPDATE",
    "SET",
    "REMOVE",
    "DELETE",
    "RETURNING",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "IS",
    "LIKE",
    "NULL",
    "MISSING",
    "TRUE",
    "FALSE",
    "EXISTS",
];

fn check_named<'a>(mut names: impl Iterator<Item = &'a String>) -> Parsed<()> {
    match names.any(String::is_empty) {
        true => Err(StatementError::new("Path component cannot be an empty string")),
        false => Ok(()),
    }
}

impl<'t> Parser<'t> {
    /// # Errors
    /// A statement that is too long, or has what no statement has.
    pub(super) fn new(text: &'t str, parameters: &'t [Value]) -> Parsed<Self> {
        if text.chars().count() > STATEMENT_LENGTH_MAX {
            return Err(StatementError::new(format!("Statement is longer than {STATEMENT_LENGTH_MAX} characters")));
        }
        let tokens = lexer::tokens(text)?;
        let closing = closing_parentheses(tokens.iter().map(|token| &text[token.start..token.end]));
        Ok(Self { text, tokens, at: 0, closing, parameters, used: 0, operators: 0 })
    }

    pub(super) fn token(&self) -> Token {
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    pub(super) fn slice(&self, index: usize) -> &'t str {
        self.tokens.get(index).map_or("", |token| &self.text[token.start..token.end])
    }

    pub(super) fn current(&self) -> &'t str {
        self.slice(self.at)
    }

    pub(super) fn is(&self, symbol: &str) -> bool {
        self.token().kind == Kind::Symbol && self.current() == symbol
    }

    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.token().kind == Kind::Word && self.current().eq_ignore_ascii_case(keyword)
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    /// Is the current word one that stands for no attribute?
    pub(super) fn is_any_keyword(&self) -> bool {
        KEYWORDS.iter().any(|keyword| self.is_keyword(keyword))
    }

    pub(super) fn expect(&mut self, symbol: &str, what: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.malformed(what)) }
    }

    pub(super) fn expect_keyword(&mut self, keyword: &str) -> Parsed<()> {
        if self.take_keyword(keyword) { Ok(()) } else { Err(self.malformed(&format!("Expected {keyword}"))) }
    }

    /// The statement cannot be read from the current token on.
    pub(super) fn malformed(&self, what: &str) -> StatementError {
        let token = self.token();
        malformed(what, self.text, token.start, token.end)
    }

    /// `line:column:length` of a token.
    pub(super) fn place(&self, index: usize) -> String {
        self.tokens.get(index).map_or_else(String::new, |token| place(self.text, token.start, token.end))
    }

    /// A whole statement.
    pub(super) fn statement(mut self) -> Parsed<Statement> {
        let statement = if self.take_keyword("SELECT") {
            Statement::Select(self.select()?)
        } else if self.take_keyword("INSERT") {
            self.insert()?
        } else if self.take_keyword("UPDATE") {
            let table = self.table("Expected identifier for simple path")?;
            let actions = self.actions()?;
            let filter = self.filter()?;
            self.update(table, actions, filter)?
        } else if self.take_keyword("FROM") {
            let table = self.table("Expected identifier for simple path")?;
            let filter = self.filter()?;
            let actions = self.actions()?;
            self.update(table, actions, filter)?
        } else if self.take_keyword("DELETE") {
            self.delete()?
        } else if self.is_keyword("EXISTS") && self.slice(self.at + 1) == "(" {
            self.at += 2;
            self.expect_keyword("SELECT")?;
            let select = self.select()?;
            self.expect(")", "Expected RIGHT_PAREN")?;
            Statement::Exists(select)
        } else {
            return Err(self.malformed("Expected data manipulation"));
        };
        self.take(";");
        if self.token().kind != Kind::End {
            return Err(self.malformed("Unexpected token after expression"));
        }
        if self.used != self.parameters.len() {
            return Err(StatementError::new(format!(
                "Number of parameters in request and statement don't match: the statement has {}, the request {}",
                self.used,
                self.parameters.len()
            )));
        }
        Ok(statement)
    }

    /// Behind `SELECT`.
    fn select(&mut self) -> Parsed<Select> {
        let projection = if self.take("*") { None } else { Some(self.projection()?) };
        self.expect_keyword("FROM")?;
        let mut names = self.names("Unexpected term")?;
        if names.len() > 2 {
            return Err(StatementError::new("A path may contain at most 2 components in the FROM clause"));
        }
        let index = if names.len() == 2 { names.pop() } else { None };
        let table = names.pop().unwrap_or_default();
        let filter = self.filter()?;
        let mut order = Vec::new();
        if self.take_keyword("ORDER") {
            self.expect_keyword("BY")?;
            loop {
                let name = self.name("Expected identifier for ORDER BY")?;
                let down = self.take_keyword("DESC");
                if !down {
                    self.take_keyword("ASC");
                }
                order.push((name, down));
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok(Select { table, index, projection, filter, order })
    }

    fn projection(&mut self) -> Parsed<Projection> {
        let mut paths = Vec::new();
        loop {
            if self.token().kind == Kind::Word && self.slice(self.at + 1) == "(" {
                return Err(StatementError::new(format!("Unexpected path component at {}", self.place(self.at))));
            }
            paths.push(self.path()?);
            if self.is_keyword("AS") {
                return Err(StatementError::new("Aliasing is not supported"));
            }
            if !self.take(",") {
                break;
            }
        }
        let collision = collision(&paths);
        let projection = Projection::of_columns(paths)
            .map_err(|name| StatementError::new(format!("Duplicate identifiers in select clause: {name}")))?;
        collision.map_or(Ok(projection), |collision| Err(StatementError::new(collision)))
    }

    fn insert(&mut self) -> Parsed<Statement> {
        self.expect_keyword("INTO")?;
        let mut names = self.simple_names("Expected identifier for simple path")?;
        let table = names.pop().filter(|_| names.is_empty()).ok_or_else(one_component)?;
        if !self.is_keyword("VALUE") {
            let leftover = self.token().kind == Kind::Word && !self.is_keyword("VALUES");
            return Err(self.malformed(if leftover { "Unexpected token after expression" } else { "Expected VALUE" }));
        }
        self.at += 1;
        Ok(Statement::Insert { table, item: self.item()? })
    }

    fn update(&mut self, table: String, actions: Vec<Action>, filter: Option<Condition>) -> Parsed<Statement> {
        if let Some(collision) = collision(actions.iter().map(Action::path)) {
            return Err(StatementError::new(collision));
        }
        let returning = self.returning()?;
        Ok(Statement::Update { table, update: Update::new(actions), filter, returning })
    }

    fn delete(&mut self) -> Parsed<Statement> {
        self.expect_keyword("FROM")?;
        let table = self.table("Expected identifier for simple path")?;
        let filter = self.filter()?;
        let returning = self.returning()?;
        if let Some(clause) = match returning {
            None | Some(Returning::AllOld) => None,
            Some(Returning::AllNew) => Some("ALL NEW"),
            Some(Returning::ModifiedOld) => Some("MODIFIED OLD"),
            Some(Returning::ModifiedNew) => Some("MODIFIED NEW"),
        } {
            return Err(StatementError::new(format!(
                "Invalid returning clause: RETURNING {clause} *. Only RETURNING ALL OLD * is allowed in DELETE statements."
            )));
        }
        Ok(Statement::Delete { table, filter, returning })
    }

    fn returning(&mut self) -> Parsed<Option<Returning>> {
        if !self.take_keyword("RETURNING") {
            return Ok(None);
        }
        let all = self.take_keyword("ALL");
        if !all {
            self.expect_keyword("MODIFIED")?;
        }
        let old = self.take_keyword("OLD");
        if !old {
            self.expect_keyword("NEW")?;
        }
        self.expect("*", "Expected STAR")?;
        Ok(Some(match (all, old) {
            (true, true) => Returning::AllOld,
            (true, false) => Returning::AllNew,
            (false, true) => Returning::ModifiedOld,
            (false, false) => Returning::ModifiedNew,
        }))
    }

    /// `SET` and `REMOVE`, as often as they come.
    fn actions(&mut self) -> Parsed<Vec<Action>> {
        let mut actions = Vec::new();
        loop {
            let set = self.is_keyword("SET");
            if !set && !self.is_keyword("REMOVE") {
                break;
            }
            self.at += 1;
            loop {
                let path = self.path()?;
                actions.push(if set {
                    self.expect("=", "Expected EQ")?;
                    self.set(path)?
                } else {
                    Action::Remove(path)
                });
                if !self.take(",") {
                    break;
                }
            }
        }
        if actions.is_empty() {
            return Err(self.malformed("Expected SET or REMOVE"));
        }
        Ok(actions)
    }

    fn filter(&mut self) -> Parsed<Option<Condition>> {
        if !self.take_keyword("WHERE") {
            return Ok(None);
        }
        Ok(Some(Condition { tree: self.condition()? }))
    }

    /// A table's name, without an index.
    fn table(&mut self, absent: &str) -> Parsed<String> {
        let mut names = self.names(absent)?;
        names.pop().filter(|_| names.is_empty()).ok_or_else(one_component)
    }

    /// Names joined by points, and no alias behind them.
    fn names(&mut self, absent: &str) -> Parsed<Vec<String>> {
        let names = self.simple_names(absent)?;
        let alias = match self.token().kind {
            Kind::Quoted => true,
            Kind::Word => !self.is_any_keyword(),
            _ => false,
        };
        if alias { Err(StatementError::new("Aliasing is not supported")) } else { Ok(names) }
    }

    fn simple_names(&mut self, absent: &str) -> Parsed<Vec<String>> {
        let mut names = vec![self.name(absent)?];
        while self.take(".") {
            names.push(self.name("Invalid path dot component")?);
        }
        check_named(names.iter())?;
        Ok(names)
    }

    /// A name, quoted or not.
    fn name(&mut self, absent: &str) -> Parsed<String> {
        let name = match self.token().kind {
            Kind::Quoted => unquoted(self.current()),
            Kind::Word if !self.is_any_keyword() => self.current().to_owned(),
            _ => return Err(self.malformed(absent)),
        };
        self.at += 1;
        Ok(name)
    }

    /// A path: `a."b c".d[0]['e']`.
    pub(super) fn path(&mut self) -> Parsed<Path> {
        let start = self.at;
        let mut path = Path::attribute(self.name("Unexpected term")?);
        loop {
            if self.take(".") {
                path.steps.push(Step::Name(self.name("Invalid path dot component")?));
            } else if self.take("[") {
                let step = match self.token().kind {
                    Kind::Text => Step::Name(unquoted(self.current())),
                    Kind::Number => Step::Index(
                        self.current()
                            .parse::<u32>()
                            .ok()
                            .and_then(|index| index.try_into().ok())
                            .ok_or_else(|| self.malformed("Invalid list index"))?,
                    ),
                    _ => return Err(self.malformed("Invalid path component")),
                };
                self.at += 1;
                self.expect("]", "Expected RIGHT_BRACKET")?;
                path.steps.push(step);
            } else {
                break;
            }
        }
        check_named(std::iter::once(&path.name).chain(path.steps.iter().filter_map(|step| match step {
            Step::Name(name) => Some(name),
            Step::Index(_) => None,
        })))?;
        if path.steps.len() > DEPTH_MAX {
            return Err(StatementError::new(format!(
                "The document path has too many nesting levels; nesting levels: {} at {}",
                path.steps.len() + 1,
                self.place(start)
            )));
        }
        Ok(path)
    }
}

fn one_component() -> StatementError {
    StatementError::new("An index cannot be written to: name the table only")
}
