//! Tells a Rust file's code from its comments and strings, without parsing it: every rule that
//! counts braces or looks for words would otherwise stumble over a `'{'` or a `"fn"`.
//!
//! Both halves keep the shape of the file: the same number of characters in the same lines, with
//! spaces where the other half stands, so a position in one is a position in the text.

use std::ops::Range;

/// A Rust file in two halves.
#[derive(Default)]
pub(crate) struct Masked {
    /// The code; comments, strings and characters are spaces.
    pub(crate) code: Vec<char>,
    /// The comments; all else is spaces.
    pub(crate) comments: Vec<char>,
}

/// What the reader stands in.
enum Place {
    Code,
    LineComment,
    /// With its depth: Rust's block comments nest.
    BlockComment(usize),
    /// A string that knows escapes.
    Text,
    /// A raw string, with the number of `#` that end it.
    Raw(usize),
}

impl Masked {
    /// The two halves of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
        let mut masked = Masked {
            code: chars.iter().map(blank).collect(),
            comments: chars.iter().map(blank).collect(),
        };
        let mut place = Place::Code;
        let mut at = 0;
        while at < chars.len() {
            let (next, end) = step(&chars, at, &place);
            let from = match (&place, &next) {
                (Place::LineComment | Place::BlockComment(_), _)
                | (_, Place::LineComment | Place::BlockComment(_)) => Some(&mut masked.comments),
                (Place::Code, Place::Code) if !is_char(&chars, at) => Some(&mut masked.code),
                _ => None,
            };
            if let Some(half) = from {
                half[at..end].copy_from_slice(&chars[at..end]);
            }
            place = next;
            at = end;
        }
        masked
    }

    /// The comments' lines, with their numbers from 1.
    pub(crate) fn comment_lines(&self) -> Vec<(usize, String)> {
        let lines = self.comments.split(|c| *c == '\n').enumerate();
        lines.map(|(i, line)| (i + 1, line.iter().collect())).collect()
    }

    /// The line of the character at `position`, from 1.
    pub(crate) fn line_of(&self, position: usize) -> usize {
        1 + self.code[..position].iter().filter(|c| **c == '\n').count()
    }

    /// Where the block that opens at or after `from` begins and ends (its braces included); `None`
    /// when a `;` comes first, as after a method without a body.
    pub(crate) fn block(&self, from: usize) -> Option<Range<usize>> {
        let mut open = None;
        let (mut braces, mut brackets) = (0_usize, 0_usize);
        for (at, c) in self.code.iter().enumerate().skip(from) {
            match c {
                '(' | '[' if open.is_none() => brackets += 1,
                ')' | ']' if open.is_none() => brackets = brackets.saturating_sub(1),
                ';' if open.is_none() && brackets == 0 => return None,
                '{' if brackets == 0 || open.is_some() => {
                    open.get_or_insert(at);
                    braces += 1;
                }
                '}' if open.is_some() => {
                    braces -= 1;
                    if braces == 0 {
                        return open.map(|start| start..at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Where the word `word` stands alone in the code.
    pub(crate) fn words(&self, word: &str) -> Vec<usize> {
        let wanted: Vec<char> = word.chars().collect();
        let part = |at: usize| self.code.get(at).is_some_and(|c| is_word(*c));
        let hit = |at: &usize| {
            let before = at.checked_sub(1).is_some_and(part);
            !before && !part(at + wanted.len()) && self.code[*at..].starts_with(&wanted)
        };
        (0..self.code.len()).filter(hit).collect()
    }
}

/// Whether `c` can stand in an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The place after the token at `at`, and where that token ends.
fn step(chars: &[char], at: usize, place: &Place) -> (Place, usize) {
    let starts = |what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    match place {
        Place::Code if starts("//") => (Place::LineComment, at + 2),
        Place::Code if starts("/*") => (Place::BlockComment(1), at + 2),
        Place::Code if starts("\"") => (Place::Text, at + 1),
        Place::Code => code_step(chars, at),
        Place::LineComment if starts("\n") => (Place::Code, at + 1),
        Place::LineComment => (Place::LineComment, at + 1),
        Place::BlockComment(1) if starts("*/") => (Place::Code, at + 2),
        Place::BlockComment(depth) if starts("*/") => (Place::BlockComment(depth - 1), at + 2),
        Place::BlockComment(depth) if starts("/*") => (Place::BlockComment(depth + 1), at + 2),
        Place::BlockComment(depth) => (Place::BlockComment(*depth), at + 1),
        Place::Text if starts("\\") => (Place::Text, (at + 2).min(chars.len())),
        Place::Text if starts("\"") => (Place::Code, at + 1),
        Place::Text => (Place::Text, at + 1),
        Place::Raw(marks) if starts(&format!("\"{}", "#".repeat(*marks))) => {
            (Place::Code, at + 1 + marks)
        }
        Place::Raw(marks) => (Place::Raw(*marks), at + 1),
    }
}

/// A step within code: over a whole word or character, or into a raw string.
fn code_step(chars: &[char], at: usize) -> (Place, usize) {
    if is_char(chars, at) {
        return (Place::Code, char_end(chars, at));
    }
    if !is_word(chars[at]) {
        return (Place::Code, at + 1);
    }
    let end = (at..chars.len()).find(|i| !is_word(chars[*i])).unwrap_or(chars.len());
    let word: String = chars[at..end].iter().collect();
    if matches!(word.as_str(), "r" | "br" | "cr") {
        let marks = chars[end..].iter().take_while(|c| **c == '#').count();
        if chars.get(end + marks) == Some(&'"') {
            return (Place::Raw(marks), end + marks + 1);
        }
    }
    (Place::Code, end)
}

/// Whether a character literal, and no lifetime, begins at `at`.
fn is_char(chars: &[char], at: usize) -> bool {
    chars[at] == '\''
        && (chars.get(at + 1) == Some(&'\\')
            || (chars.get(at + 1) != Some(&'\'') && chars.get(at + 2) == Some(&'\'')))
}

fn char_end(chars: &[char], at: usize) -> usize {
    let after = if chars.get(at + 1) == Some(&'\\') { at + 3 } else { at + 2 };
    (after..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1)
}

#[test]
fn strings_characters_and_comments_are_no_code() {
    let text = r##"a('{', "}{", r#"fn "x" {"#, '\'', b'}') /* { /* } */ */ 'l // {
\u{1F}"##;
    let masked = Masked::of(text);
    let code: String = masked.code.iter().collect();
    let comments: String = masked.comments.iter().collect();
    assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), "a( , , , , b ) 'l \\u{1F}");
    assert_eq!(comments.trim(), "/* { /* } */ */    // {");
    assert_eq!(code.chars().count(), text.chars().count());
}

#[test]
fn a_block_ends_at_its_own_brace() {
    let masked = Masked::of("fn f(a: [u8; 3]) -> u8 { if a { '}' } else { 2 } } fn g();");
    let block = masked.block(0).expect("a block");
    assert_eq!((block.start, block.end), (23, 50));
    assert_eq!(masked.block(51), None);
    assert_eq!(masked.words("fn"), [0, 51]);
}
