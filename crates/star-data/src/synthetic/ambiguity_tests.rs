//! What the switches of ambiguity promise: an annotator who slides along curves, and ticks that show where keypoints lie.

use super::slide::Line;
use super::*;
use crate::Scheme;

/// Labels are rounded to f32 pixels of images of 112: half a unit in the last place is below 4e-6.
const ON_CURVE: f64 = 1e-4;

fn sliding(subject: Subject, count: usize, strength: f64) -> SyntheticConfig {
    SyntheticConfig { subject, count, image_size: 112, strength, noise: Noise::Slide, ..Default::default() }
}

/// The slide of each keypoint of an edge in each image, in its standard deviations.
fn slides(set: &dyn SyntheticDataset, edge: usize) -> Vec<Vec<f64>> {
    let edge = set.scheme().edges[edge].clone();
    (0..set.len())
        .map(|i| {
            let (truth, labels, sigmas) = (set.truth(i), set.annotated(i), set.sigmas(i));
            let line = Line::new(edge.points.iter().map(|k| truth[*k]).collect(), edge.ends());
            let of = |(j, k): (usize, &usize)| {
                (line.nearest(labels[*k]).1 - line.of(j)) / sigmas[*k].tangential.max(1e-9)
            };
            edge.points.iter().enumerate().map(of).collect()
        })
        .collect()
}

#[test]
fn a_sliding_annotators_labels_stay_on_the_curves_and_in_their_order() {
    for (subject, strength) in [(Subject::Face, 1.5), (Subject::Leaf, 1.5), (Subject::Face, 6.0)] {
        let set = open(sliding(subject, 150, strength)).unwrap();
        let mut moved = 0.0f64;
        for i in 0..150 {
            let (truth, labels) = (set.truth(i), set.annotated(i));
            for edge in &set.scheme().edges {
                let line = Line::new(edge.points.iter().map(|k| truth[*k]).collect(), edge.ends());
                let found: Vec<(f64, f64)> = edge.points.iter().map(|k| line.nearest(labels[*k])).collect();
                let off = found.iter().map(|(off, _)| *off).fold(0.0, f64::max);
                assert!(off < ON_CURVE, "{subject:?} {i}, {}: {off} pixels off", edge.name);
                // Round a closed curve the order holds but for one place, where counting begins.
                let back = found.windows(2).filter(|pair| pair[1].1 <= pair[0].1).count();
                assert!(back <= usize::from(edge.closed), "{subject:?} {i}, {}: {found:?}", edge.name);
                for (j, (_, place)) in found.iter().enumerate() {
                    moved = moved.max((place - line.of(j)).abs());
                }
            }
        }
        assert!(moved > 2.0, "{subject:?}: labels hardly move: {moved} pixels");
    }
    let exact = open(sliding(Subject::Face, 2, 0.0)).unwrap();
    let apart = exact.annotated(1).into_iter().flatten().zip(exact.truth(1).into_iter().flatten());
    assert!(apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-4, "strength 0 labels exactly");
}

#[test]
fn slides_have_the_stated_size_and_are_shared_by_about_six_neighbours() {
    let set = open(sliding(Subject::Face, 1000, 1.5)).unwrap();
    let contour = slides(set.as_ref(), 0);
    // Away from the ends, where slides shrink; five annotators' habits are too few to average, so over all keypoints and lags.
    let mean_product = |lag: usize| {
        let of = |z: &Vec<f64>| (6..27 - lag).map(|k| z[k] * z[k + lag]).sum::<f64>() / (21 - lag) as f64;
        contour.iter().map(of).sum::<f64>() / contour.len() as f64
    };
    let variance = mean_product(0);
    // Half of it are habits: 5 annotators x 21 keypoints with a correlation over six are some 20 independent squares.
    assert!((variance - 1.0).abs() < 0.5, "{variance}");
    for (lag, low, high) in [(1, 0.85, 1.0), (3, 0.45, 0.75), (6, -0.1, 0.4), (12, -0.45, 0.35)] {
        let correlation = mean_product(lag) / variance;
        assert!((low..high).contains(&correlation), "lag {lag}: {correlation}");
    }
}

#[test]
fn half_of_the_variance_is_the_annotators_habit() {
    // Over sets of other people, for five habits of one set say little.
    let (mut habit, mut whole, mut other) = (0.0, 0.0, 0.0);
    const SETS: u64 = 60;
    const IMAGES: usize = 40;
    for seed in 0..SETS {
        let set = open(SyntheticConfig { seed, ..sliding(Subject::Leaf, IMAGES, 1.0) }).unwrap();
        let all = slides(set.as_ref(), 0);
        for i in 0..IMAGES {
            for j in 0..i {
                let product = (4..9).map(|k| all[i][k] * all[j][k]).sum::<f64>() / 5.0;
                let same = i % ANNOTATORS == j % ANNOTATORS;
                *(if same { &mut habit } else { &mut other }) += product;
            }
            whole += (4..9).map(|k| all[i][k].powi(2)).sum::<f64>() / 5.0;
        }
    }
    let sets = SETS as f64;
    let same = (ANNOTATORS * (IMAGES / ANNOTATORS) * (IMAGES / ANNOTATORS - 1) / 2) as f64;
    let apart = (IMAGES * (IMAGES - 1) / 2) as f64 - same;
    let (habit, other, whole) = (habit / sets / same, other / sets / apart, whole / sets / IMAGES as f64);
    // 60 sets x 5 people; a habit's square has a deviation of 0.7, 5 neighbours count as about 1.5: a standard error of 0.03.
    assert!((habit / whole - 0.5).abs() < 0.12, "{habit} of {whole}");
    assert!((other / whole).abs() < 0.12, "different people share {other}");
}

#[test]
fn ticks_are_where_the_keypoints_are_and_nowhere_else() {
    for subject in [Subject::Face, Subject::Leaf, Subject::Hand] {
        let plain = open(sliding(subject, 20, 1.0)).unwrap();
        let marked = open(SyntheticConfig { marks: Marks::Ticks, ..sliding(subject, 20, 1.0) }).unwrap();
        let keypoints = Scheme::named(subject.scheme()).unwrap().keypoints;
        let (mut seen, mut all) = (0, 0);
        for i in 0..20 {
            let (a, b) = (plain.get(i).unwrap(), marked.get(i).unwrap());
            assert_eq!((&a.points, a.face), (&b.points, b.face), "marks move no label");
            let truth = plain.truth(i);
            let changed = |x: u32, y: u32| {
                let pixels = a.image.get_pixel(x, y).0.into_iter().zip(b.image.get_pixel(x, y).0);
                pixels.map(|(a, b)| i32::from(a.abs_diff(b))).sum::<i32>() > 40
            };
            for [x, y] in &truth {
                seen += usize::from(changed(x.round() as u32, y.round() as u32));
                all += 1;
            }
            // A tick is at most 0.04 of the subject's unit long on either side; a blur of two pixels twice reaches six further.
            for (x, y) in (0..112).flat_map(|x| (0..112).map(move |y| (x, y))).filter(|&(x, y)| changed(x, y))
            {
                let near =
                    truth.iter().map(|p| (p[0] - x as f32).hypot(p[1] - y as f32)).fold(f32::MAX, f32::min);
                assert!(near < 12.0, "{subject:?} {i}: ({x}, {y}) is {near} pixels from any keypoint");
            }
        }
        assert_eq!(all, 20 * keypoints);
        assert!(seen * 100 > all * 90, "{subject:?}: {seen} of {all} ticks are seen");
    }
}

#[test]
fn neither_switch_changes_what_the_other_does() {
    let plain = open(SyntheticConfig { noise: Noise::Tangent, ..sliding(Subject::Face, 3, 1.5) }).unwrap();
    let slide = open(sliding(Subject::Face, 3, 1.5)).unwrap();
    for i in 0..3 {
        assert_eq!(plain.get(i).unwrap().image.as_raw(), slide.get(i).unwrap().image.as_raw());
        assert_ne!(plain.annotated(i), slide.annotated(i));
        assert_eq!(plain.truth(i), slide.truth(i));
    }
    let text = "subject = \"leaf\"\nmarks = \"ticks\"\nnoise = \"slide\"";
    let config: SyntheticConfig = toml::from_str(text).unwrap();
    assert_eq!((config.subject, config.marks, config.noise), (Subject::Leaf, Marks::Ticks, Noise::Slide));
}
