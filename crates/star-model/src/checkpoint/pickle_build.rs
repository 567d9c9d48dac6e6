//! The object that a pickle's instructions describe, once [`scan`](super::pickle_scan::scan) has bounded it. Nothing is executed: an
//! instance of a class is the class's name and what it was made of.
//!
//! candle's reader does the same but for two things that checkpoints of training programs hold: items put into an instance of a class,
//! such as a dictionary with attributes, and whole numbers of more than eight bytes.

use std::collections::HashMap;

use candle_core::pickle::Object;
use candle_core::{Result, bail};

use super::pickle_bytes::Bytes;

/// Classes whose instances are dictionaries.
const DICTIONARIES: [&str; 2] = ["OrderedDict", "defaultdict"];

struct Machine<'a> {
    bytes: Bytes<'a>,
    stack: Vec<Object>,
    memo: HashMap<u32, Object>,
}

/// The object of the pickle `data`, which ends with its last byte.
///
/// # Errors
/// Where an instruction finds nothing to work on, or is none that the scan lets through.
pub(super) fn build(data: &[u8]) -> Result<Object> {
    let mut machine = Machine { bytes: Bytes(data), stack: Vec::new(), memo: HashMap::new() };
    while machine.step()? {}
    machine.pop()
}

impl Machine<'_> {
    fn pop(&mut self) -> Result<Object> {
        match self.stack.pop() {
            Some(Object::Mark) | None => bail!("malformed pickle: an instruction finds nothing to work on"),
            Some(object) => Ok(object),
        }
    }

    /// Everything above the last mark, in order; the mark goes too.
    fn above_mark(&mut self) -> Result<Vec<Object>> {
        let Some(mark) = self.stack.iter().rposition(|object| matches!(object, Object::Mark)) else {
            bail!("malformed pickle: no mark on the stack")
        };
        let above = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(above)
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut parts = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        parts.reverse();
        self.stack.push(Object::Tuple(parts));
        Ok(())
    }

    /// Puts keys and values into the dictionary on top of the stack; into an instance of a class they are not put.
    fn insert(&mut self, items: Vec<Object>) -> Result<()> {
        match self.stack.last_mut() {
            Some(Object::Dict(pairs)) => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Ok(())
            }
            Some(Object::Reduce { .. } | Object::Build { .. }) => Ok(()),
            _ => bail!("malformed pickle: items for something that holds none"),
        }
    }

    /// The same for a list.
    fn append(&mut self, items: Vec<Object>) -> Result<()> {
        match self.stack.last_mut() {
            Some(Object::List(list)) => {
                list.extend(items);
                Ok(())
            }
            Some(Object::Reduce { .. } | Object::Build { .. }) => Ok(()),
            _ => bail!("malformed pickle: items for something that holds none"),
        }
    }

    /// What a class makes of its arguments, or a function.
    fn call(&mut self) -> Result<()> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let dictionary = matches!(&callable, Object::Class { module_name, class_name }
            if module_name == "collections" && DICTIONARIES.contains(&class_name.as_str()));
        self.stack.push(match dictionary {
            true => Object::Dict(Vec::new()),
            false => Object::Reduce { callable: Box::new(callable), args: Box::new(args) },
        });
        Ok(())
    }

    /// An object with its state.
    fn state(&mut self) -> Result<()> {
        let (state, object) = (self.pop()?, self.pop()?);
        self.stack.push(match (object, state) {
            (Object::Dict(mut pairs), Object::Dict(state)) => {
                pairs.extend(state);
                Object::Dict(pairs)
            }
            (object, state) => Object::Build { callable: Box::new(object), args: Box::new(state) },
        });
        Ok(())
    }

    fn put(&mut self, id: u32) -> Result<()> {
        let Some(object) = self.stack.last() else { bail!("malformed pickle: nothing to remember") };
        self.memo.insert(id, object.clone());
        Ok(())
    }

    fn get(&mut self, id: u32) -> Result<()> {
        match self.memo.get(&id) {
            Some(object) => self.stack.push(object.clone()),
            None => bail!("malformed pickle: object {id} is used before it is made"),
        }
        Ok(())
    }

    /// One instruction; false after the last.
    fn step(&mut self) -> Result<bool> {
        match self.bytes.number(1)? as u8 {
            0x80 => drop(self.bytes.take(1)?), // PROTO
            b'c' => {
                let (module_name, class_name) = (self.bytes.line()?, self.bytes.line()?);
                self.stack.push(Object::Class { module_name, class_name });
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
            b'(' => self.stack.push(Object::Mark),
            b'X' => {
                let text = String::from_utf8_lossy(self.bytes.counted(4)?).into_owned();
                self.stack.push(Object::Unicode(text));
            }
            0x8a => {
                let number = long(self.bytes.counted(1)?).map_or(Object::None, Object::Long);
                self.stack.push(number);
            }
            b'J' => {
                let number = self.bytes.number(4)? as u32;
                self.stack.push(Object::Int(number.cast_signed()));
            }
            b'M' => {
                let number = self.bytes.number(2)? as i32;
                self.stack.push(Object::Int(number));
            }
            b'K' => {
                let number = self.bytes.number(1)? as i32;
                self.stack.push(Object::Int(number));
            }
            b'G' => {
                // The one number whose highest byte comes first.
                let bits = self.bytes.number(8)?.swap_bytes();
                self.stack.push(Object::Float(f64::from_bits(bits)));
            }
            0x88 => self.stack.push(Object::Bool(true)),
            0x89 => self.stack.push(Object::Bool(false)),
            b'N' => self.stack.push(Object::None),
            b')' => self.stack.push(Object::Tuple(Vec::new())),
            b']' => self.stack.push(Object::List(Vec::new())),
            b'}' => self.stack.push(Object::Dict(Vec::new())),
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(Object::PersistentLoad(Box::new(id)));
            }
            code @ 0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b'R' => self.call()?,
            // An instance, not yet with its state: of a dictionary, too.
            0x81 => self.call()?,
            b'b' => self.state()?,
            b't' => {
                let parts = self.above_mark()?;
                self.stack.push(Object::Tuple(parts));
            }
            b'd' => {
                let items = self.above_mark()?;
                self.stack.push(Object::Dict(Vec::new()));
                self.insert(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![key, value])?;
            }
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'u' => {
                let items = self.above_mark()?;
                self.insert(items)?;
            }
            b'e' => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b'.' => return Ok(false),
            code => bail!("refused: pickle instruction {code:#04x} does not occur in weights"),
        }
        Ok(true)
    }
}

/// A signed number of up to eight bytes, the lowest first; `None` for a longer one, which no tensor needs.
fn long(bytes: &[u8]) -> Option<i64> {
    let sign = bytes.last().map_or(0, |&highest| if highest & 0x80 == 0 { 0 } else { -1i64 });
    (bytes.len() <= 8).then(|| bytes.iter().rev().fold(sign, |value, &byte| value << 8 | i64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Object {
        Object::Unicode(text.to_string())
    }

    #[test]
    fn plain_values_come_out_as_they_went_in() {
        // pickle.dumps({"a": [1, 300, -2, 1.5, None, True], "b": (2**40, -1 << 40)}, 2)
        let data = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01J\xfe\xff\xff\xffG?\xf8\x00\x00\x00\x00\x00\x00N\x88e\
                     X\x01\x00\x00\x00bq\x03\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x06\x00\x00\x00\x00\x00\xff\x86q\x04u.";
        let list = vec![
            Object::Int(1),
            Object::Int(300),
            Object::Int(-2),
            Object::Float(1.5),
            Object::None,
            Object::Bool(true),
        ];
        let pair = Object::Tuple(vec![Object::Long(1 << 40), Object::Long(-(1 << 40))]);
        assert_eq!(
            build(data).unwrap(),
            Object::Dict(vec![(text("a"), Object::List(list)), (text("b"), pair)])
        );
    }

    #[test]
    fn items_of_an_instance_are_left_out_and_those_of_an_ordered_dictionary_kept() {
        let of = |class: &str| [b"\x80\x02c", class.as_bytes(), b"\n)\x81X\x01\0\0\0aK\x01s."].concat();
        let Object::Dict(pairs) = build(&of("collections\nOrderedDict")).unwrap() else {
            panic!("no dictionary")
        };
        assert_eq!(pairs, [(text("a"), Object::Int(1))]);
        assert!(matches!(build(&of("config\nAttributeDict")).unwrap(), Object::Reduce { .. }));
    }

    #[test]
    fn a_number_of_many_bytes_is_none_and_a_malformed_stream_an_error() {
        assert_eq!(long(&[0; 9]), None);
        assert_eq!((long(&[]), long(&[0xff]), long(&[0, 1])), (Some(0), Some(-1), Some(256)));
        for (data, part) in [
            (&b"\x85."[..], "nothing to work on"),
            (b"t.", "no mark"),
            (b"h\x07.", "before it is made"),
            (b"K", "truncated"),
            (b"K\x01K\x02a.", "holds none"),
            (b"(.", "nothing to work on"),
        ] {
            let message = build(data).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
