//! Trino's syntax in terms of what the parser reads: on tokens, before it sees them.
//!
//! | Trino | the parser |
//! |---|---|
//! | `VALUES 1, 2` | `VALUES (1), (2)` |
//! | `TABLE t` | `SELECT * FROM t` |
//! | `= ANY (VALUES 1)` | `= ANY (SELECT * FROM (VALUES (1)))` |
//! | `t FOR VERSION AS OF 1` | `t VERSION AS OF 1` |
//! | `GROUP BY ALL a` | `GROUP BY a` |
//! | `GROUP BY DISTINCT a` | `GROUP BY` [`DISTINCT_SETS`]`, a` |
//!
//! Each token keeps its place, and what is put in has the place of what it stands for.

use super::super::rewrite::MARK;
use super::word;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// The first grouping element of `GROUP BY DISTINCT`.
pub(crate) const DISTINCT_SETS: &str = "\u{1}distinct";
/// The function around a name of a version (a branch or tag) behind `FOR VERSION AS OF`.
pub(crate) const VERSION_NAME: &str = "\u{1}version";

/// Rewrites all of a statement's tokens; white space is gone by then.
pub(super) fn adapt(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut edits = Edits::default();
    for index in 0..tokens.len() {
        match keyword(&tokens, index) {
            Some(Keyword::VALUES) if begins_query(&tokens, index) => values(&tokens, index, &mut edits),
            Some(Keyword::TABLE) if begins_query(&tokens, index) && is_word(&tokens, index + 1) => {
                let span = tokens[index].span;
                edits.replace(
                    index,
                    vec![word("select", Keyword::SELECT, span), at(Token::Mul, span), word("from", Keyword::FROM, span)],
                );
            }
            Some(Keyword::ANY | Keyword::ALL | Keyword::SOME) => quantified(&tokens, index, &mut edits),
            Some(Keyword::FOR) if is_version(&tokens, index) => version(&tokens, index, &mut edits),
            Some(Keyword::BY) if index > 0 && keyword(&tokens, index - 1) == Some(Keyword::GROUP) => {
                grouping(&tokens, index, &mut edits);
            }
            _ => {}
        }
    }
    edits.apply(tokens)
}

/// Tokens to put in before others, and others to leave out.
#[derive(Default)]
struct Edits {
    before: Vec<(usize, TokenWithSpan)>,
    removed: Vec<usize>,
}

impl Edits {
    fn insert(&mut self, index: usize, token: TokenWithSpan) {
        self.before.push((index, token));
    }

    fn replace(&mut self, index: usize, tokens: Vec<TokenWithSpan>) {
        self.before.extend(tokens.into_iter().map(|token| (index, token)));
        self.removed.push(index);
    }

    fn apply(mut self, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
        if self.before.is_empty() && self.removed.is_empty() {
            return tokens;
        }
        // What closes stands before what opens at the same place: `(1), (2)`.
        self.before.sort_by_key(|(index, token)| (*index, token.token != Token::RParen));
        self.removed.sort_unstable();
        let mut before = self.before.into_iter().peekable();
        let mut removed = self.removed.into_iter().peekable();
        let mut out = Vec::with_capacity(tokens.len() + before.len());
        for (index, token) in tokens.into_iter().enumerate() {
            while let Some((_, token)) = before.next_if(|(at, _)| *at == index) {
                out.push(token);
            }
            if removed.next_if_eq(&index).is_none() {
                out.push(token);
            }
        }
        out.extend(before.map(|(_, token)| token));
        out
    }
}

fn at(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan { token, span }
}

fn keyword(tokens: &[TokenWithSpan], index: usize) -> Option<Keyword> {
    match tokens.get(index).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

fn is_word(tokens: &[TokenWithSpan], index: usize) -> bool {
    matches!(tokens.get(index).map(|token| &token.token), Some(Token::Word(_)))
}

fn is(tokens: &[TokenWithSpan], index: usize, token: &Token) -> bool {
    tokens.get(index).is_some_and(|found| found.token == *token)
}

/// Whether a query may stand here: at the start, in parentheses, behind a set operator or a list of common tables.
fn begins_query(tokens: &[TokenWithSpan], index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return true };
    match keyword(tokens, before) {
        Some(Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::ALL | Keyword::DISTINCT | Keyword::AS) => true,
        Some(_) => false,
        None => matches!(tokens[before].token, Token::LParen | Token::RParen | Token::SemiColon),
    }
}

/// Each item of `VALUES` that is not in parentheses gets them.
fn values(tokens: &[TokenWithSpan], index: usize, edits: &mut Edits) {
    let mut start = index + 1;
    let mut depth = 0usize;
    let mut at_index = start;
    loop {
        let token = tokens.get(at_index).map(|token| &token.token);
        let ends = match token {
            None | Some(Token::SemiColon | Token::EOF) => true,
            Some(Token::RParen | Token::RBracket) if depth == 0 => true,
            Some(Token::Word(_)) if depth == 0 => matches!(
                keyword(tokens, at_index),
                Some(
                    Keyword::UNION
                        | Keyword::EXCEPT
                        | Keyword::INTERSECT
                        | Keyword::ORDER
                        | Keyword::LIMIT
                        | Keyword::OFFSET
                        | Keyword::FETCH
                )
            ),
            _ => false,
        };
        if ends || (depth == 0 && matches!(token, Some(Token::Comma))) {
            parenthesize(tokens, start, at_index, edits);
            start = at_index + 1;
        }
        if ends {
            return;
        }
        match token {
            Some(Token::LParen | Token::LBracket) => depth += 1,
            Some(Token::RParen | Token::RBracket) => depth -= 1,
            _ => {}
        }
        at_index += 1;
    }
}

fn parenthesize(tokens: &[TokenWithSpan], start: usize, end: usize, edits: &mut Edits) {
    if start >= end {
        return;
    }
    let open = if keyword(tokens, start) == Some(Keyword::ROW) { start + 1 } else { start };
    // A query in parentheses is a value itself.
    let query = matches!(keyword(tokens, open + 1), Some(Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE));
    if !query && is(tokens, open, &Token::LParen) && closing(tokens, open) == Some(end - 1) {
        return;
    }
    edits.insert(start, at(Token::LParen, tokens[start].span));
    edits.insert(end, at(Token::RParen, tokens[end - 1].span));
}

/// Where the parenthesis at `open` closes.
pub(super) fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn quantified(tokens: &[TokenWithSpan], index: usize, edits: &mut Edits) {
    let compares = index > 0
        && matches!(tokens[index - 1].token, Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq);
    let query = matches!(keyword(tokens, index + 2), Some(Keyword::VALUES | Keyword::TABLE));
    if !compares || !query || !is(tokens, index + 1, &Token::LParen) {
        return;
    }
    let Some(close) = closing(tokens, index + 1) else { return };
    let span = tokens[index + 2].span;
    for token in
        [word("select", Keyword::SELECT, span), at(Token::Mul, span), word("from", Keyword::FROM, span), at(Token::LParen, span)]
    {
        edits.insert(index + 2, token);
    }
    edits.insert(close, at(Token::RParen, tokens[close].span));
}

fn is_version(tokens: &[TokenWithSpan], index: usize) -> bool {
    matches!(keyword(tokens, index + 1), Some(Keyword::VERSION | Keyword::TIMESTAMP))
        && keyword(tokens, index + 2) == Some(Keyword::AS)
        && keyword(tokens, index + 3) == Some(Keyword::OF)
}

/// The parser knows no `FOR` here, and only numbers of versions: names go into a call behind `TIMESTAMP`, which takes any expression.
fn version(tokens: &[TokenWithSpan], index: usize, edits: &mut Edits) {
    edits.removed.push(index);
    if keyword(tokens, index + 1) == Some(Keyword::VERSION)
        && let Some(TokenWithSpan { token: Token::SingleQuotedString(_), span }) = tokens.get(index + 4)
    {
        edits.replace(index + 1, vec![word("timestamp", Keyword::TIMESTAMP, tokens[index + 1].span)]);
        edits.insert(index + 4, word(VERSION_NAME, Keyword::NoKeyword, *span));
        edits.insert(index + 4, at(Token::LParen, *span));
        edits.insert(index + 5, at(Token::RParen, *span));
    }
}

fn grouping(tokens: &[TokenWithSpan], index: usize, edits: &mut Edits) {
    let span = tokens[index].span;
    match keyword(tokens, index + 1) {
        Some(Keyword::ALL) => edits.removed.push(index + 1),
        Some(Keyword::DISTINCT) => {
            debug_assert!(DISTINCT_SETS.starts_with(MARK));
            edits.replace(index + 1, vec![word(DISTINCT_SETS, Keyword::NoKeyword, span), at(Token::Comma, span)]);
        }
        _ => {}
    }
}
