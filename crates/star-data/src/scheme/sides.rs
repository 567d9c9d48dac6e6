//! Which keypoints swap under a mirror, by their names: left and right in the usual spellings.

use std::collections::HashMap;

/// What the names of keypoints say about sides.
#[derive(Debug, PartialEq)]
pub(crate) enum Sides {
    /// No name has a side.
    None,
    /// Every name with a side has its other side: these pairs, smaller index first.
    Pairs(Vec<[usize; 2]>),
    /// This keypoint has a side, and no other is its other side.
    Lone(usize),
}

/// Reads `left_x`, `l_x`, `x_l`, `x.L`, `LeftX`, `left x`, `leftx` and, where both are there, `lx` and `rx`.
pub(crate) fn sides(names: &[String]) -> Sides {
    let index = Index::of(names);
    let partners: Vec<Option<usize>> = names.iter().map(|name| index.partner(name)).collect();
    let mut pairs = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match partners[i] {
            Some(j) if i < j && partners[j] == Some(i) => pairs.push([i, j]),
            Some(j) if i > j && partners[j] == Some(i) => {}
            Some(_) => return Sides::Lone(i),
            None if has_side(name) => return Sides::Lone(i),
            None => {}
        }
    }
    if pairs.is_empty() { Sides::None } else { Sides::Pairs(pairs) }
}

/// The names by their parts and as a whole.
struct Index {
    parts: HashMap<Vec<String>, usize>,
    whole: HashMap<String, usize>,
}

impl Index {
    fn of(names: &[String]) -> Self {
        let numbered = || names.iter().enumerate();
        Self {
            parts: numbered().map(|(i, name)| (parts(name), i)).collect(),
            whole: numbered().map(|(i, name)| (name.to_lowercase(), i)).collect(),
        }
    }

    /// The keypoint whose name is this one's with left and right exchanged.
    fn partner(&self, name: &str) -> Option<usize> {
        let parts = parts(name);
        let swapped = |of: &dyn Fn(&str) -> Option<&'static str>| {
            let other: Vec<String> =
                parts.iter().map(|part| of(part).map_or_else(|| part.clone(), str::to_string)).collect();
            (other != parts).then(|| self.parts.get(&other)).flatten().copied()
        };
        let both = |part: &str| word(part).or_else(|| letter(part));
        // In `left_eye_l` both change; in `left_l` of something else only the word may.
        swapped(&both).or_else(|| swapped(&word)).or_else(|| self.partner_of_whole(&name.to_lowercase()))
    }

    /// For names without borders between their parts: `lefteye`, `leye`.
    fn partner_of_whole(&self, name: &str) -> Option<usize> {
        let other = |text: String| (text != name).then(|| self.whole.get(&text)).flatten().copied();
        let words = name.replace("left", "\0").replace("right", "left").replace('\0', "right");
        let letters = || {
            let first = name.get(..1).and_then(letter)?;
            other(format!("{first}{}", &name[1..]))
        };
        other(words).or_else(letters)
    }
}

/// Whether a name says a side, alone: `left_eye`, `lefteye` and `l_eye` do, `upright` and `leye` may mean anything.
fn has_side(name: &str) -> bool {
    let lower = name.to_lowercase();
    let beginning = lower.starts_with("left") || lower.starts_with("right");
    beginning || parts(name).iter().any(|part| word(part).is_some() || letter(part).is_some())
}

fn word(part: &str) -> Option<&'static str> {
    match part {
        "left" => Some("right"),
        "right" => Some("left"),
        _ => None,
    }
}

fn letter(part: &str) -> Option<&'static str> {
    match part {
        "l" => Some("r"),
        "r" => Some("l"),
        _ => None,
    }
}

/// The parts of a name in lower case: between signs and spaces, at capitals, at digits. `LEye2.L` is `l`, `eye`, `2`, `l`.
fn parts(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut parts = vec![String::new()];
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        let capital = c.is_uppercase()
            && (before.is_some_and(char::is_lowercase) || after.is_some_and(|c| c.is_lowercase()));
        let digits = before.is_some_and(|before| before.is_numeric() != c.is_numeric());
        if !c.is_alphanumeric() || capital || digits {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (c.is_alphanumeric(), parts.last_mut()) {
            part.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Sides {
        sides(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn left_and_right_are_read_in_the_usual_spellings() {
        for [a, b] in [
            ["left_eye", "right_eye"],
            ["l_eye", "r_eye"],
            ["eye_l", "eye_r"],
            ["eye.L", "eye.R"],
            ["LeftEye", "RightEye"],
            ["eyeLeft", "eyeRight"],
            ["left eye", "right eye"],
            ["Left-Eye", "Right-Eye"],
            ["lefteye", "righteye"],
            ["LEFT_EYE", "RIGHT_EYE"],
            ["LEye", "REye"],
            ["eyeL", "eyeR"],
            ["leye", "reye"],
            ["le", "re"],
            ["left", "right"],
            ["L", "R"],
            ["L1", "R1"],
            ["left_eye_left_corner", "right_eye_right_corner"],
            ["leftmost", "rightmost"],
        ] {
            assert_eq!(of(&[a, "nose", b]), Sides::Pairs(vec![[0, 2]]), "{a} {b}");
            assert_eq!(of(&[b, a, "chin"]), Sides::Pairs(vec![[0, 1]]), "{a} {b}");
        }
    }

    #[test]
    fn corners_of_two_eyes_swap_crosswise() {
        let names = ["left_eye_l", "left_eye_r", "right_eye_l", "right_eye_r"];
        assert_eq!(of(&names), Sides::Pairs(vec![[0, 3], [1, 2]]));
    }

    #[test]
    fn a_side_without_its_other_is_told_and_words_that_only_look_like_one_are_none() {
        assert_eq!(of(&["left_eye", "right_eye", "left_ear"]), Sides::Lone(2));
        assert_eq!(of(&["left_eye", "rite_eye"]), Sides::Lone(0));
        assert_eq!(of(&["eye_l", "nose"]), Sides::Lone(0));
        // two names for one place: which of them swaps is not known
        assert!(matches!(of(&["left_eye", "LeftEye", "right_eye"]), Sides::Lone(_)));
        assert_eq!(of(&["upright", "bright", "lip", "nose", "chin2", ""]), Sides::None);
        assert_eq!(of(&[]), Sides::None);
    }
}
