//! A model of data-parallel training on cards: every input is a constant here, every figure of `docs/scaling.md` comes from it.

use std::fmt::Write;

use anyhow::Result;
use star_model::StackedHourglassConfig;
use star_model::checkpoint::Architecture;

/// Multiply-accumulates of the full-size network for one face forward, as `star inspect` prints them.
const MACS: f64 = 17.34e9;

/// Forward and backward over forward: a gradient by the input and one by the weights cost a forward pass each.
const PASSES: f64 = 3.0;

/// Assumed: what a card reaches of f32 multiply-adds on this network, operations a second.
const CARD: f64 = 6e12;

/// Faces a card: the reference trains on 4 cards with 128 faces a step.
const LOCAL_BATCH: usize = 32;

/// Assumed: cards a machine, and bytes a second of an all-reduce inside one (NVLink) and between machines (100 Gbit/s, shared by the
/// cards of a machine, 80 % of it reached).
const CARDS_A_MACHINE: usize = 8;
const INSIDE: f64 = 150e9;
const BETWEEN: f64 = 10e9;

/// Assumed: seconds of a hop of a small message inside a machine and between machines, and of bringing a batch norm's sums from the
/// card to the host and back.
const HOP_INSIDE: f64 = 2e-6;
const HOP_BETWEEN: f64 = 10e-6;
const TO_HOST: f64 = 30e-6;

/// Measured on one core (Zen 5, other programs running): seconds of decoding, cropping and augmenting a face of a photograph, target
/// maps drawn.
const LOADING: f64 = 1.6e-3;

/// Numbers of cards.
const CARDS: [usize; 7] = [1, 4, 8, 16, 32, 64, 256];

/// What the model needs to know about the network.
struct Network {
    /// Bytes of all gradients in f32.
    gradients: f64,
    /// Batch norms, each of which exchanges sums once forward and once backward.
    norms: usize,
}

impl Network {
    fn full_size() -> Result<Self> {
        let edges = star_data::Scheme::named("wflw98")?.edge_points();
        let architecture = Architecture::StackedHourglass(StackedHourglassConfig::reference(98, edges));
        let mut network = Self { gradients: 0.0, norms: 0 };
        for (name, shape) in architecture.expected()? {
            if name.ends_with("running_mean") {
                network.norms += 1;
            } else if !name.ends_with("running_var") {
                network.gradients += 4.0 * shape.iter().product::<usize>() as f64;
            }
        }
        Ok(network)
    }
}

/// Seconds of the parts of one step, and what follows.
#[derive(Clone, Copy)]
struct Step {
    cards: usize,
    compute: f64,
    gradients: f64,
    norms: f64,
}

impl Step {
    fn of(network: &Network, cards: usize) -> Self {
        let compute = LOCAL_BATCH as f64 * PASSES * 2.0 * MACS / CARD;
        if cards == 1 {
            return Self { cards, compute, gradients: 0.0, norms: 0.0 };
        }
        let n = cards as f64;
        let (bandwidth, hop) =
            if cards <= CARDS_A_MACHINE { (INSIDE, HOP_INSIDE) } else { (BETWEEN, HOP_BETWEEN) };
        // A ring: every byte passes every link twice, less the own part.
        let gradients = 2.0 * (n - 1.0) / n * network.gradients / bandwidth + 2.0 * (n - 1.0) * hop;
        // A tree there and back: what is sent is too small to matter.
        let norms = 2.0 * network.norms as f64 * (2.0 * n.log2().ceil() * hop + TO_HOST);
        Self { cards, compute, gradients, norms }
    }

    fn seconds(&self) -> f64 {
        self.compute + self.gradients + self.norms
    }

    fn faces_a_second(&self) -> f64 {
        (self.cards * LOCAL_BATCH) as f64 / self.seconds()
    }

    fn efficiency(&self) -> f64 {
        self.compute / self.seconds()
    }

    /// Cores that load as fast as the cards of one machine train.
    fn cores_a_machine(&self) -> f64 {
        let machines = self.cards.div_ceil(CARDS_A_MACHINE) as f64;
        self.faces_a_second() / machines * LOADING
    }
}

/// The model as the Markdown that `docs/scaling.md` holds: its inputs and its table.
pub(crate) fn table() -> Result<String> {
    let network = Network::full_size()?;
    let mut text = String::new();
    writeln!(text, "| input | value | from |")?;
    writeln!(text, "|---|---|---|")?;
    let mut input = |name: &str, value: String, from: &str| writeln!(text, "| {name} | {value} | {from} |");
    input("G, gradients in f32", format!("{:.1} MB", network.gradients / 1e6), "counted")?;
    input("N, batch norms", network.norms.to_string(), "counted")?;
    input("M, multiply-accumulates a face, forward", format!("{:.2} G", MACS / 1e9), "counted")?;
    input("F, operations a second of a card", format!("{:.0} T", CARD / 1e12), "assumed")?;
    input("b, faces a card", LOCAL_BATCH.to_string(), "the reference's 128 on 4 cards")?;
    input("cards a machine", CARDS_A_MACHINE.to_string(), "assumed")?;
    input(
        "B, bytes a second of an all-reduce",
        format!("{:.0} G inside a machine, {:.0} G between machines", INSIDE / 1e9, BETWEEN / 1e9),
        "assumed",
    )?;
    input(
        "h, a hop",
        format!("{:.0} us inside, {:.0} us between", HOP_INSIDE * 1e6, HOP_BETWEEN * 1e6),
        "assumed",
    )?;
    input("c, card to host and back", format!("{:.0} us", TO_HOST * 1e6), "assumed")?;
    input("l, loading a face on one core", format!("{:.1} ms", LOADING * 1e3), "measured, see below")?;
    writeln!(text)?;
    writeln!(
        text,
        "| cards | faces a step | compute | gradients | batch norms | step | faces a second | of n times one card | loading: cores a machine |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
    for cards in CARDS {
        let step = Step::of(&network, cards);
        writeln!(
            text,
            "| {cards} | {} | {:.0} ms | {:.1} ms | {:.1} ms | {:.0} ms | {:.0} | {:.0} % | {:.1} |",
            cards * LOCAL_BATCH,
            1e3 * step.compute,
            1e3 * step.gradients,
            1e3 * step.norms,
            1e3 * step.seconds(),
            step.faces_a_second(),
            100.0 * step.efficiency(),
            step.cores_a_machine()
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn a_step_is_what_the_formulas_say() {
        let network = Network { gradients: 60e6, norms: 100 };
        let step = Step::of(&network, 16);
        // 32 * 3 * 2 * 17.34e9 / 6e12 = 0.55488 s
        assert!((step.compute - 0.554_88).abs() < 1e-9);
        // 2 * 15/16 * 60e6 / 10e9 + 2 * 15 * 10e-6 = 11.25 ms + 0.3 ms
        assert!((step.gradients - 11.55e-3).abs() < 1e-9);
        // 200 * (2 * 4 * 10e-6 + 30e-6) = 22 ms
        assert!((step.norms - 22e-3).abs() < 1e-9);
        let alone = Step::of(&network, 1);
        assert_eq!((alone.gradients, alone.norms, alone.efficiency()), (0.0, 0.0, 1.0));
    }

    #[test]
    fn the_page_holds_the_models_own_table() {
        let page = Workspace::find().unwrap().read("docs/scaling.md").unwrap();
        let table = table().unwrap();
        assert!(
            page.contains(&table),
            "docs/scaling.md is behind `cargo xtask scaling`, which prints:\n{table}"
        );
    }
}
