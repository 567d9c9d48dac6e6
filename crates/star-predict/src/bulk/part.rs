//! Which shards of the input are this process's.

use std::fmt;
use std::str::FromStr;

/// One of several parts of the shards: every `count`-th from `index` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: usize,
    count: usize,
}

impl Default for Part {
    /// All of them.
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Part {
    /// Whether the shard at `place` in the sorted list belongs to this part.
    pub fn has(self, place: usize) -> bool {
        place % self.count == self.index
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        match text.split_once('/').map(|(index, count)| (number(index), number(count))) {
            Some((Some(index), Some(count))) if index < count => Ok(Self { index, count }),
            Some((Some(index), Some(count))) => Err(format!(
                "part {index} of {count}: parts are counted from 0, so the last is {}",
                count.saturating_sub(1)
            )),
            _ => Err(format!("expected I/N, such as 0/8, got `{text}`")),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_together_have_every_shard_once() {
        for count in 1..7 {
            let parts: Vec<Part> = (0..count).map(|i| format!("{i}/{count}").parse().unwrap()).collect();
            for place in 0..20 {
                assert_eq!(parts.iter().filter(|part| part.has(place)).count(), 1);
            }
        }
        assert!((0..5).all(|place| Part::default().has(place)));
    }

    #[test]
    fn parts_that_are_none_say_what_is_expected() {
        for (text, hint) in [
            ("4/4", "the last is 3"),
            ("0/0", "from 0"),
            ("3", "such as 0/8"),
            ("a/b", "`a/b`"),
            ("-1/2", "I/N"),
        ] {
            assert!(text.parse::<Part>().unwrap_err().contains(hint), "{text}");
        }
        assert_eq!("2/5".parse::<Part>().unwrap().to_string(), "2/5");
    }
}
