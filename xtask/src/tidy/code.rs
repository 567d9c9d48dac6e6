//! Rust source seen as code: comments and the insides of literals blanked, lines kept.

/// `text` with comments and the insides of strings and characters replaced by spaces; line breaks stay where they are.
pub(super) fn code(text: &str) -> String {
    let mut blank = Blank { rest: text, code: String::with_capacity(text.len()) };
    while !blank.rest.is_empty() {
        blank.step();
    }
    blank.code
}

/// The part of `code` in front of its unit tests.
pub(super) fn without_tests(code: &str) -> &str {
    code.split_once("#[cfg(test)]").map_or(code, |(code, _)| code)
}

/// Whether `word` stands in `line` as a whole word.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(of_a_word) && !line[at + word.len()..].starts_with(of_a_word))
}

struct Blank<'a> {
    rest: &'a str,
    code: String,
}

impl Blank<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment(self.rest));
        } else if let Some((open, close)) = raw_string(self.rest) {
            self.keep(open);
            self.blank(self.rest.find(&close).unwrap_or(self.rest.len()));
            self.keep(close.len().min(self.rest.len()));
        } else if self.rest.starts_with('"') {
            self.keep(1);
            self.blank(quoted(self.rest, '"'));
            self.keep(self.rest.len().min(1));
        } else if let Some(inside) = character(self.rest) {
            self.keep(1);
            self.blank(inside);
            self.keep(1);
        } else {
            self.word();
        }
    }

    /// Keeps a word whole, so that the `r` at its end opens no raw string; else one character.
    fn word(&mut self) {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let one = self.rest.chars().next().map_or(0, char::len_utf8);
        self.keep(end.max(one));
    }

    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.code.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, bytes: usize) {
        let (blanked, rest) = self.rest.split_at(bytes);
        self.code.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// Length of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let step = match rest {
            _ if rest.starts_with("/*") => (2, 1),
            _ if rest.starts_with("*/") => (2, -1),
            _ => (rest.chars().next().map_or(1, char::len_utf8), 0),
        };
        (at, depth) = (at + step.0, depth + step.1);
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of the opening `r#"` that `text` begins with, and what closes it.
fn raw_string(text: &str) -> Option<(usize, String)> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = text[prefix.len()..].find('"')?;
    Some((prefix.len() + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

/// Bytes of `text` in front of the closing `quote`, which a backslash hides.
fn quoted(text: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            _ if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// Bytes inside the character literal that `text` begins with; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        let end = quoted(inside, '\'');
        return (end < inside.len()).then_some(end);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_code_is_not() {
        // `.` stands for each character that is blanked.
        let cases = [
            ("let a = 1; // x!", "let a = 1; ....."),
            ("a /* b /* c */ d */ e", "a ................. e"),
            ("say(\"x \\\" y\", z)", "say(\"......\", z)"),
            ("say(r#\"x \" y\"#, z)", "say(r#\".....\"#, z)"),
            ("say(br\"x\\\", z)", "say(br\"..\", z)"),
            ("for<'a> &'a str; '\"' '\\'' b'x'", "for<'a> &'a str; '.' '..' b'.'"),
            ("var\"x\"", "var\".\""),
            ("a\n//b\n\"c\nd\"", "a\n...\n\".\n.\""),
        ];
        for (text, expected) in cases {
            assert_eq!(code(text), expected.replace('.', " "), "{text}");
        }
    }

    #[test]
    fn unfinished_source_is_read_to_its_end() {
        for text in ["\"abc", "/* abc", "r#\"abc", "'\\", "'", "ä'ö"] {
            assert_eq!(code(text).chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use a::Batch;", "Batch"));
        assert!(!has_word("use a::BatchNorm; let my_Batch;", "Batch"));
        assert!(has_word("BatchNorm::of(Batch)", "Batch"));
    }

    #[test]
    fn unit_tests_are_cut_off() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {}"), "fn a() {}\n");
        assert_eq!(without_tests("fn a() {}"), "fn a() {}");
    }
}
