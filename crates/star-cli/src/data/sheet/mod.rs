//! A contact sheet: faces in tiles, with points, edges, boxes and a line of text below each.

mod tile;

use anyhow::{Context, Result, ensure};
use font8x8::UnicodeFonts;
use tiny_skia::{Color, Pixmap, PremultipliedColorU8, Rect, Transform};

pub(super) use tile::Tile;
use tile::{CROP, EDGE, HIDDEN, STATED, VISIBLE, paint};

const BACKGROUND: [u8; 3] = [24, 26, 30];
const OUTSIDE: [u8; 3] = [44, 47, 54];
const TEXT: [u8; 3] = [214, 218, 226];
const WRONG: [u8; 3] = [255, 120, 110];

/// Pixels between tiles and around them.
const GAP: u32 = 8;
/// Height of a line of text, and of its letters.
const LINE: u32 = 14;
const LETTER: u32 = 8;
/// Largest side of a sheet.
const MAX_SIDE: u32 = 20_000;

/// How tiles are laid out.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) columns: u32,
    pub(super) rows: u32,
    pub(super) tile: u32,
}

impl Layout {
    /// Faces of a page.
    pub(super) fn faces(&self) -> usize {
        (self.columns * self.rows) as usize
    }
}

/// A page under way.
pub(super) struct Sheet {
    layout: Layout,
    canvas: Pixmap,
}

impl Sheet {
    /// An empty page for `faces` faces, no larger than they need, with a title and what the colours mean.
    pub(super) fn new(layout: Layout, faces: usize, title: &str) -> Result<Self> {
        let rows = (faces as u32).div_ceil(layout.columns).clamp(1, layout.rows);
        let width = GAP + layout.columns * (layout.tile + GAP);
        let height = GAP + 2 * LINE + rows * (layout.tile + LINE + GAP);
        ensure!(
            width <= MAX_SIDE && height <= MAX_SIDE,
            "a page of {width}x{height} pixels is too large: use fewer --columns or --rows, or a smaller --tile"
        );
        let mut canvas = Pixmap::new(width, height).context("the page is too large")?;
        let [r, g, b] = BACKGROUND;
        canvas.fill(Color::from_rgba8(r, g, b, 255));
        let mut sheet = Self { layout, canvas };
        sheet.text([GAP, GAP], width - 2 * GAP, title, TEXT);
        let mut x = GAP;
        for (words, [r, g, b, _]) in [
            ("keypoint", VISIBLE),
            ("keypoint said to be hidden", HIDDEN),
            ("edge", EDGE),
            ("crop box", CROP),
            ("stated box", STATED),
        ] {
            sheet.text([x, GAP + LINE], width.saturating_sub(x), words, [r, g, b]);
            x += (words.len() as u32 + 3) * LETTER;
        }
        Ok(sheet)
    }

    /// The page as PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        self.canvas.encode_png().context("encoding the page")
    }

    fn corner(&self, place: usize) -> [u32; 2] {
        let (column, row) = (place as u32 % self.layout.columns, place as u32 / self.layout.columns);
        let tile = self.layout.tile;
        [GAP + column * (tile + GAP), GAP + 2 * LINE + row * (tile + LINE + GAP)]
    }

    /// Marks the place of a face that cannot be read.
    pub(super) fn unreadable(&mut self, place: usize, label: &str) {
        let (corner, tile) = (self.corner(place), self.layout.tile);
        self.fill(corner, tile, OUTSIDE);
        self.text([corner[0] + LETTER, corner[1] + tile / 2], tile - 2 * LETTER, "cannot be read", WRONG);
        self.text([corner[0], corner[1] + tile + 3], tile, label, WRONG);
    }

    /// Draws a face onto its place.
    pub(super) fn draw(&mut self, place: usize, tile: &Tile, label: &str) {
        let (corner, side) = (self.corner(place), self.layout.tile);
        self.fill(corner, side, OUTSIDE);
        // A canvas of its own, so that nothing is drawn beyond it.
        if let Some(pixmap) = tile.draw(side) {
            let (x, y) = (corner[0] as i32, corner[1] as i32);
            let paint = tiny_skia::PixmapPaint::default();
            self.canvas.draw_pixmap(x, y, pixmap.as_ref(), &paint, Transform::identity(), None);
        }
        self.text([corner[0], corner[1] + side + 3], side, label, TEXT);
    }

    fn fill(&mut self, [x, y]: [u32; 2], side: u32, [r, g, b]: [u8; 3]) {
        if let Some(rect) = Rect::from_xywh(x as f32, y as f32, side as f32, side as f32) {
            self.canvas.fill_rect(rect, &paint([r, g, b, 255]), Transform::identity(), None);
        }
    }

    /// A line of text no wider than `width`; one that is longer keeps its end, where paths differ.
    fn text(&mut self, [x, y]: [u32; 2], width: u32, text: &str, [r, g, b]: [u8; 3]) {
        let most = (width / LETTER) as usize;
        let letters: Vec<char> = text.chars().collect();
        let letters = shortened(&letters, most);
        let Some(colour) = PremultipliedColorU8::from_rgba(r, g, b, 255) else { return };
        let (w, h) = (self.canvas.width(), self.canvas.height());
        let pixels = self.canvas.pixels_mut();
        for (i, letter) in letters.into_iter().enumerate() {
            let glyph = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::LATIN_FONTS.get(letter));
            let Some(glyph) = glyph.or_else(|| font8x8::BASIC_FONTS.get('?')) else { continue };
            for (row, bits) in glyph.iter().enumerate() {
                for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                    let (px, py) = (x + i as u32 * LETTER + column, y + row as u32);
                    if px < w && py < h {
                        pixels[(py * w + px) as usize] = colour;
                    }
                }
            }
        }
    }
}

/// The number at the start and as much of the end as there is room for.
fn shortened(letters: &[char], most: usize) -> Vec<char> {
    if letters.len() <= most {
        return letters.to_vec();
    }
    let head = letters.iter().position(|c| *c == ' ').map_or(0, |at| at + 1).min(most);
    let room = most.saturating_sub(head + 2);
    let tail = &letters[letters.len() - room..];
    letters[..head]
        .iter()
        .copied()
        .chain("..".chars().take(most - head))
        .chain(tail.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use star_data::{Annotation, FaceBox, Scheme};

    use super::*;

    fn face() -> Annotation {
        let face = FaceBox { x: 10.0, y: 10.0, width: 20.0, height: 20.0 };
        let mut visibility = vec![true; 29];
        visibility[1] = false;
        let mut points = vec![[f32::NAN; 2]; 29];
        (points[0], points[1]) = ([20.0, 20.0], [14.0, 26.0]);
        Annotation {
            file: std::path::Path::new("a").into(),
            line: 1,
            image: "a.png".into(),
            points,
            visibility: Some(visibility),
            stated: None,
            face,
            tags: Vec::new(),
        }
    }

    #[test]
    fn points_are_drawn_where_they_are_in_the_colour_of_what_they_are() {
        let image = RgbImage::from_pixel(40, 40, image::Rgb([10, 20, 30]));
        let (face, scheme) = (face(), Scheme::named("cofw").unwrap());
        let mut sheet = Sheet::new(Layout { columns: 1, rows: 1, tile: 200 }, 1, "title").unwrap();
        let tile = Tile { face: &face, image: &image, scheme: &scheme, shown: Some(2.0) };
        sheet.draw(0, &tile, "1 a.png");
        let drawn = image::load_from_memory(&sheet.png().unwrap()).unwrap().to_rgb8();
        // the window is 0..40, five tile pixels a pixel; tiles begin below the two lines
        let at = |x: u32, y: u32| drawn.get_pixel(GAP + 5 * x, GAP + 2 * LINE + 5 * y).0;
        // dots of so small a face are narrower than a pixel and shine through: which colour is nearest?
        let apart = |a: [u8; 3], b: &[u8]| -> i32 {
            a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum()
        };
        let nearest = |colour: [u8; 3]| {
            let all: [&[u8]; 3] = [&VISIBLE[..3], &HIDDEN[..3], &[10, 20, 30]];
            all.into_iter().min_by_key(|known| apart(colour, known)).unwrap()
        };
        assert_eq!(nearest(at(20, 20)), &VISIBLE[..3]);
        assert_eq!(nearest(at(14, 26)), &HIDDEN[..3]);
        assert_eq!(at(36, 36), [10, 20, 30]);
        // a line of 1.2 pixels covers 0.6 of this one, 0.5 by quarters of a pixel, at 200 / 255: 10 + (0.39 to 0.47) * 245
        assert!((100..130).contains(&at(20, 10)[0]), "the crop box: {:?}", at(20, 10));
    }

    #[test]
    fn what_lies_beyond_the_image_stays_empty() {
        let image = RgbImage::from_pixel(22, 22, image::Rgb([200, 0, 0]));
        let (face, scheme) = (face(), Scheme::named("cofw").unwrap());
        let mut sheet = Sheet::new(Layout { columns: 2, rows: 1, tile: 100 }, 1, "").unwrap();
        sheet.draw(0, &Tile { face: &face, image: &image, scheme: &scheme, shown: Some(3.0) }, "");
        let drawn = image::load_from_memory(&sheet.png().unwrap()).unwrap().to_rgb8();
        assert_eq!(drawn.get_pixel(GAP + 95, GAP + 2 * LINE + 95).0, OUTSIDE);
        assert_eq!(drawn.get_pixel(GAP + 150, GAP + 2 * LINE + 50).0, BACKGROUND);
    }

    #[test]
    fn long_names_keep_their_number_and_their_end() {
        let letters: Vec<char> = "17 a/very/long/name.jpg".chars().collect();
        assert_eq!(shortened(&letters, 15).into_iter().collect::<String>(), "17 ..g/name.jpg");
        assert_eq!(shortened(&letters, 40), letters);
    }
}
