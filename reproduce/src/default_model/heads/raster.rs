//! Triangles with colours and normals onto pixels, nearest first.

use image::{Rgb, RgbImage};

use super::camera::View;

/// One light far away, and light from everywhere.
pub(super) struct Light {
    /// Unit vector towards the light: x right, y up, z to the camera.
    pub(super) direction: [f32; 3],
    /// Share of the light that comes from everywhere.
    pub(super) ambient: f32,
    /// Factor of all light.
    pub(super) strength: f32,
    /// Share of the direct light that is mirrored in a highlight.
    pub(super) gloss: f32,
}

/// Sharpness of the highlight of skin.
const SHININESS: i32 = 12;

impl Light {
    fn shade(&self, colour: [f32; 3], normal: [f32; 3]) -> [u8; 3] {
        let diffuse = dot(normal, self.direction).max(0.0);
        let half = unit([self.direction[0], self.direction[1], self.direction[2] + 1.0]);
        let highlight = 255.0 * self.gloss * dot(normal, half).max(0.0).powi(SHININESS);
        let light = self.strength * (self.ambient + (1.0 - self.ambient) * diffuse);
        colour.map(|c| (c * light + self.strength * highlight).clamp(0.0, 255.0) as u8)
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn unit(v: [f32; 3]) -> [f32; 3] {
    let length = dot(v, v).sqrt().max(f32::MIN_POSITIVE);
    v.map(|x| x / length)
}

/// Normals of vertices: means of their triangles', by area.
fn normals(vertices: &[[f32; 3]], triangles: &[[u32; 3]]) -> Vec<[f32; 3]> {
    let mut sums = vec![[0f32; 3]; vertices.len()];
    for triangle in triangles {
        let [a, b, c] = triangle.map(|v| vertices[v as usize]);
        let (u, v) = ([0, 1, 2].map(|k| b[k] - a[k]), [0, 1, 2].map(|k| c[k] - a[k]));
        let cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        for &corner in triangle {
            (0..3).for_each(|k| sums[corner as usize][k] += cross[k]);
        }
    }
    sums.into_iter().map(unit).collect()
}

/// Draws a head with one colour a vertex over `image`; both sides of a triangle are seen.
pub(super) fn draw(
    image: &mut RgbImage,
    view: &View,
    triangles: &[[u32; 3]],
    colours: &[[f32; 3]],
    light: &Light,
) {
    let normals = normals(&view.turned, triangles);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut depths = vec![f32::INFINITY; width * height];
    for triangle in triangles {
        let corners = triangle.map(|v| view.points[v as usize]);
        let [a, b, c] = corners;
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        if area.abs() < f32::EPSILON {
            continue;
        }
        let range = |axis: usize, end: usize| {
            let low = corners.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min).floor().max(0.0);
            let high = corners.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max).ceil();
            low as usize..(high.max(0.0) as usize + 1).min(end)
        };
        for y in range(1, height) {
            for x in range(0, width) {
                let p = [x as f32, y as f32];
                let edge = |s: [f32; 3], t: [f32; 3]| {
                    ((t[0] - s[0]) * (p[1] - s[1]) - (t[1] - s[1]) * (p[0] - s[0])) / area
                };
                let shares = [edge(b, c), edge(c, a), edge(a, b)];
                if shares.iter().any(|&share| share < 0.0) {
                    continue;
                }
                let depth: f32 = (0..3).map(|k| shares[k] * corners[k][2]).sum();
                let nearest = &mut depths[y * width + x];
                if depth >= *nearest {
                    continue;
                }
                *nearest = depth;
                let mix = |of: &[[f32; 3]]| -> [f32; 3] {
                    std::array::from_fn(|axis| {
                        (0..3).map(|k| shares[k] * of[triangle[k] as usize][axis]).sum()
                    })
                };
                let normal = unit(mix(&normals));
                let facing = if normal[2] < 0.0 { normal.map(|v| -v) } else { normal };
                image.put_pixel(x as u32, y as u32, Rgb(light.shade(mix(colours), facing)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_triangle_is_seen_and_light_from_the_front_is_full() {
        let points = vec![
            [0.0, 0.0, 9.0],
            [20.0, 0.0, 9.0],
            [0.0, 20.0, 9.0],
            [0.0, 0.0, 5.0],
            [10.0, 0.0, 5.0],
            [0.0, 10.0, 5.0],
        ];
        let turned = points.iter().map(|p: &[f32; 3]| [p[0], -p[1], -p[2]]).collect();
        let view = View { points, turned };
        let (far, near) = ([100.0, 0.0, 0.0], [0.0, 100.0, 0.0]);
        let light = Light { direction: [0.0, 0.0, 1.0], ambient: 0.2, strength: 1.0, gloss: 0.0 };
        let mut image = RgbImage::new(20, 20);
        draw(&mut image, &view, &[[3, 4, 5], [0, 1, 2]], &[far, far, far, near, near, near], &light);
        assert_eq!(image.get_pixel(2, 2).0, [0, 100, 0]);
        assert_eq!(image.get_pixel(12, 2).0, [100, 0, 0]);
        assert_eq!(image.get_pixel(19, 19).0, [0, 0, 0]);
    }
}
