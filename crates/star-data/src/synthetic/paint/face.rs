//! The face itself: every landmark lies on an edge or a spot that is painted here.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, circle, curve, mix, outline, scaled};
use super::look::Look;
use crate::synthetic::figure::Figure;
use crate::synthetic::shape::on_face;
use crate::target::Ends;

const DARK: [f32; 3] = [0.08, 0.05, 0.05];

/// Paints skin, brows, eyes, nose and mouth.
pub(super) fn face(canvas: &mut Canvas, figure: &Figure, look: &Look, rng: &mut ChaCha8Rng) {
    skin(canvas, figure, look, rng);
    for side in 0..2 {
        eye(canvas, figure, look, side);
        brow(canvas, figure, look, side, rng);
    }
    nose(canvas, figure, look);
    mouth(canvas, figure, look);
}

/// Landmarks 0..=32 are the lower rim of the skin.
fn skin(canvas: &mut Canvas, figure: &Figure, look: &Look, rng: &mut ChaCha8Rng) {
    let jaw = figure.pick(0..33);
    let wide = figure.shape.half_width();
    let forehead: Vec<[f32; 2]> = (0..=10)
        .map(|i| {
            let (sin, cos) = (std::f64::consts::PI * f64::from(i) / 10.0).sin_cos();
            figure.place([wide * cos, -0.03 - 0.86 * sin, -0.35 * cos * cos - 0.3 * sin * sin])
        })
        .collect();
    let rim = outline(&[&jaw, &forehead]);
    // The cheek away from the light is darker.
    let (from, to) = (figure.place(on_face(-wide, 0.4, 0.0)), figure.place(on_face(wide, 0.4, 0.0)));
    let turn = 0.13 * look.light[0] - 0.1 * figure.pose.yaw as f32;
    let tones = [1.0 - turn.max(0.0) - 0.08, 1.0, 1.0 + turn.min(0.0) - 0.08].map(|t| scaled(look.skin, t));
    canvas.fill_gradient(rim.clone(), from, to, &tones);
    let inside = canvas.mask(rim.as_ref());
    for side in [-1.0, 1.0] {
        let cheek = figure.place(on_face(side * 0.45, 0.5, 0.1));
        let blush = mix(look.skin, [0.9, 0.3, 0.3], if look.makeup { 0.45 } else { 0.2 });
        canvas.spot(cheek, figure.pixels(0.32), blush, 0.5, inside.as_ref());
        let socket = figure.place(on_face(side * 0.3, -0.03, 0.0));
        canvas.spot(socket, figure.pixels(0.28), scaled(look.skin, 0.62), 0.55, inside.as_ref());
        let temple = figure.place(on_face(side * 0.72, -0.2, 0.0));
        canvas.spot(temple, figure.pixels(0.3), scaled(look.skin, 0.7), 0.35, inside.as_ref());
    }
    let below =
        figure.place(on_face(0.0, 1.03 * figure.shape.face_height + 0.1 * figure.shape.mouth_open, 0.0));
    canvas.spot(below, figure.pixels(0.2), scaled(look.skin, 0.7), 0.35, inside.as_ref());
    canvas.spot(
        figure.place(on_face(0.0, -0.45, 0.0)),
        figure.pixels(0.4),
        scaled(look.skin, 1.12),
        0.5,
        inside.as_ref(),
    );
    if look.stubble > 0.0 {
        let beard = mix(look.hair_colour, [0.1; 3], 0.5);
        for (x, y, r) in [(-0.42, 0.95, 0.34), (0.42, 0.95, 0.34), (0.0, 1.1, 0.34), (0.0, 0.66, 0.2)] {
            let centre = figure.place(on_face(x, y, 0.0));
            canvas.spot(centre, figure.pixels(r), beard, 1.6 * look.stubble, inside.as_ref());
        }
    }
    for _ in 0..look.freckles {
        let spot = on_face(rng.random_range(-0.55..0.55), rng.random_range(0.1..0.65), 0.05);
        let radius = figure.pixels(rng.random_range(0.006..0.016));
        let brown = mix(look.skin, [0.35, 0.18, 0.1], 0.5);
        canvas.fill_within(circle(figure.place(spot), radius), brown, 0.6, inside.as_ref());
    }
    canvas.stroke(curve(&jaw, Ends::Open), figure.pixels(0.022).max(0.8), scaled(look.skin, 0.5), 0.75);
}

/// 33..=41 and 42..=50 are the rim of the brow.
fn brow(canvas: &mut Canvas, figure: &Figure, look: &Look, side: usize, rng: &mut ChaCha8Rng) {
    let first = 33 + 9 * side;
    let rim = figure.pick(first..first + 9);
    canvas.fill(curve(&rim, Ends::Closed), look.brows, 0.82);
    let (upper, lower) = (&rim[..5], &rim[5..]);
    for i in 0..8 {
        // Hairs from the lower to the upper edge, darker and lighter.
        let t = (i as f32 + rng.random_range(0.0..1.0)) / 8.0;
        let pick = |edge: &[[f32; 2]], t: f32| {
            let position = t * (edge.len() - 1) as f32;
            let (i, f) = (position as usize, position.fract());
            let (a, b) = (edge[i], edge[(i + 1).min(edge.len() - 1)]);
            [a[0] + f * (b[0] - a[0]), a[1] + f * (b[1] - a[1])]
        };
        let hair = [pick(lower, 1.0 - t), pick(upper, t)];
        let tint = scaled(look.brows, rng.random_range(0.6..1.5));
        canvas.stroke(curve(&hair, Ends::Open), figure.pixels(0.014), tint, 0.5);
    }
}

/// 60..=67 and 68..=75 are the rim of the white; 96 and 97 the centre of the iris.
fn eye(canvas: &mut Canvas, figure: &Figure, look: &Look, side: usize) {
    let first = 60 + 8 * side;
    let upper = figure.pick(first..first + 5);
    let lower = figure.pick((first + 4..first + 8).chain([first]));
    let rim = outline(&[&upper, &lower]);
    let pupil = figure.landmarks[96 + side];
    canvas.fill(rim.clone(), [0.93, 0.91, 0.89], 1.0);
    let inside = canvas.mask(rim.as_ref());
    let radius = figure.pixels(figure.shape.iris_radius());
    canvas.fill_within(circle(pupil, radius), scaled(look.iris, 0.55), 1.0, inside.as_ref());
    canvas.fill_within(circle(pupil, 0.82 * radius), look.iris, 1.0, inside.as_ref());
    canvas.fill_within(circle(pupil, 0.42 * radius), [0.02; 3], 1.0, inside.as_ref());
    let glint = [pupil[0] - 0.3 * radius, pupil[1] - 0.35 * radius];
    canvas.fill_within(circle(glint, 0.18 * radius), [1.0; 3], 0.9, inside.as_ref());
    let lash = figure.pixels(if look.makeup { 0.034 } else { 0.022 }).max(0.7);
    // The shadow of the upper lid, then the lids' rims.
    canvas.stroke(curve(&upper, Ends::Open), lash, mix(scaled(look.skin, 0.3), DARK, 0.6), 0.95);
    canvas.stroke(curve(&lower, Ends::Open), figure.pixels(0.014).max(0.5), scaled(look.skin, 0.45), 0.85);
    let lift = figure.pixels(0.05);
    let (sin, cos) = figure.pose.roll.sin_cos();
    let crease: Vec<[f32; 2]> =
        upper.iter().map(|p| [p[0] + lift * sin as f32, p[1] - lift * cos as f32]).collect();
    canvas.stroke(
        curve(&crease[..], Ends::Open),
        figure.pixels(0.012).max(0.5),
        scaled(look.skin, 0.55),
        0.5,
    );
}

/// 51..=54 run down the lit ridge, 55..=59 along the lower edge.
fn nose(canvas: &mut Canvas, figure: &Figure, look: &Look) {
    let ridge = figure.pick(51..55);
    let base = figure.pick(55..60);
    let tip = ridge[3];
    // The flank away from the light (or from the camera) lies in shadow.
    let shadow_side = if look.light[0] - 1.5 * figure.pose.yaw as f32 > 0.0 { -1.0 } else { 1.0 };
    let wing = if shadow_side < 0.0 { base[0] } else { base[4] };
    let flank =
        [(0.11, 0.0), (0.1, 0.14), (0.13, 0.3)].map(|(x, y)| figure.place(on_face(shadow_side * x, y, 0.0)));
    let flank: Vec<[f32; 2]> = flank.into_iter().chain([wing]).collect();
    let up: Vec<[f32; 2]> = ridge.iter().rev().copied().collect();
    canvas.fill(outline(&[&flank, &up]), scaled(look.skin, 0.68), 0.55);
    canvas.stroke(curve(&ridge, Ends::Open), figure.pixels(0.035), scaled(look.skin, 1.25), 0.65);
    canvas.spot(tip, figure.pixels(0.08), mix(look.skin, [1.0; 3], 0.6), 0.85, None);
    for (side, wing, near) in [(-1.0, base[0], base[1]), (1.0, base[4], base[3])] {
        let tip_y = 0.43 * figure.shape.nose_length;
        let reach = 0.175 * figure.shape.nose_width;
        let ala = [(0.93, -0.1), (1.08, -0.03)]
            .map(|(x, y)| figure.place(on_face(side * x * reach, tip_y + y, 0.06)));
        canvas.stroke(
            curve(&[ala[0], ala[1], wing], Ends::Open),
            figure.pixels(0.02).max(0.6),
            scaled(look.skin, 0.5),
            0.7,
        );
        let nostril = [near[0].midpoint(wing[0]), near[1].midpoint(wing[1])];
        let nostril = [nostril[0].midpoint(near[0]), nostril[1].midpoint(near[1])];
        canvas.spot(nostril, figure.pixels(0.05), scaled(look.skin, 0.12), 0.9, None);
    }
    canvas.stroke(curve(&base, Ends::Open), figure.pixels(0.024).max(0.7), scaled(look.skin, 0.38), 0.85);
}

/// 76..=87 are the outer rim of the lips, 88..=95 the inner one.
fn mouth(canvas: &mut Canvas, figure: &Figure, look: &Look) {
    let upper = figure.pick(76..83);
    let lower = figure.pick((82..88).chain([76]));
    let inner_upper = figure.pick(88..93);
    let inner_lower = figure.pick((92..96).chain([88]));
    canvas.fill(outline(&[&upper, &lower]), look.lips, 1.0);
    // The upper lip looks down and is darker.
    let line: Vec<[f32; 2]> = inner_upper.iter().rev().copied().collect();
    canvas.fill(outline(&[&upper, &line]), scaled(look.lips, 0.82), 1.0);
    let shine = figure.landmarks[85];
    let shine = [shine[0].midpoint(figure.landmarks[94][0]), shine[1].midpoint(figure.landmarks[94][1])];
    canvas.spot(shine, figure.pixels(0.08), mix(look.lips, [1.0; 3], 0.5), 0.4, None);
    let inside = outline(&[&inner_upper, &inner_lower]);
    canvas.fill(inside.clone(), [0.16, 0.04, 0.05], 1.0);
    if figure.shape.mouth_open > 0.1 {
        let mask = canvas.mask(inside.as_ref());
        let depth = 0.075;
        let teeth: Vec<[f32; 2]> = inner_upper.clone();
        let (sin, cos) = figure.pose.roll.sin_cos();
        let down = figure.pixels(depth);
        let edge: Vec<[f32; 2]> =
            teeth.iter().rev().map(|p| [p[0] - down * sin as f32, p[1] + down * cos as f32]).collect();
        canvas.fill_within(outline(&[&teeth, &edge]), [0.93, 0.9, 0.84], 1.0, mask.as_ref());
    }
    let dark = mix(scaled(look.lips, 0.3), DARK, 0.4);
    let thin = figure.pixels(0.014).max(0.6);
    canvas.stroke(curve(&inner_upper, Ends::Open), thin, dark, 0.9);
    canvas.stroke(curve(&inner_lower, Ends::Open), thin, dark, 0.7);
    canvas.stroke(curve(&upper, Ends::Open), thin, scaled(look.lips, 0.6), 0.6);
    canvas.stroke(curve(&lower, Ends::Open), thin, scaled(look.lips, 0.55), 0.7);
}
