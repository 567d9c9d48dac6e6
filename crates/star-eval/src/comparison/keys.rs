//! What images of two runs are matched by.

use std::collections::HashMap;

use crate::Report;

/// Names with the number of the occurrence, so that several samples of one image stay apart.
pub(super) fn keys<'a>(report: &'a Report) -> Vec<(&'a str, usize)> {
    let mut seen: HashMap<&'a str, usize> = HashMap::new();
    let number = |image: &'a str| {
        let count = seen.entry(image).or_default();
        *count += 1;
        (image, *count)
    };
    report.per_image.iter().map(|image| image.name.as_str()).map(number).collect()
}
