//! Paints a placed face (background, what is behind it, the face, what is before it, light), hand or leaf.

mod canvas;
mod face;
mod hand;
mod leaf;
mod light;
mod look;
mod marks;
mod scene;

use image::RgbImage;
use rand_chacha::ChaCha8Rng;

use canvas::Canvas;
pub(super) use hand::paint_hand;
pub(super) use leaf::paint_leaf;
use look::Look;

use super::config::Marks;
use super::figure::Figure;
use super::shape::on_face;

/// A painted image and what is known of it.
pub(super) struct Painting {
    pub(super) image: RgbImage,
    /// Which landmarks no fringe and no patch covers.
    pub(super) visibility: Vec<bool>,
    pub(super) badly_lit: bool,
    pub(super) makeup: bool,
    pub(super) blurred: bool,
}

/// Paints `figure` in a square image of `size` pixels, with ticks across `tangents` where `marks` says so; `None` where no such image can
/// be allocated.
pub(super) fn paint(
    figure: &Figure,
    size: u32,
    marks: Marks,
    tangents: &[[f32; 2]],
    rng: &mut ChaCha8Rng,
) -> Option<Painting> {
    let look = Look::draw(rng);
    let mut canvas = Canvas::new(size)?;
    scene::background(&mut canvas, rng);
    scene::behind(&mut canvas, figure, &look);
    face::face(&mut canvas, figure, &look, rng);
    scene::fringe(&mut canvas, figure, &look, rng);
    if look.glasses {
        scene::glasses(&mut canvas, figure, rng);
    }
    scene::patches(&mut canvas, figure, &look, rng);
    let visibility = figure.landmarks.iter().map(|&p| !canvas.is_hidden(p)).collect();
    if marks == Marks::Ticks {
        marks::ticks(&mut canvas, &figure.landmarks, tangents, figure.pixels(1.0));
    }
    let centre = figure.place(on_face(0.0, 0.4, 0.0));
    let image = light::expose(&canvas, &look, centre, figure.pixels(1.0), rng);
    Some(Painting {
        image,
        visibility,
        badly_lit: look.is_badly_lit(),
        makeup: look.makeup,
        blurred: look.blur > 0,
    })
}
