//! Texts with wildcards and variables, as policies have them: IAM user guide, "IAM JSON policy elements: Resource" and "…
//! Variables and tags".
//!
//! Patterns and what they are matched with come from strangers, so matching takes time in proportion to the text, whatever the
//! pattern: what lies between two `*` is looked for once, from left to right, and needs no second try.

/// Characters between two `*` at the most, where there is a `?` among them.
const MASKED_MAX: usize = 256;

/// What a pattern's special characters mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// `*` and `?` stand for others.
    pub(super) wildcards: bool,
    /// `${…}` stands for a key of the request's context.
    pub(super) variables: bool,
    /// Case does not matter; the text to match is given in lower case.
    pub(super) fold: bool,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    Literal(String),
    Glob(Vec<Segment>),
    /// With variables: made anew for each request.
    Template(Vec<Part>, Rules),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    Star,
    One,
    Variable { key: String, default: Option<String> },
}

/// What lies between two `*`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Segment {
    Plain(String),
    /// `None` is `?`.
    Masked(Vec<Option<char>>),
}

/// What a variable's name (in lower case) stands for in this request.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Pattern {
    /// The error is what is wrong, in a few words.
    pub(super) fn compile(text: &str, rules: Rules) -> Result<Self, String> {
        let parts = parts(text, rules)?;
        if parts.iter().any(|part| matches!(part, Part::Variable { .. })) {
            return Ok(Self::Template(parts, rules));
        }
        match segments(&parts) {
            mut all if all.len() == 1 && matches!(all[0], Segment::Plain(_)) => match all.pop() {
                Some(Segment::Plain(text)) => Ok(Self::Literal(text)),
                _ => Ok(Self::Glob(all)),
            },
            all => match all.iter().any(|segment| matches!(segment, Segment::Masked(mask) if mask.len() > MASKED_MAX)) {
                true => Err(format!("more than {MASKED_MAX} characters with '?' among them between two '*'")),
                false => Ok(Self::Glob(all)),
            },
        }
    }

    /// Whether `text` matches. `None` where a variable has no value in this request: then it matches nothing.
    pub(super) fn matches(&self, text: &str, lookup: Lookup<'_>) -> Option<bool> {
        match self {
            Self::Literal(literal) => Some(literal == text),
            Self::Glob(segments) => Some(glob(segments, text)),
            Self::Template(parts, rules) => {
                let filled: Option<Vec<Part>> = parts.iter().map(|part| fill(part, *rules, lookup)).collect();
                Some(glob(&segments(&filled?), text))
            }
        }
    }
}

fn fill(part: &Part, rules: Rules, lookup: Lookup<'_>) -> Option<Part> {
    let Part::Variable { key, default } = part else { return Some(part.clone()) };
    let value = lookup(key).or_else(|| default.clone())?;
    // What the request says is text: a `*` in it is a star.
    Some(Part::Text(if rules.fold { value.to_lowercase() } else { value }))
}

fn parts(text: &str, rules: Rules) -> Result<Vec<Part>, String> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    let flush = |plain: &mut String, parts: &mut Vec<Part>| {
        if !plain.is_empty() {
            let text = std::mem::take(plain);
            parts.push(Part::Text(if rules.fold { text.to_lowercase() } else { text }));
        }
    };
    while let Some(c) = rest.chars().next() {
        if rules.variables && rest.starts_with("${") {
            let end = rest.find('}').ok_or("a variable begins with '${' and has no '}'")?;
            match variable(&rest[2..end])? {
                Part::Text(text) => plain.push_str(&text),
                part => {
                    flush(&mut plain, &mut parts);
                    parts.push(part);
                }
            }
            rest = &rest[end + 1..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '*' | '?' if rules.wildcards => {
                flush(&mut plain, &mut parts);
                parts.push(if c == '*' { Part::Star } else { Part::One });
            }
            _ => plain.push(c),
        }
    }
    flush(&mut plain, &mut parts);
    Ok(parts)
}

/// `aws:username`, `aws:PrincipalTag/team, 'company-wide'`, or one of the three characters that can be escaped.
fn variable(inside: &str) -> Result<Part, String> {
    if matches!(inside, "*" | "?" | "$") {
        return Ok(Part::Text(inside.into()));
    }
    let (key, default) = match inside.split_once(',') {
        None => (inside.trim(), None),
        Some((key, default)) => {
            let default = default.trim();
            let quoted = default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            let quoted = quoted.ok_or_else(|| format!("the default value of ${{{inside}}} must stand in single quotes"))?;
            (key.trim(), Some(quoted.to_owned()))
        }
    };
    if key.is_empty() {
        return Err("a variable '${}' has no name".into());
    }
    Ok(Part::Variable { key: key.to_lowercase(), default })
}

fn segments(parts: &[Part]) -> Vec<Segment> {
    let (mut segments, mut mask) = (Vec::new(), Vec::new());
    let end = |mask: &mut Vec<Option<char>>, segments: &mut Vec<Segment>| {
        let mask = std::mem::take(mask);
        let plain: Option<String> = mask.iter().copied().collect();
        segments.push(plain.map_or(Segment::Masked(mask), Segment::Plain));
    };
    for part in parts {
        match part {
            Part::Text(text) => mask.extend(text.chars().map(Some)),
            Part::One => mask.push(None),
            Part::Star => end(&mut mask, &mut segments),
            Part::Variable { .. } => {} // Filled before.
        }
    }
    end(&mut mask, &mut segments);
    segments
}

fn glob(segments: &[Segment], text: &str) -> bool {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return false };
    let Some(mut rest) = first.after_start(text) else { return false };
    if segments.len() == 1 {
        return rest.is_empty();
    }
    for segment in &segments[1..segments.len() - 1] {
        match segment.after_first(rest) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    last.ends(rest)
}

impl Segment {
    /// What follows it, where `text` begins with it.
    fn after_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Plain(plain) => text.strip_prefix(plain.as_str()),
            Self::Masked(mask) => {
                let mut characters = text.chars();
                let matches = mask.iter().all(|wanted| match (characters.next(), wanted) {
                    (Some(_), None) => true,
                    (Some(found), Some(wanted)) => found == *wanted,
                    (None, _) => false,
                });
                matches.then_some(characters.as_str())
            }
        }
    }

    /// What follows its first occurrence.
    fn after_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Plain(plain) => text.find(plain.as_str()).map(|at| &text[at + plain.len()..]),
            Self::Masked(_) => text.char_indices().find_map(|(at, _)| self.after_start(&text[at..])),
        }
    }

    fn ends(&self, text: &str) -> bool {
        match self {
            Self::Plain(plain) => text.ends_with(plain.as_str()),
            Self::Masked(mask) => {
                let Some(at) = text.char_indices().rev().nth(mask.len() - 1).map(|(at, _)| at) else { return false };
                self.after_start(&text[at..]).is_some_and(str::is_empty)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Rules = Rules { wildcards: true, variables: true, fold: false };

    fn matches(pattern: &str, text: &str) -> bool {
        let lookup = |key: &str| match key {
            "aws:username" => Some("ann".to_owned()),
            "aws:star" => Some("*".to_owned()),
            _ => None,
        };
        Pattern::compile(pattern, ALL).unwrap().matches(text, &lookup).unwrap_or(false)
    }

    #[test]
    fn stars_and_question_marks_stand_for_others() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/at:all", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("?", "", false),
            ("?", "ü", true),
            ("?", "ab", false),
            ("a?c*", "abcd", true),
            ("*?b?*", "xabcx", true),
            ("*?", "", false),
            ("*??", "a", false),
            ("*?b", "b", false),
            ("*?b", "ab", true),
            ("**", "x", true),
            ("*.c?v", "x.csv", true),
            ("arn:aws:s3:::raw/*", "arn:aws:s3:::raw/a/b", true),
            ("arn:aws:s3:::raw/*", "arn:aws:s3:::raw", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn variables_are_replaced_by_text() {
        for (pattern, text, expected) in [
            ("home/${aws:username}/*", "home/ann/x", true),
            ("home/${AWS:UserName}/*", "home/ann/x", true),
            ("home/${aws:username}/*", "home/bob/x", false),
            ("${aws:none}", "", false),
            ("${aws:none, 'all'}/*", "all/x", true),
            ("${aws:star}", "anything", false),
            ("${aws:star}", "*", true),
            ("a${*}b", "a*b", true),
            ("a${*}b", "axb", false),
            ("${?}${$}", "?$", true),
            ("$x{", "$x{", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        for wrong in ["${aws:username", "${}", "${ , 'x'}", "${a,b}"] {
            assert!(Pattern::compile(wrong, ALL).is_err(), "{wrong}");
        }
        let plain = Rules { variables: false, ..ALL };
        assert_eq!(Pattern::compile("${aws:username", plain).unwrap(), Pattern::Literal("${aws:username".into()));
    }

    /// Backtracking matchers take centuries for this.
    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_text() {
        let pattern = "a*".repeat(20_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(100_000)));
        assert!(matches(&pattern, &("a".repeat(100_000) + "b")));
        let masked = "?a*".repeat(5_000) + "b";
        assert!(!matches(&masked, &"a".repeat(50_000)));
        assert!(Pattern::compile(&"?".repeat(257), ALL).is_err());
    }
}
