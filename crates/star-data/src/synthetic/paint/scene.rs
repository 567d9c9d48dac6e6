//! What is behind and before the face: background, neck, hair, glasses, things held up.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, circle, curve, outline, polygon, scaled};
use super::look::{Hair, Look, random_colour};
use crate::synthetic::figure::Figure;
use crate::synthetic::shape::on_face;
use crate::target::Ends;

/// A run of colours and a handful of shapes out of focus.
pub(super) fn background(canvas: &mut Canvas, rng: &mut ChaCha8Rng) {
    let side = canvas.size() as f32;
    let mut corner = || [rng.random_range(0.0..side), rng.random_range(0.0..side)];
    let (from, to) = (corner(), corner());
    let colours = [random_colour(rng), random_colour(rng)];
    let all = [[-1.0, -1.0], [side, -1.0], [side, side], [-1.0, side]];
    canvas.fill_gradient(polygon(&all), from, to, &colours);
    for _ in 0..rng.random_range(2..9) {
        let centre = [rng.random_range(0.0..side), rng.random_range(0.0..side)];
        let (colour, alpha) = (random_colour(rng), rng.random_range(0.3..1.0));
        let reach = rng.random_range(0.05..0.35) * side;
        match rng.random_range(0..3) {
            0 => canvas.fill(circle(centre, reach / 2.0), colour, alpha),
            1 => canvas.fill(quad(centre, reach, rng), colour, alpha),
            _ => {
                let end = [rng.random_range(0.0..side), rng.random_range(0.0..side)];
                canvas.stroke(curve(&[centre, end], Ends::Open), reach / 8.0, colour, alpha);
            }
        }
    }
}

/// Shoulders and neck, the hair behind the head, the ears.
pub(super) fn behind(canvas: &mut Canvas, figure: &Figure, look: &Look) {
    let wide = figure.shape.half_width();
    let chin = 1.25 * figure.shape.face_height;
    let place = |x: f64, y: f64, z: f64| figure.place([x, y, z]);
    if look.hair == Hair::Long {
        let back = [
            (-0.35, -0.98),
            (-1.0, -0.5),
            (-1.12, 0.3),
            (-1.15, 1.2),
            (-0.95, 1.9),
            (0.95, 1.9),
            (1.15, 1.2),
            (1.12, 0.3),
            (1.0, -0.5),
            (0.35, -0.98),
        ];
        let back = back.map(|(x, y)| place(x / 0.78 * wide, y, -0.7));
        canvas.fill(curve(&back, Ends::Closed), scaled(look.hair_colour, 0.75), 1.0);
    }
    let shoulders =
        [(-2.2, 3.2), (-1.9, 2.15), (-0.6, 1.8), (0.0, 1.95), (0.6, 1.8), (1.9, 2.15), (2.2, 3.2)]
            .map(|(x, y)| place(x, y, -0.7));
    canvas.fill(curve(&shoulders, Ends::Closed), look.clothes, 1.0);
    let neck = [
        (-0.52, 0.6),
        (-0.5, chin + 0.3),
        (-0.62, 1.9),
        (0.0, 2.1),
        (0.62, 1.9),
        (0.5, chin + 0.3),
        (0.52, 0.6),
    ]
    .map(|(x, y)| place(x, y, -0.6));
    canvas.fill(polygon(&neck), scaled(look.skin, 0.62), 1.0);
    if look.hair != Hair::Bald {
        let skull = (0..16).map(|i| {
            let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / 16.0).sin_cos();
            place(1.14 * wide * cos, -0.22 + 0.86 * sin, -0.45)
        });
        canvas.fill(curve(&skull.collect::<Vec<_>>(), Ends::Closed), scaled(look.hair_colour, 0.85), 1.0);
    }
    for side in [-1.0, 1.0] {
        let ear = [(1.0, -0.02), (1.13, -0.1), (1.17, 0.08), (1.1, 0.3), (1.0, 0.42), (0.95, 0.2)]
            .map(|(x, y)| place(side * x * wide, y, -0.45));
        canvas.fill(curve(&ear, Ends::Closed), scaled(look.skin, 0.8), 1.0);
    }
}

/// The hair over the forehead; a fringe hides what it covers.
pub(super) fn fringe(canvas: &mut Canvas, figure: &Figure, look: &Look, rng: &mut ChaCha8Rng) {
    if look.hair == Hair::Bald {
        return;
    }
    let wide = figure.shape.half_width();
    let parting = rng.random_range(-0.35..0.35);
    let sag = rng.random_range(0.0..0.1);
    let top: Vec<[f32; 2]> = (0..=10)
        .map(|i| {
            let (sin, cos) = (std::f64::consts::PI * f64::from(i) / 10.0).sin_cos();
            figure.place([-1.08 * wide * cos, -0.12 - 0.98 * sin, -0.38 + 0.1 * sin])
        })
        .collect();
    let line = look.hair_line;
    let edge =
        [(0.97, -0.05), (0.93, -0.3), (0.72, sag - line + 0.12), (0.3, sag - line), (0.0, -line - 0.03)];
    let right = edge.map(|(x, y)| figure.place(on_face(x * wide + parting * (1.0 - x), y, 0.04)));
    let left = edge.map(|(x, y)| figure.place(on_face(-x * wide + parting * (1.0 - x), y, 0.04)));
    let line: Vec<[f32; 2]> = right.into_iter().chain(left.into_iter().rev().skip(1)).collect();
    canvas.occlude(outline(&[&top, &line]), look.hair_colour);
    for (i, to) in line.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
        // Strands from the parting outwards.
        let from = top[10 - i * 10 / line.len()];
        let middle = [from[0].midpoint(to[0]), from[1].midpoint(to[1])];
        let tint = rng.random_range(0.75..1.35);
        let strand = curve(&[from, middle, *to], Ends::Open);
        canvas.stroke(strand, figure.pixels(0.035), scaled(look.hair_colour, tint), 0.6);
    }
}

/// Frames around both eyes, a bridge, lenses that shine a little.
pub(super) fn glasses(canvas: &mut Canvas, figure: &Figure, rng: &mut ChaCha8Rng) {
    let shape = &figure.shape;
    let centre = 0.342 * shape.eye_spacing;
    let (half, height) = (rng.random_range(0.2..0.27), rng.random_range(0.13..0.2));
    let power = rng.random_range(0.45..1.0f64);
    let colour = if rng.random_bool(0.6) { [0.06; 3] } else { random_colour(rng) };
    let width = figure.pixels(rng.random_range(0.015..0.04)).max(0.7);
    for side in [-1.0, 1.0] {
        let lens: Vec<[f32; 2]> = (0..12)
            .map(|i| {
                let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / 12.0).sin_cos();
                let round = |v: f64| v.signum() * v.abs().powf(power);
                figure.place(on_face(side * centre + half * round(cos), 0.03 + height * round(sin), 0.1))
            })
            .collect();
        canvas.fill(curve(&lens, Ends::Closed), [0.85, 0.9, 0.95], 0.08);
        canvas.stroke(curve(&lens, Ends::Closed), width, colour, 0.95);
        let arm = [(centre + half, 0.0, 0.1), (shape.half_width() * 1.03, -0.04, -0.1)]
            .map(|(x, y, z)| figure.place(on_face(side * x, y, z)));
        canvas.stroke(curve(&arm, Ends::Open), width, colour, 0.95);
    }
    let bridge = [-1.0, 0.0, 1.0]
        .map(|t: f64| figure.place(on_face(t * (centre - half), -0.02 - 0.03 * (1.0 - t * t), 0.12)));
    canvas.stroke(curve(&bridge, Ends::Open), width, colour, 0.95);
}

/// Opaque things before the face: papers, microphones, hands.
pub(super) fn patches(canvas: &mut Canvas, figure: &Figure, look: &Look, rng: &mut ChaCha8Rng) {
    for _ in 0..look.patches {
        // Centred on the rim of the face more often than in its middle.
        let angle = rng.random_range(0.0..std::f64::consts::TAU);
        let out = rng.random_range(0.35..1.05);
        let centre = figure.place(on_face(0.75 * out * angle.cos(), 0.5 + 0.75 * out * angle.sin(), 0.1));
        let reach = figure.pixels(rng.random_range(0.25..0.6));
        match rng.random_range(0..3) {
            0 => canvas.occlude(circle(centre, reach / 2.0), random_colour(rng)),
            1 => canvas.occlude(quad(centre, reach, rng), random_colour(rng)),
            _ => {
                // Four fingers side by side.
                let (sin, cos) = (rng.random_range(0.0..std::f32::consts::TAU)).sin_cos();
                for finger in 0..4 {
                    let across = (finger as f32 - 1.5) * 0.24 * reach;
                    let long = reach * [0.75, 0.9, 0.88, 0.7][finger];
                    let at = |u: f32, v: f32| [centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v];
                    let wide = 0.11 * reach;
                    let shape = [
                        at(across - wide, -long),
                        at(across - wide, 0.7 * long),
                        at(across, long),
                        at(across + wide, 0.7 * long),
                        at(across + wide, -long),
                    ];
                    canvas
                        .occlude(curve(&shape, Ends::Closed), scaled(look.skin, 0.78 + 0.06 * finger as f32));
                    canvas.stroke(curve(&shape, Ends::Closed), 0.8, scaled(look.skin, 0.5), 0.7);
                }
            }
        }
    }
}

/// A quadrilateral of about the given size, turned at random.
fn quad(centre: [f32; 2], reach: f32, rng: &mut ChaCha8Rng) -> Option<tiny_skia::Path> {
    let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
    let tall = reach * rng.random_range(0.3..1.0) / 2.0;
    let corners = [(-reach / 2.0, -tall), (reach / 2.0, -tall), (reach / 2.0, tall), (-reach / 2.0, tall)];
    polygon(&corners.map(|(u, v)| [centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v]))
}
