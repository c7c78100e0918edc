//! The text form: a recursive descent parser.
//!
//! ```text
//! condition = all { "or" all }
//! all       = one { "and" one }
//! one       = "(" condition ")" | "tags" "contains" TAG | "acquired" "equals" ( "true" | "false" )
//! TAG       = "…" or '…' with \ before a quote or a \, or a bare word
//! ```

use super::{Condition, InvalidCondition};

/// Parentheses in parentheses; more would be a mistake, and could exhaust the stack.
const DEEPEST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Quoted(String),
}

struct Parser<'a> {
    text: &'a str,
    /// Each with its place, in characters from 1.
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    end: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Condition, InvalidCondition> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        text,
        tokens: tokens.into_iter().peekable(),
        end: text.chars().count() + 1,
        depth: 0,
    };
    let condition = parser.any()?;
    match parser.tokens.peek() {
        None => Ok(condition),
        Some(_) => Err(parser.expected("\"and\", \"or\" or the end")),
    }
}

pub(super) fn quoted(tag: &str) -> String {
    format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Condition, InvalidCondition> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(group(parts, Condition::Or))
    }

    fn all(&mut self) -> Result<Condition, InvalidCondition> {
        let mut parts = vec![self.one()?];
        while self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(group(parts, Condition::And))
    }

    fn one(&mut self) -> Result<Condition, InvalidCondition> {
        if self.take(&Token::Open) {
            return self.inner();
        }
        if self.take_word("tags") {
            self.need_word("contains")?;
            return self.tag().map(Condition::TagsContain);
        }
        if self.take_word("acquired") {
            self.need_word("equals")?;
            return self.truth().map(Condition::AcquiredEquals);
        }
        Err(self.expected("\"tags\", \"acquired\" or \"(\""))
    }

    fn inner(&mut self) -> Result<Condition, InvalidCondition> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.expected("fewer parentheses in parentheses"));
        }
        let condition = self.any()?;
        self.depth -= 1;
        if self.take(&Token::Close) {
            Ok(condition)
        } else {
            Err(self.expected("\"and\", \"or\" or \")\""))
        }
    }

    fn tag(&mut self) -> Result<String, InvalidCondition> {
        let text = |(_, token): &(usize, Token)| match token {
            Token::Word(text) | Token::Quoted(text) => Some(text.clone()),
            _ => None,
        };
        let tag = self.tokens.peek().and_then(text);
        let tag = tag.ok_or_else(|| self.expected("a tag, such as \"prod\""))?;
        self.tokens.next();
        Ok(tag)
    }

    fn truth(&mut self) -> Result<bool, InvalidCondition> {
        if self.take_word("true") {
            Ok(true)
        } else if self.take_word("false") {
            Ok(false)
        } else {
            Err(self.expected("true or false"))
        }
    }

    fn need_word(&mut self, word: &str) -> Result<(), InvalidCondition> {
        if self.take_word(word) {
            Ok(())
        } else {
            Err(self.expected(&format!("{word:?}")))
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.take(&Token::Word(word.to_owned()))
    }

    fn take(&mut self, token: &Token) -> bool {
        self.tokens.next_if(|(_, next)| next == token).is_some()
    }

    fn expected(&mut self, what: &str) -> InvalidCondition {
        let (at, found) = match self.tokens.peek() {
            None => (self.end, "the end".to_owned()),
            Some((at, token)) => (*at, token.shown()),
        };
        wrong(self.text, at, format!("expected {what}, found {found}"))
    }
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Open => "\"(\"".to_owned(),
            Self::Close => "\")\"".to_owned(),
            Self::Word(word) => format!("{word:?}"),
            Self::Quoted(text) => quoted(text),
        }
    }
}

fn group(mut parts: Vec<Condition>, kind: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            kind(parts)
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, InvalidCondition> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().zip(1..).peekable();
    while let Some((c, at)) = chars.next() {
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '"' | '\'' => {
                let quoted = quoted_text(&mut chars, c);
                Token::Quoted(
                    quoted.ok_or_else(|| wrong(text, at, format!("this {c} is never closed")))?,
                )
            }
            c => {
                let mut word = String::from(c);
                let goes_on = |c: char| !c.is_whitespace() && !"()\"'".contains(c);
                while let Some((c, _)) = chars.next_if(|(c, _)| goes_on(*c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
        };
        tokens.push((at, token));
    }
    Ok(tokens)
}

fn quoted_text(chars: &mut impl Iterator<Item = (char, usize)>, quote: char) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()?.0 {
            c if c == quote => return Some(text),
            '\\' => text.push(chars.next()?.0),
            c => text.push(c),
        }
    }
}

fn wrong(text: &str, at: usize, reason: String) -> InvalidCondition {
    InvalidCondition {
        text: text.to_owned(),
        at: Some(at),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_binds_more_than_or() {
        let tag = |tag: &str| Condition::TagsContain(tag.to_owned());
        let read = |text: &str| parse(text).unwrap();
        let free = Condition::AcquiredEquals(false);
        assert_eq!(
            read(r#"tags contains "a" or tags contains 'b' and acquired equals false"#),
            Condition::Or(vec![tag("a"), Condition::And(vec![tag("b"), free.clone()])])
        );
        assert_eq!(
            read("(tags contains a or tags contains b)and acquired equals false"),
            Condition::And(vec![Condition::Or(vec![tag("a"), tag("b")]), free])
        );
        assert_eq!(read("((tags contains \"and\"))"), tag("and"));
        assert_eq!(read(r#"tags contains "a\"b\\""#), tag("a\"b\\"));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let cases = [
            (
                "",
                "at character 1: expected \"tags\", \"acquired\" or \"(\", found the end",
            ),
            (
                "tags",
                "at character 5: expected \"contains\", found the end",
            ),
            (
                "tags equals x",
                "at character 6: expected \"contains\", found \"equals\"",
            ),
            (
                "tags contains",
                "at character 14: expected a tag, such as \"prod\", found the end",
            ),
            (
                "acquired equals yes",
                "at character 17: expected true or false, found \"yes\"",
            ),
            (
                "tags contains ä tags",
                "at character 17: expected \"and\", \"or\" or the end, found \"tags\"",
            ),
            (
                "(tags contains a",
                "at character 17: expected \"and\", \"or\" or \")\", found the end",
            ),
            (
                "tags contains \"a",
                "at character 15: this \" is never closed",
            ),
            (
                ")",
                "at character 1: expected \"tags\", \"acquired\" or \"(\", found \")\"",
            ),
        ];
        for (text, message) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.ends_with(message), "{text}: {error}");
        }
        let deep = "(".repeat(100_000);
        assert!(
            parse(&deep)
                .unwrap_err()
                .to_string()
                .contains("fewer parentheses")
        );
    }
}
