//! A dry run over a pickle's instructions that builds nothing: what it would import, how deep and how large it gets.
//!
//! Building executes nothing either, but it clones shared objects and nests as they do; this scan refuses first whatever could hurt.
//! Instruction numbers: CPython's `pickletools`.

use candle_core::{Result, bail};

use super::pickle_bytes::Bytes;

/// Nesting that a state dictionary never comes near.
const MAX_DEPTH: u32 = 64;

/// Objects after sharing is undone, for each byte of the pickle: a checkpoint has fewer than one, since what it shares is small. Each of
/// them takes some tens of bytes of memory.
const OBJECTS_A_BYTE: u64 = 8;

/// Objects that any pickle may unfold to.
const FEW_OBJECTS: u64 = 10_000;

/// `(module, names)` that checkpoints refer to; none of them does anything when merely named.
const HARMLESS: [(&str, &[&str]); 6] = [
    ("collections", &["OrderedDict", "Counter", "defaultdict"]),
    ("torch._utils", &["_rebuild_tensor_v2", "_rebuild_parameter"]),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.nn.parameter", &["Parameter"]),
    ("torch", &["Size", "device", "Tensor"]),
    ("torch.serialization", &["_get_layout"]),
];

fn harmless(module: &str, name: &str) -> bool {
    (module == "torch" && name.ends_with("Storage") && name.bytes().all(|b| b.is_ascii_alphanumeric()))
        || HARMLESS.iter().any(|(m, names)| *m == module && names.contains(&name))
}

/// Depth and object count of something on the stack.
#[derive(Clone, Copy)]
struct Item {
    depth: u32,
    objects: u64,
}

const LEAF: Item = Item { depth: 1, objects: 1 };

impl Item {
    fn around(self, inner: Item) -> Self {
        Self { depth: self.depth.max(inner.depth + 1), objects: self.objects.saturating_add(inner.objects) }
    }
}

/// Objects by their numbers. What is put here and what is taken up again is a copy of the object with everything in it.
#[derive(Default)]
struct Memo {
    items: std::collections::HashMap<u32, Item>,
    copied: u64,
}

impl Memo {
    fn len(&self) -> usize {
        self.items.len()
    }

    /// Counts a copy.
    fn copy(&mut self, item: Item, most: u64) -> Result<Item> {
        self.copied = self.copied.saturating_add(item.objects);
        if self.copied > most {
            bail!("refused: the pickle unfolds to more than {most} objects, copies of shared ones among them")
        }
        Ok(item)
    }
}

struct Scan<'a> {
    bytes: Bytes<'a>,
    stack: Vec<Option<Item>>,
    memo: Memo,
    /// Objects after sharing is undone.
    most: u64,
    foreign: Option<String>,
}

/// What a scan found.
#[derive(Debug)]
pub(super) struct Scanned {
    /// Bytes of the pickle.
    pub(super) length: usize,
    /// The first import that is neither of tensors nor of plain containers.
    pub(super) foreign: Option<String>,
}

/// Walks the instruction stream at the start of `data`.
///
/// # Errors
/// On nesting or sizes out of all proportion, on an instruction that checkpoints do not use, and on a stream that ends early.
pub(super) fn scan(data: &[u8]) -> Result<Scanned> {
    let most = (OBJECTS_A_BYTE * data.len() as u64).max(FEW_OBJECTS);
    let mut scan =
        Scan { bytes: Bytes(data), stack: Vec::new(), memo: Default::default(), most, foreign: None };
    while scan.step()? {
        if scan.stack.len().max(scan.memo.len()) as u64 > most {
            bail!("refused: the pickle holds more than {most} objects")
        }
    }
    Ok(Scanned { length: data.len() - scan.bytes.0.len(), foreign: scan.foreign })
}

impl Scan<'_> {
    fn push(&mut self, item: Item) -> Result<()> {
        if item.depth > MAX_DEPTH {
            bail!("refused: the pickle nests deeper than {MAX_DEPTH}")
        }
        if item.objects > self.most {
            bail!("refused: the pickle unfolds to more than {} objects", self.most)
        }
        self.stack.push(Some(item));
        Ok(())
    }

    fn pop(&mut self) -> Result<Item> {
        match self.stack.pop() {
            Some(Some(item)) => Ok(item),
            _ => bail!("malformed pickle: an instruction finds nothing to work on"),
        }
    }

    /// Replaces the topmost `count` items by one around them.
    fn wrap(&mut self, count: usize) -> Result<()> {
        let mut item = LEAF;
        for _ in 0..count {
            item = item.around(self.pop()?);
        }
        self.push(item)
    }

    /// Everything above the last mark, as one item; the mark goes too.
    fn pop_to_mark(&mut self) -> Result<Item> {
        let mut item = LEAF;
        loop {
            match self.stack.pop() {
                Some(Some(inner)) => item = item.around(inner),
                Some(None) => return Ok(item),
                None => bail!("malformed pickle: no mark on the stack"),
            }
        }
    }

    /// Puts `inner` into the container on top of the stack.
    fn insert(&mut self, inner: Item) -> Result<()> {
        let container = self.pop()?;
        self.push(container.around(inner))
    }

    fn put(&mut self, id: u32) -> Result<()> {
        let item = self.pop()?;
        let copy = self.memo.copy(item, self.most)?;
        self.memo.items.insert(id, copy);
        self.push(item)
    }

    fn get(&mut self, id: u32) -> Result<()> {
        match self.memo.items.get(&id) {
            Some(&item) => {
                let copy = self.memo.copy(item, self.most)?;
                self.push(copy)
            }
            None => bail!("malformed pickle: object {id} is used before it is made"),
        }
    }

    /// One instruction; false after the last.
    fn step(&mut self) -> Result<bool> {
        match self.bytes.number(1)? as u8 {
            0x80 => drop(self.bytes.take(1)?), // PROTO
            b'c' => {
                let (module, name) = (self.bytes.line()?, self.bytes.line()?);
                if self.foreign.is_none() && !harmless(&module, &name) {
                    self.foreign = Some(format!("{module}.{name}"));
                }
                self.push(LEAF)?;
            }
            b'q' => {
                let id = self.bytes.id(1)?;
                self.put(id)?;
            }
            b'r' => {
                let id = self.bytes.id(4)?;
                self.put(id)?;
            }
            b'h' => {
                let id = self.bytes.id(1)?;
                self.get(id)?;
            }
            b'j' => {
                let id = self.bytes.id(4)?;
                self.get(id)?;
            }
            b'(' => self.stack.push(None),
            b'X' => {
                self.bytes.counted(4)?;
                self.push(LEAF)?;
            }
            0x8a => {
                self.bytes.counted(1)?;
                self.push(LEAF)?;
            }
            b'J' => self.leaf(4)?,
            b'M' => self.leaf(2)?,
            b'K' => self.leaf(1)?,
            b'G' => self.leaf(8)?,
            0x88 | 0x89 | b'N' | b')' | b']' | b'}' => self.push(LEAF)?,
            b'Q' | 0x85 => self.wrap(1)?,
            0x86 | b'R' | b'b' | 0x81 => self.wrap(2)?,
            0x87 => self.wrap(3)?,
            b't' | b'd' => {
                let item = self.pop_to_mark()?;
                self.push(item)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(value.around(key))?;
            }
            b'a' => {
                let value = self.pop()?;
                self.insert(value)?;
            }
            b'u' | b'e' => {
                let items = self.pop_to_mark()?;
                self.insert(items)?;
            }
            b'.' => return Ok(false),
            code => bail!("refused: pickle instruction {code:#04x} does not occur in weights"),
        }
        Ok(true)
    }

    fn leaf(&mut self, bytes: usize) -> Result<()> {
        self.bytes.take(bytes)?;
        self.push(LEAF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(data: &[u8]) -> String {
        scan(data).unwrap_err().to_string()
    }

    #[test]
    fn a_call_to_the_shell_is_told_by_name_and_what_tensors_need_is_not() {
        // what `pickle.dumps` makes of an object whose __reduce__ is (os.system, ("true",))
        let data = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
        assert_eq!(scan(data).unwrap().foreign.as_deref(), Some("posix.system"));
        let plain = scan(b"\x80\x02ccollections\nOrderedDict\n)R.").unwrap();
        assert_eq!((plain.foreign, plain.length), (None, 30));
    }

    #[test]
    fn lengths_depth_and_doubling_are_bounded() {
        assert!(refusal(b"\x80\x02X\xff\xff\xff\xff").contains("truncated"));
        let deep = [vec![b'N'], vec![0x85; 100_000], vec![b'.']].concat();
        assert!(refusal(&deep).contains("deeper"));
        // t = (t, t) sixty times: 2^60 objects
        let mut bomb = vec![b'N'];
        for _ in 0..60 {
            bomb.extend([b'q', 0, b'h', 0, 0x86]);
        }
        assert!(refusal(&bomb).contains("unfolds"));
    }

    #[test]
    fn copies_of_a_large_object_are_counted_though_each_is_small_enough() {
        // A list of 400, kept 200 times under other numbers, or taken up 200 times: 80,000 objects of 1,200 bytes.
        let list = [vec![b']', b'('], vec![b'N'; 400], vec![b'e']].concat();
        let kept: Vec<u8> = (0..200).flat_map(|id| [b'q', id]).collect();
        let taken: Vec<u8> = [b'q', 0].into_iter().chain([b'h', 0].repeat(200)).collect();
        for copies in [kept, taken] {
            let message = refusal(&[list.clone(), copies, vec![b'.']].concat());
            assert!(message.contains("copies of shared ones"), "{message}");
        }
    }

    #[test]
    fn malformed_streams_are_told() {
        assert!(refusal(b"\x85.").contains("nothing to work on"));
        assert!(refusal(b"t.").contains("no mark"));
        assert!(refusal(b"h\x07.").contains("before it is made"));
        assert!(refusal(b"N").contains("truncated"));
        assert!(refusal(b"i").contains("0x69"));
    }
}
