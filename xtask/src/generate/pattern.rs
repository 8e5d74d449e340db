//! From the dialect of the models' patterns to that of the `regex` crate.
//!
//! AWS's patterns are Java's: `\w`, `\d` and `\s` are ASCII, `.` excludes all line ends, and characters
//! outside the Basic Multilingual Plane are written as pairs of surrogates. The `regex` crate takes no
//! look-around, which is what makes its time linear in hostile input; the few patterns that
//! use it are listed below with their equals.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

/// Patterns with look-around, and what they mean without it.
const WITHOUT_LOOK_AROUND: &[(&str, &str)] = &[
    // not blank, and on one line
    (r"^(?!\s*$).+", r"[^\n\r\u{85}\u{2028}\u{2029}]*[^ \t\n\x0B\x0C\r\u{85}\u{2028}\u{2029}][^\n\r\u{85}\u{2028}\u{2029}]*"),
    // no two hyphens in a row, none at an end; the shape bounds the length
    (r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", r"[a-z0-9]+(?:-[a-z0-9]+)*"),
    // not only digits
    (r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)", r"[0-9]*[a-zA-Z\-_][0-9a-zA-Z\-_]*"),
    // no dot at the end
    (r"[0-9A-Za-z\.\-_]*(?<!\.)", r"(?:[0-9A-Za-z.\-_]*[0-9A-Za-z\-_])?"),
    // not beginning with `system.`
    (
        r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)",
        r"(?:[_a-rt-zA-Z0-9]|s(?:[^y$]|y(?:[^s$]|s(?:[^t$]|t(?:[^e$]|e(?:[^m$]|m[^.$]))))))[^$]*|s(?:y(?:s(?:t(?:em?)?)?)?)?",
    ),
];

/// The text of a regular expression that means what `pattern` means to AWS.
pub(super) fn translate(pattern: &str) -> Result<String> {
    if let Some((_, equal)) = WITHOUT_LOOK_AROUND.iter().find(|(aws, _)| *aws == pattern) {
        return Ok((*equal).to_owned());
    }
    if ["(?!", "(?=", "(?<!", "(?<="].iter().any(|look| pattern.contains(look)) {
        bail!(
            "the pattern {pattern:?} looks around, which the regex crate cannot: \
             add its equal to WITHOUT_LOOK_AROUND in xtask/src/generate/pattern.rs"
        );
    }
    let characters: Vec<char> = pattern.chars().collect();
    let mut translator = Translator { pattern: &characters, at: 0, in_class: false, out: String::new() };
    translator.run().with_context(|| format!("translating the pattern {pattern:?}"))?;
    Ok(translator.out)
}

struct Translator<'a> {
    pattern: &'a [char],
    at: usize,
    in_class: bool,
    out: String,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some(&c) = self.pattern.get(self.at) {
            self.at += 1;
            match c {
                '\\' => self.escape()?,
                '[' if !self.in_class => {
                    self.in_class = true;
                    self.out.push('[');
                    if self.pattern.get(self.at) == Some(&'^') {
                        self.at += 1;
                        self.out.push('^');
                    }
                }
                ']' if self.in_class => {
                    self.in_class = false;
                    self.out.push(']');
                }
                // Set operators and nested classes of the regex crate, which Java would take literally.
                '[' | '&' | '~' if self.in_class => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '.' if !self.in_class => self.out.push_str(r"[^\n\r\u{85}\u{2028}\u{2029}]"),
                _ => self.out.push(c),
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<()> {
        let Some(&c) = self.pattern.get(self.at) else {
            bail!("it ends with a backslash");
        };
        self.at += 1;
        let in_class = self.in_class;
        match c {
            'u' => {
                let low = self.unit()?;
                let code = if (0xD800..0xDC00).contains(&low) {
                    if self.pattern.get(self.at) != Some(&'\\') || self.pattern.get(self.at + 1) != Some(&'u') {
                        bail!("a high surrogate stands alone");
                    }
                    self.at += 2;
                    let second = self.unit()?;
                    0x10000 + ((low - 0xD800) << 10) + second.wrapping_sub(0xDC00)
                } else {
                    low
                };
                write!(self.out, "\\u{{{code:X}}}")?;
            }
            'w' => self.out.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
            'd' => self.out.push_str(if in_class { "0-9" } else { "[0-9]" }),
            's' => self.out.push_str(if in_class { r" \t\n\x0B\x0C\r" } else { r"[ \t\n\x0B\x0C\r]" }),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            'D' => self.out.push_str("[^0-9]"),
            'S' => self.out.push_str(r"[^ \t\n\x0B\x0C\r]"),
            _ => {
                self.out.push('\\');
                self.out.push(c);
            }
        }
        Ok(())
    }

    /// The four hexadecimal digits after `\u`. STS writes `\u10000-\u10FFFF` with more; five or six
    /// digits are taken where they are followed by `-` or `]`.
    fn unit(&mut self) -> Result<u32> {
        let digits: String = self.pattern[self.at..].iter().take(6).take_while(|c| c.is_ascii_hexdigit()).collect();
        let after = self.pattern.get(self.at + digits.len());
        let digits = if digits.len() > 4 && !matches!(after, Some('-' | ']')) { &digits[..4] } else { digits.as_str() };
        self.at += digits.len();
        u32::from_str_radix(digits, 16).with_context(|| format!("\\u{digits} is not a character"))
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn java_patterns_become_rust_patterns() {
        for (java, rust) in [
            (
                r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*",
                r"[\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}\r\n\t]*",
            ),
            (r"[\u00A0-\uFFFD\u10000-\u10FFFF]+", r"[\u{A0}-\u{FFFD}\u{10000}-\u{10FFFF}]+"),
            (r"[\w-]+\d", r"[0-9A-Za-z_-]+[0-9]"),
            (r"[a[&]", r"[a\[\&]"),
            (r"a.b", r"a[^\n\r\u{85}\u{2028}\u{2029}]b"),
        ] {
            assert_eq!(translate(java).unwrap(), rust);
        }
        assert!(translate("(?=x)y").is_err());
        assert!(translate(r"\uD800x").is_err());
    }
}
