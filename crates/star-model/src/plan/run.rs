//! Running a program on one image.

use super::kernels::Kernels;
use super::memory::Buffer;
use super::ops::depthwise::Windows;
use super::ops::pointwise::{Pointwise, Residual, Source};
use super::ops::stem::Stem;
use super::ops::team::Team;
use super::ops::window::Window;
use super::ops::winograd::Winograd;
use super::ops::{Machine, coordinates, heads, image, spatial};
use super::program::{Addend, Op, Program, Step};

/// Memory that one image needs on its way through a program.
pub(super) struct Arena {
    slots: Vec<Buffer>,
    pub(super) team: Team,
}

impl Arena {
    pub(super) fn new(program: &Program) -> Self {
        let slot = |&floats: &usize| {
            let mut buffer = Buffer::default();
            buffer.take(floats);
            buffer
        };
        Self { slots: program.slots.iter().map(slot).collect(), team: Team::new(1) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.team.bytes() + self.slots.iter().map(Buffer::bytes).sum::<usize>()
    }
}

/// Called with each stage's number and maps `[pixels, layout.channels]`.
pub(super) type OnStage<'a> = &'a mut dyn FnMut(usize, &[f32], &mut Machine);

/// Called before each step with it and the memory that it reads.
pub(super) type Before<'a> = &'a mut dyn FnMut(&Step, &[Buffer]);

impl Program {
    /// Runs one image, `[3, size, size]`; `before` is called before each step.
    pub(super) fn run(
        &self,
        kernels: &'static dyn Kernels,
        arena: &mut Arena,
        planes: &[f32],
        on_stage: OnStage,
        mut before: Option<Before>,
    ) {
        let side = self.image_size + 2 * self.border;
        image::interleave(
            planes,
            self.image_size,
            self.border,
            arena.slots[self.image].take(side * side * 3),
        );
        let Arena { slots, team } = arena;
        let mut machine = Machine { kernels, team };
        for step in &self.steps {
            if let Some(before) = before.as_deref_mut() {
                before(step, slots);
            }
            // Taken out, so that the inputs can be borrowed; no step's output is one of its inputs.
            let mut output = std::mem::take(&mut slots[step.output]);
            self.step(step, slots, output.take(step.floats), &mut machine, on_stage);
            slots[step.output] = output;
        }
    }

    fn step(&self, step: &Step, slots: &[Buffer], out: &mut [f32], machine: &mut Machine, on_stage: OnStage) {
        match &step.op {
            Op::Stem { image, padded, kernel, stride, panels, constant, activation, bf16, pairs } => {
                let input = slots[*image].get(padded * padded * 3);
                let constant = constant.as_ref().map(|constant| constant.get(out.len()));
                let (size, kernel, stride, activation) = ([*padded; 2], *kernel, *stride, *activation);
                let (channels, pairs) = (3, *pairs);
                let stem =
                    Stem { input, size, channels, kernel, stride, panels, constant, activation, pairs };
                if *bf16 { stem.run_bf16(machine, out) } else { stem.run(machine, out) }
            }
            Op::Pointwise { sources, prepare, panels, residual, activation, pixels, cells, pairs } => {
                let sources: Vec<Source> = sources
                    .iter()
                    .map(|input| Source {
                        values: slots[input.slot].get(input.floats),
                        stride: input.stride,
                        len: input.len,
                        pairs: input.pairs,
                    })
                    .collect();
                let residual = addend(*residual, slots, out.len());
                let (pixels, activation, prepare, pairs) = (*pixels, *activation, prepare.as_ref(), *pairs);
                let sources = &sources;
                Pointwise { pixels, sources, prepare, panels, residual, activation, cells, pairs }
                    .run(machine, out);
            }
            Op::Winograd { input, height, width, channels, panels, residual, activation, bf16 } => {
                let (height, width, channels, activation, bf16) =
                    (*height, *width, *channels, *activation, *bf16);
                let residual = addend(*residual, slots, out.len());
                let input = slots[*input].get(height * width * channels);
                Winograd { input, height, width, channels, panels, residual, activation, bf16 }
                    .run(machine, out);
            }
            Op::Window {
                input,
                height,
                width,
                channels,
                kernel,
                stride,
                panels,
                residual,
                activation,
                bf16,
            } => {
                let (height, width, channels, kernel, stride) =
                    (*height, *width, *channels, *kernel, *stride);
                let (residual, activation) = (addend(*residual, slots, out.len()), *activation);
                let halved = if bf16.is_some_and(|stored| stored.input) { 2 } else { 1 };
                let input = slots[*input].get(height * width * channels / halved);
                let window =
                    Window { input, height, width, channels, kernel, stride, panels, residual, activation };
                match bf16 {
                    Some(stored) => window.run_bf16(*stored, None, machine, out),
                    None => window.run(machine, out),
                }
            }
            Op::Depthwise { input, height, width, channels, kernel, stride, taps, activation } => {
                let (height, width, channels, kernel, stride) =
                    (*height, *width, *channels, *kernel, *stride);
                let input = slots[*input].get(height * width * channels);
                let taps = taps.get((kernel * kernel + 1) * channels);
                Windows { input, height, width, channels, kernel, stride }.run(
                    machine,
                    taps,
                    *activation,
                    out,
                );
            }
            Op::MaxPool { input, height, width, floats, pairs } => {
                let input = slots[*input].get(4 * height * width * floats);
                spatial::max_pool(machine, input, (*height, *width, *floats), *pairs, out);
            }
            Op::UpsampleAdd { low, height, width, floats, pairs } => {
                let low = slots[*low].get(height * width * floats);
                spatial::upsample_add(machine, out, low, (*height, *width, *floats), *pairs);
            }
            Op::Bilinear { low, height, width, channels, factor, base, activation } => {
                let low = slots[*low].get(height * width * channels);
                let base = addend(*base, slots, out.len());
                let (height, width, channels, factor, activation) =
                    (*height, *width, *channels, *factor, *activation);
                spatial::Bilinear { low, height, width, channels, factor, base, activation }
                    .run(machine, out);
            }
            Op::Activate { heatmaps } => heads::activate(machine, &self.layout, *heatmaps, out),
            Op::Coordinates { maps: None } => out.copy_from_slice(&self.coordinates),
            Op::Coordinates { maps: Some(maps) } => {
                let maps = slots[*maps].get(self.map_size * self.map_size * self.layout.channels);
                coordinates::mask(&self.coordinates, maps, &self.layout, out);
            }
            // Its output is the maps themselves, taken out like any other.
            Op::Stage { stage } => on_stage(*stage, out, machine),
        }
    }
}

/// What a step adds to, out of its slot.
fn addend(addend: Addend, slots: &[Buffer], len: usize) -> Residual<'_> {
    match addend {
        Addend::None => Residual::None,
        Addend::InPlace => Residual::InPlace,
        Addend::Slot(slot) => Residual::Other(slots[slot].get(len)),
    }
}
