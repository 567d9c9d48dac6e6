//! A head that can take many shapes: the light form of ICT-FaceKit (USC Institute for Creative Technologies, MIT licence).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use half::f16;
use npyz::NpyFile;
use zip::ZipArchive;

/// Vertices of the face, ears and neck apart, in the order of ICT-FaceKit's README.
pub(super) const FACE: Range<usize> = 0..9409;
/// Head and neck.
pub(super) const HEAD: Range<usize> = 9409..11248;
/// Mouth socket, eye sockets, gums and tongue.
pub(super) const INSIDE: Range<usize> = 11248..17039;
/// Teeth.
pub(super) const TEETH: Range<usize> = 17039..21451;
/// Both eyeballs.
pub(super) const EYES: Range<usize> = 21451..24591;
/// Where what is drawn ends: lacrimal fluid, blends and lashes are left out.
const DRAWN: usize = 24591;
/// Landmarks of the 68-point markup.
const LANDMARKS: usize = 68;

/// The mean head and the ways in which it varies. Lengths in centimetres; x to the head's left, y up, z out of the face.
pub(super) struct HeadModel {
    pub(super) mean: Vec<[f32; 3]>,
    /// Corners of each triangle that is drawn.
    pub(super) triangles: Vec<[u32; 3]>,
    /// Differences from the mean, one a principal component of identity, in standard deviations.
    identities: Vec<Vec<[f32; 3]>>,
    /// Differences from the mean, one an expression at full strength.
    expressions: Vec<Vec<[f32; 3]>>,
    /// Vertex of each landmark.
    pub(super) landmarks: Vec<usize>,
}

impl HeadModel {
    /// Reads `ict.npz` and `landmarks68.txt` from a folder.
    ///
    /// # Errors
    /// Names the file and array that is missing or of another shape.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("ict.npz");
        let mut arrays = arrays(&path).with_context(|| path.display().to_string())?;
        let mut take = |name: &str, rank: usize| {
            let array = arrays.remove(name).with_context(|| format!("expected an array `{name}`"))?;
            ensure!(array.shape.len() == rank, "{name}: expected {rank} axes, got {:?}", array.shape);
            Ok(array)
        };
        let mut read = || -> Result<Self> {
            let mean = triples(take("V", 2)?)?.remove(0);
            let faces = take("F", 2)?;
            let (identities, expressions) = (triples(take("ids", 3)?)?, triples(take("ev", 3)?)?);
            let triangles = triangles(&faces, mean.len())?;
            Ok(Self { mean, triangles, identities, expressions, landmarks: Vec::new() })
        };
        let mut model = read().with_context(|| path.display().to_string())?;
        model.landmarks = landmarks(&folder.join("landmarks68.txt"), model.mean.len())?;
        Ok(model)
    }

    /// Number of identity components.
    pub(super) fn identities(&self) -> usize {
        self.identities.len()
    }

    /// Number of expressions.
    pub(super) fn expressions(&self) -> usize {
        self.expressions.len()
    }

    /// Vertices of a head: the mean plus weighted differences; each list is (component, weight).
    pub(super) fn shape(&self, identity: &[(usize, f32)], expression: &[(usize, f32)]) -> Vec<[f32; 3]> {
        let mut vertices = self.mean.clone();
        let parts = [(&self.identities, identity), (&self.expressions, expression)];
        for (modes, weights) in parts {
            for &(mode, weight) in weights {
                for (vertex, difference) in vertices.iter_mut().zip(&modes[mode]) {
                    (0..3).for_each(|axis| vertex[axis] += weight * difference[axis]);
                }
            }
        }
        vertices
    }
}

/// Numbers of an array in row-major order.
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn arrays(path: &Path) -> Result<BTreeMap<String, Array>> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.trim_end_matches(".npy").to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        // Names of expressions are text: passed over.
        if let Ok(array) = numbers(&bytes) {
            arrays.insert(name, array);
        }
    }
    Ok(arrays)
}

fn numbers(bytes: &[u8]) -> Result<Array> {
    let file = NpyFile::new(bytes)?;
    let shape = file.shape().iter().map(|&side| usize::try_from(side)).collect::<Result<_, _>>()?;
    let type_of = file.dtype().descr();
    let values = match type_of.trim_matches('\'') {
        "<f4" => file.into_vec::<f32>()?,
        "<f2" => file.into_vec::<f16>()?.into_iter().map(f16::to_f32).collect(),
        "<i8" => file.into_vec::<i64>()?.into_iter().map(|v| v as f32).collect(),
        other => anyhow::bail!("expected numbers, got {other}"),
    };
    Ok(Array { shape, values })
}

fn triples(array: Array) -> Result<Vec<Vec<[f32; 3]>>> {
    let (last, rest) = array.shape.split_last().context("expected axes")?;
    ensure!(*last == 3, "expected 3 coordinates a vertex, got {last}");
    let vertices = rest.last().copied().unwrap_or(1);
    let points: Vec<[f32; 3]> = array.values.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    Ok(points.chunks_exact(vertices).map(<[_]>::to_vec).collect())
}

/// Two triangles a quad, of the parts that are drawn.
fn triangles(faces: &Array, vertices: usize) -> Result<Vec<[u32; 3]>> {
    ensure!(faces.shape[1] == 4, "F: expected 4 corners a face, got {}", faces.shape[1]);
    ensure!(faces.values.iter().all(|&v| v >= 0.0 && (v as usize) < vertices), "F: a corner is no vertex");
    let corners =
        faces.values.chunks_exact(4).map(|quad| [quad[0], quad[1], quad[2], quad[3]].map(|v| v as u32));
    let drawn = corners.filter(|quad| quad.iter().all(|&v| (v as usize) < DRAWN));
    Ok(drawn.flat_map(|[a, b, c, d]| [[a, b, c], [a, c, d]]).collect())
}

fn landmarks(path: &Path, vertices: usize) -> Result<Vec<usize>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parse = |(row, line): (usize, &str)| -> Result<usize> {
        let vertex: usize = line.trim().parse().with_context(|| format!("line {}: {line}", row + 1))?;
        ensure!(vertex < vertices, "line {}: expected a vertex below {vertices}, got {vertex}", row + 1);
        Ok(vertex)
    };
    let found: Result<Vec<usize>> = text.lines().enumerate().map(parse).collect();
    let found = found.with_context(|| path.display().to_string())?;
    ensure!(found.len() == LANDMARKS, "{}: expected {LANDMARKS} lines, got {}", path.display(), found.len());
    Ok(found)
}
