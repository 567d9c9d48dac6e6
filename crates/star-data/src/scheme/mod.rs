//! Keypoint schemes: how many points, which lie on one edge, which swap under a mirror, what errors are divided by.

pub(crate) mod file;
mod sides;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub(crate) use self::sides::{Sides, sides};
use crate::target::Ends;
use crate::{Error, Result};

/// The built-in schemes; facts of the reference (see the table's head).
const TABLES: &str = include_str!("../tables/schemes.toml");

/// The scheme of synthetic hands, which no data set of photographs here has.
const HANDS: &str = include_str!("../tables/hand21.toml");

/// The scheme of synthetic leaves.
const LEAVES: &str = include_str!("../tables/leaf24.toml");

/// What a scheme must say before images are mirrored.
const FLIPS: &str = "what swaps under a mirror: `names` with left and right, or `flip_pairs` (`[]` where nothing swaps), or a flip \
                     probability of 0";

/// A curve through keypoints, in drawing order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Name, such as `contour`.
    pub name: String,
    /// Whether the last point joins the first.
    pub closed: bool,
    /// Indices of the keypoints along the curve.
    pub points: Vec<usize>,
}

impl Edge {
    /// Whether its curve comes back to where it begins.
    pub fn ends(&self) -> Ends {
        if self.closed { Ends::Closed } else { Ends::Open }
    }
}

/// The length that a scheme's errors are divided by unless asked otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultNormalizer {
    /// Between the groups of `inter_ocular`.
    InterOcular,
    /// Between the groups of `inter_pupil`.
    InterPupil,
    /// Diagonal of the box around the true points: fits any scheme.
    #[default]
    BoxDiagonal,
    /// Diagonal of the box that the annotations state; also that of one keypoint, which spans no box, whatever its scheme says.
    StatedBoxDiagonal,
}

/// What becomes of the keypoints under a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flips {
    /// These pairs swap and the others stay; none where nothing swaps.
    Known(Vec<[usize; 2]>),
    /// Neither `flip_pairs` nor the names say it: images must not be mirrored.
    Unknown {
        /// What there is instead, for messages.
        got: String,
    },
}

/// Keypoints beyond those of any scheme: a number in a file that is larger is a mistake, and tables of as many rows are made of it.
const MOST_KEYPOINTS: usize = 1 << 16;

/// A keypoint scheme.
///
/// ```
/// use star_data::Scheme;
///
/// let scheme = Scheme::named("wflw98").unwrap();
/// assert_eq!((scheme.keypoints, scheme.edges.len()), (98, 9));
/// assert_eq!(scheme.flip_permutation().unwrap()[60], 72);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// Name, such as `wflw98`.
    pub name: String,
    /// Names that it had, or that others have for it: [`Scheme::named`] knows them, [`Scheme::asked`] says the name instead.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Number of keypoints.
    pub keypoints: usize,
    /// Name of each keypoint; empty where they have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The groups whose means are the right eye, left eye, nose tip, right and left corner of the mouth: the second column of
    /// reference-style rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub five_points: Option<[Vec<usize>; 5]>,
    /// The two groups whose means are the outer eye corners, where the scheme has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_ocular: Option<[Vec<usize>; 2]>,
    /// The two groups whose means are the eye centres, where the scheme has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_pupil: Option<[Vec<usize>; 2]>,
    /// What errors are divided by unless asked otherwise.
    #[serde(default)]
    pub normalizer: DefaultNormalizer,
    /// NME above which an image usually counts as failed, a fraction.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// Pairs of keypoints that swap under a mirror; an empty list where nothing swaps. Without a word the names tell, by left and
    /// right in the usual spellings: [`Scheme::flips`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_pairs: Option<Vec<[usize; 2]>>,
    /// Curves through the keypoints.
    #[serde(default)]
    pub edges: Vec<Edge>,
}

fn default_threshold() -> f64 {
    0.10
}

#[derive(Deserialize)]
struct Tables {
    scheme: Vec<Scheme>,
}

impl Scheme {
    /// A scheme of `keypoints` points and nothing else: no edges, no word about what swaps under a mirror, errors divided by the
    /// diagonal of the box around the true points.
    ///
    /// ```
    /// let scheme = star_data::Scheme::new("rectangle", 4);
    /// assert_eq!((scheme.keypoints, scheme.edges.len(), scheme.threshold), (4, 0, 0.10));
    /// ```
    pub fn new(name: &str, keypoints: usize) -> Self {
        Self {
            name: name.to_string(),
            aliases: Vec::new(),
            keypoints,
            names: Vec::new(),
            five_points: None,
            inter_ocular: None,
            inter_pupil: None,
            normalizer: DefaultNormalizer::default(),
            threshold: default_threshold(),
            flip_pairs: None,
            edges: Vec::new(),
        }
    }

    /// The built-in schemes: `wflw98`, `ibug68`, `cofw29`.
    pub fn built_in() -> Vec<Scheme> {
        // The table is part of the program and its reading is tested; without it there are no schemes.
        toml::from_str::<Tables>(TABLES).map(|tables| tables.scheme).unwrap_or_default()
    }

    /// A built-in scheme by name or alias (`wflw`, `300w`, `300vw`, `cofw`), in any case, as files may have it; also `hand21` and
    /// `leaf24`, those of synthetic hands and leaves.
    ///
    /// # Errors
    /// [`Error::UnknownScheme`], listing the names there are.
    pub fn named(name: &str) -> Result<Self> {
        let wanted = name.to_lowercase();
        let mut all = Self::built_in();
        all.extend([HANDS, LEAVES].into_iter().flat_map(toml::from_str::<Scheme>));
        let known = all.iter().map(|scheme| scheme.name.clone()).collect::<Vec<_>>().join(", ");
        all.into_iter()
            .find(|scheme| scheme.name == wanted || scheme.aliases.contains(&wanted))
            .ok_or(Error::UnknownScheme { name: name.to_string(), known })
    }

    /// A built-in scheme by the name that it is printed by: what a person types.
    ///
    /// # Errors
    /// As [`Scheme::named`]; [`Error::OtherName`] for an alias.
    pub fn asked(name: &str) -> Result<Self> {
        let scheme = Self::named(name)?;
        if scheme.name != name.to_lowercase() {
            return Err(Error::OtherName { name: name.to_string(), scheme: scheme.name });
        }
        Ok(scheme)
    }

    /// Whether a file that calls its scheme `name` means this one: by its name, or by an alias of the built-in one of that name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || Self::named(name).is_ok_and(|scheme| scheme.name == self.name)
    }

    /// Checks that all parts fit each other.
    ///
    /// # Errors
    /// [`Error::Scheme`] with the first field that does not.
    pub fn validate(&self) -> Result<()> {
        let fail = |field: &str, expected: String, got: String| {
            Err(Error::Scheme { name: self.name.clone(), field: field.to_string(), expected, got })
        };
        if !(1..=MOST_KEYPOINTS).contains(&self.keypoints) {
            return fail("keypoints", format!("1 to {MOST_KEYPOINTS}"), self.keypoints.to_string());
        }
        if !(self.threshold.is_finite() && self.threshold > 0.0) {
            return fail("threshold", "a positive fraction".into(), self.threshold.to_string());
        }
        if !(self.names.is_empty() || self.names.len() == self.keypoints) {
            return fail(
                "names",
                format!("{}, one a keypoint", self.keypoints),
                self.names.len().to_string(),
            );
        }
        let mut known = HashSet::new();
        if let Some(twice) = self.names.iter().find(|name| !known.insert(*name)) {
            return fail("names", "each name once".into(), format!("`{twice}` twice"));
        }
        let groups = |ends: &Option<[Vec<usize>; 2]>| ends.clone().into_iter().flatten().collect::<Vec<_>>();
        let lists = self
            .edges
            .iter()
            .map(|edge| (format!("edge `{}`", edge.name), edge.points.clone()))
            .chain(groups(&self.inter_ocular).into_iter().map(|group| ("inter_ocular".into(), group)))
            .chain(groups(&self.inter_pupil).into_iter().map(|group| ("inter_pupil".into(), group)))
            .chain(self.five_points.iter().flatten().map(|group| ("five_points".into(), group.clone())))
            .chain(self.flip_pairs.iter().flatten().map(|pair| ("flip_pairs".into(), pair.to_vec())));
        for (field, points) in lists {
            if points.is_empty() {
                return fail(&field, "at least one keypoint".into(), "none".into());
            }
            if let Some(point) = points.iter().find(|&&point| point >= self.keypoints) {
                return fail(&field, format!("keypoints below {}", self.keypoints), point.to_string());
            }
        }
        let mut seen = HashSet::new();
        for &[a, b] in self.flip_pairs.iter().flatten() {
            if a == b || !seen.insert(a) || !seen.insert(b) {
                return fail("flip_pairs", "each keypoint in one pair at most".into(), format!("[{a}, {b}]"));
            }
        }
        let missing = match self.normalizer {
            DefaultNormalizer::InterOcular => self.inter_ocular.is_none(),
            DefaultNormalizer::InterPupil => self.inter_pupil.is_none(),
            DefaultNormalizer::BoxDiagonal | DefaultNormalizer::StatedBoxDiagonal => false,
        };
        if missing {
            return fail(
                "normalizer",
                "one whose keypoints are given".into(),
                format!("{:?}", self.normalizer),
            );
        }
        Ok(())
    }

    /// Keypoint indices on each edge: what a network's attention branch is built from.
    pub fn edge_points(&self) -> Vec<Vec<usize>> {
        self.edges.iter().map(|edge| edge.points.clone()).collect()
    }

    /// The five points of reference-style rows: means of `five_points`, or nothing where the scheme or a point of it is missing.
    pub fn five(&self, points: &[[f32; 2]]) -> Option<[[f32; 2]; 5]> {
        let mean = |group: &Vec<usize>| {
            let sum = group.iter().try_fold([0f64; 2], |sum, &k| {
                let &[x, y] = points.get(k)?;
                Some([sum[0] + f64::from(x), sum[1] + f64::from(y)])
            })?;
            let mean = sum.map(|v| (v / group.len() as f64) as f32);
            mean.iter().all(|v| v.is_finite()).then_some(mean)
        };
        let [a, b, c, d, e] = self.five_points.as_ref()?;
        Some([mean(a)?, mean(b)?, mean(c)?, mean(d)?, mean(e)?])
    }

    /// What swaps under a mirror: `flip_pairs` where they are given, else what the names say. A lone keypoint has nothing to swap with.
    pub fn flips(&self) -> Flips {
        if let Some(pairs) = &self.flip_pairs {
            return Flips::Known(pairs.clone());
        }
        match sides(&self.names) {
            Sides::Pairs(pairs) => Flips::Known(pairs),
            Sides::Lone(k) => Flips::Unknown { got: format!("`{}` without its other side", self.names[k]) },
            Sides::None if self.keypoints == 1 => Flips::Known(Vec::new()),
            Sides::None if self.names.is_empty() => Flips::Unknown { got: "neither pairs nor names".into() },
            Sides::None => Flips::Unknown { got: "no pairs, and names without left and right".into() },
        }
    }

    /// Index of the keypoint that each keypoint becomes under a mirror.
    ///
    /// # Errors
    /// [`Error::Scheme`] with the ways out where [`Scheme::flips`] does not know.
    pub fn flip_permutation(&self) -> Result<Vec<usize>> {
        let pairs = match self.flips() {
            Flips::Known(pairs) => pairs,
            Flips::Unknown { got } => {
                let (name, field, expected) =
                    (self.name.clone(), "flip_pairs".to_string(), FLIPS.to_string());
                return Err(Error::Scheme { name, field, expected, got });
            }
        };
        let mut permutation: Vec<usize> = (0..self.keypoints).collect();
        for [a, b] in pairs.into_iter().filter(|pair| pair.iter().all(|&k| k < self.keypoints)) {
            permutation.swap(a, b);
        }
        Ok(permutation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_schemes_are_whole() {
        let counts: Vec<(String, usize, usize)> =
            Scheme::built_in().iter().map(|s| (s.name.clone(), s.keypoints, s.edges.len())).collect();
        let expected = [("wflw98", 98, 9), ("ibug68", 68, 9), ("cofw29", 29, 7)];
        assert_eq!(counts, expected.map(|(name, k, e)| (name.to_string(), k, e)));
        for scheme in Scheme::built_in() {
            scheme.validate().unwrap();
        }
    }

    #[test]
    fn aliases_are_known_in_any_case_and_unknown_names_list_the_known() {
        assert_eq!(Scheme::named("300VW").unwrap().name, "ibug68");
        let ibug = Scheme::named("ibug68").unwrap();
        assert_eq!(
            ["face300w68", "ibug68", "cofw", "mine"].map(|name| ibug.is_called(name)),
            [true, true, false, false]
        );
        // A scheme of one's own may have the name that is an alias of another.
        assert!(Scheme::new("cofw", 5).is_called("cofw") && !Scheme::new("cofw", 5).is_called("cofw29"));
        assert_eq!(Scheme::asked("IBUG68").unwrap().name, "ibug68");
        for (alias, name) in
            [("face300w68", "ibug68"), ("wflw", "wflw98"), ("300w", "ibug68"), ("cofw", "cofw29")]
        {
            let message = Scheme::asked(alias).unwrap_err().to_string();
            assert!(message.contains(&format!("`{alias}` is called `{name}`")), "{message}");
        }
        let message = Scheme::named("wflw99").unwrap_err().to_string();
        assert!(message.contains("wflw99") && message.contains("cofw29"), "{message}");
    }

    #[test]
    fn mirroring_twice_is_no_change() {
        for scheme in Scheme::built_in() {
            let permutation = scheme.flip_permutation().unwrap();
            assert!((0..scheme.keypoints).all(|k| permutation[permutation[k]] == k));
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let good = Scheme::named("cofw29").unwrap();
        let cases = [
            (Scheme { keypoints: 0, ..good.clone() }, "keypoints"),
            // As many rows of a table would be.
            (Scheme { keypoints: 1 << 60, flip_pairs: Some(vec![]), ..good.clone() }, "1 to 65536"),
            (Scheme { flip_pairs: Some(vec![[0, 1], [1, 2]]), ..good.clone() }, "flip_pairs"),
            (Scheme { keypoints: 20, ..good.clone() }, "edge"),
            (Scheme { inter_pupil: None, ..good.clone() }, "normalizer"),
            (Scheme { threshold: 0.0, ..good.clone() }, "threshold"),
            (Scheme { names: vec!["tip".into()], ..good.clone() }, "names"),
            (Scheme { names: vec!["tip".into(); 29], ..good.clone() }, "names"),
        ];
        for (scheme, field) in cases {
            let message = scheme.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{field} missing in: {message}");
        }
    }
    #[test]
    fn what_swaps_is_what_is_written_else_what_the_names_say_else_unknown() {
        let scheme = |text: &str| toml::from_str::<Scheme>(&format!("name = \"s\"\n{text}")).unwrap();
        let derived = scheme("keypoints = 3\nnames = [\"nose\", \"eye_r\", \"eye_l\"]");
        assert_eq!(derived.flips(), Flips::Known(vec![[1, 2]]));
        assert_eq!(derived.flip_permutation().unwrap(), [0, 2, 1]);
        let written = scheme("keypoints = 2\nnames = [\"left\", \"right\"]\nflip_pairs = []");
        assert_eq!(
            (written.flips(), written.flip_permutation().unwrap()),
            (Flips::Known(vec![]), vec![0, 1])
        );
        assert_eq!(scheme("keypoints = 1").flips(), Flips::Known(vec![]));
        for (text, got) in [
            ("keypoints = 2", "neither pairs nor names"),
            ("keypoints = 2\nnames = [\"nose\", \"chin\"]", "names without left and right"),
            ("keypoints = 2\nnames = [\"nose\", \"left_eye\"]", "`left_eye` without its other side"),
            ("keypoints = 1\nnames = [\"left_eye\"]", "`left_eye` without its other side"),
        ] {
            let message = scheme(text).flip_permutation().unwrap_err().to_string();
            assert!(message.contains("scheme `s`: flip_pairs: expected what swaps"), "{message}");
            assert!(message.contains("flip probability of 0") && message.contains(got), "{message}");
        }
    }

    #[test]
    fn a_scheme_that_says_nothing_about_mirrors_still_says_nothing_when_it_is_written() {
        for pairs in [None, Some(vec![]), Some(vec![[0, 1]])] {
            let scheme = Scheme { flip_pairs: pairs, ..Scheme::new("s", 2) };
            let text = toml::to_string(&scheme).unwrap();
            assert_eq!(toml::from_str::<Scheme>(&text).unwrap(), scheme, "{text}");
        }
    }
}
