//! Small changes to input that is right: to its bytes, and, where it is JSON, to its values.

use serde_json::{Map, Value};

/// A generator of choices: the same seed, the same choices.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of so many, from 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }

    pub fn pick<'a, T: ?Sized>(&mut self, options: &[&'a T]) -> &'a T {
        options[self.below(options.len())]
    }
}

/// Longest input: what is longer says nothing new.
const LENGTH_MAX: usize = 1 << 16;

/// Texts at which parsers stumble.
const WORDS: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\r\n",
    b"\x1b[2J",
    b"../../etc/passwd",
    b"%2e%2e%2f",
    b"18446744073709551616",
    b"-1",
    b"+1",
    b"0x10",
    b"1e999",
    b"NaN",
    b"null",
    b"[[[[[[[[",
    b"{\"\":",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u{202e}".as_bytes(),
    "\u{9b}2J".as_bytes(),
    b"$(URL)",
    b"100%",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
];

const NUMBERS: [&str; 15] = [
    "0",
    "1",
    "-1",
    "2",
    "255",
    "65536",
    "100001",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "18446744073709551615",
    "0.1",
    "-0.0",
    "1e308",
    "1e-320",
];

const TEXTS: [&str; 16] = [
    "",
    "../..",
    "/",
    "a\r\nx-injected: 1",
    "\u{1b}]0;title\u{7}",
    "\u{202e}gnp.exe",
    "v4294967295",
    "18446744073709551615h",
    "100%",
    "$(URL)$(ENDPOINT",
    "-262144-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-02T01:59:59Z",
    "projects/../x/y/z/@",
    "arn:aws:sagemaker::::/",
    "\u{0}",
];

/// One to four changes to bytes.
pub fn bytes(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(4) {
        change_bytes(&mut out, other, random);
        out.truncate(LENGTH_MAX);
    }
    out
}

fn change_bytes(out: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(out.len() + 1);
    let end = (at + random.below(9)).min(out.len());
    match random.below(8) {
        0 if at < out.len() => out[at] ^= 1 << random.below(8),
        1 if at < out.len() => out[at] = u8::try_from(random.below(256)).unwrap(),
        2 => drop(out.drain(at..end)),
        3 => drop(out.splice(at..end, random.pick(&WORDS).iter().copied())),
        4 => {
            let piece = out[at..end].to_vec();
            drop(out.splice(at..at, piece));
        }
        5 => out.truncate(at),
        6 => {
            let from = random.below(other.len() + 1);
            drop(out.splice(at.., other[from..].iter().copied()));
        }
        _ => {
            // A number that is written out becomes one that is hardly any.
            let digits = |byte: &u8| byte.is_ascii_digit();
            if let Some(start) = out.iter().skip(at).position(digits).map(|found| at + found) {
                let stop = out.iter().skip(start).position(|byte| !digits(byte));
                let stop = stop.map_or(out.len(), |found| start + found);
                drop(out.splice(start..stop, random.pick(&NUMBERS).bytes()));
            }
        }
    }
}

/// One to three changes to the values of a JSON text; to its bytes where it is none.
pub fn json(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut root) = serde_json::from_slice::<Value>(input) else { return bytes(input, other, random) };
    if random.below(6) == 0 {
        return bytes(input, other, random);
    }
    for _ in 0..=random.below(3) {
        let chosen = random.below(count(&root));
        change(&mut root, &mut { chosen }, random);
    }
    root.to_string().into_bytes()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value that comes after so many others. Says whether it was below here.
fn change(value: &mut Value, left: &mut usize, random: &mut Random) -> bool {
    if *left == 0 {
        replace(value, random);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, left, random)),
        Value::Object(fields) => fields.values_mut().any(|field| change(field, left, random)),
        _ => false,
    }
}

fn replace(value: &mut Value, random: &mut Random) {
    // Mostly of the same kind: a wrong kind is refused at once, and what lies behind is never reached.
    if random.below(8) == 0 {
        *value = match random.below(5) {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => Value::Object(Map::new()),
            3 => Value::Array(Vec::new()),
            _ => random.pick(&TEXTS).into(),
        };
        return;
    }
    match value {
        Value::Number(_) => *value = serde_json::from_str(random.pick(&NUMBERS)).unwrap(),
        Value::String(text) => {
            *text = match random.below(3) {
                0 => random.pick(&TEXTS).to_owned(),
                1 => String::from_utf8_lossy(&bytes(text.as_bytes(), b"", random)).into_owned(),
                _ => text.repeat(random.below(40)),
            }
        }
        Value::Array(items) if items.is_empty() => items.push(Value::Null),
        Value::Array(items) => {
            let at = random.below(items.len());
            match random.below(3) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items.reverse(),
            }
        }
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            if let Some(name) = names.get(random.below(names.len())) {
                let kept = fields.remove(name).unwrap_or_default();
                if random.below(3) == 0 {
                    fields.insert(random.pick(&TEXTS).to_owned(), kept);
                }
            }
        }
        Value::Bool(is) => *is = !*is,
        Value::Null => *value = random.pick(&TEXTS).into(),
    }
}
