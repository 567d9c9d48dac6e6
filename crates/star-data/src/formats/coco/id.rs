//! Ids: most are numbers, some are numbers written as text or fractions, some are names.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// An id; `1`, `1.0` and `"1"` are the same one, `"001"` is another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub(super) enum Id {
    Number(i64),
    Name(String),
}

impl Id {
    fn of_text(text: &str) -> Self {
        let plain = text.strip_suffix(".0").unwrap_or(text);
        let number = plain.parse::<i64>().ok().filter(|number| number.to_string() == plain);
        number.map_or_else(|| Self::Name(text.to_string()), Self::Number)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Id;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an id: a number or text")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(i64::try_from(number).map_or_else(|_| Id::Name(number.to_string()), Id::Number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Id, E> {
        Ok(Id::of_text(&number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id::of_text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_id_however_it_is_written() {
        let id = |text: &str| serde_json::from_str::<Id>(text).unwrap();
        for text in ["7", "7.0", "\"7\"", "\"7.0\""] {
            assert_eq!(id(text), Id::Number(7), "{text}");
        }
        for text in ["\"007\"", "\"a\"", "\"+7\"", "\"\"", "1.5", "18446744073709551615"] {
            assert!(matches!(id(text), Id::Name(_)), "{text}");
        }
        assert_eq!(id("-3").to_string(), "-3");
        assert!(
            serde_json::from_str::<Id>("[1]").unwrap_err().to_string().contains("an id: a number or text")
        );
    }
}
