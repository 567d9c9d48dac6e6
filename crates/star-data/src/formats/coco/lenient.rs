//! Fields as other programs write them: `null` for nothing, `3.0` for 3, `true` for 1.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` is an empty list.
pub(super) fn null_is_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Numbers of which some or all may be `null`, which becomes NaN.
pub(super) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let numbers: Option<Vec<Option<f32>>> = Option::deserialize(deserializer)?;
    Ok(numbers.into_iter().flatten().map(|number| number.unwrap_or(f32::NAN)).collect())
}

/// A whole number, which may be written as a fraction or as text; what is none says nothing.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.filter(|number| (0.0..=f64::from(u32::MAX)).contains(number)).map(|number| number as u32))
}

/// 0 or 1, also as a word.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(set) => u8::from(set),
        Value::Number(number) => u8::from(number.as_f64().is_some_and(|number| number != 0.0)),
        _ => 0,
    })
}

/// Words; what other programs put under the same name is left out.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let Value::Array(items) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(items.iter().filter_map(Value::as_str).map(str::to_string).collect())
}
