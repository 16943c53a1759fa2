//! The model on disk.
//!
//! ```text
//! magic       8 bytes  "NGRAMLM\n"
//! version     2 bytes  little endian
//! content     name, vocabulary, levels; every number a LEB128 varint, every string its length and UTF-8
//! checksum   32 bytes  SHA-256 over all that stands before it
//! ```

use sha2::{Digest, Sha256};

use crate::model::{Continuations, Level, Model, ModelError, WordId};

const MAGIC: &[u8; 8] = b"NGRAMLM\n";
const FORMAT_VERSION: u16 = 1;
const CHECKSUM_LENGTH: usize = 32;

/// Why bytes are not a model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArtifactError {
    /// The file is something else.
    #[error("not a model artifact (bad magic bytes)")]
    Magic,
    /// The file ends before its checksum.
    #[error("truncated artifact ({length} bytes)")]
    Truncated { length: usize },
    /// Written by another release of this program.
    #[error("artifact format {version} is not supported (this program reads format {FORMAT_VERSION})")]
    Version { version: u16 },
    /// The bytes changed after they were written.
    #[error("checksum mismatch (stored {stored}, computed {computed})")]
    Checksum { stored: String, computed: String },
    /// The checksum is right but the content is not what the format says.
    #[error("malformed artifact: {0}")]
    Malformed(&'static str),
    /// The content was read but does not fit together.
    #[error("inconsistent artifact: {0}")]
    Inconsistent(ModelError),
}

/// Writes a model as bytes; the same model gives the same bytes.
pub fn encode(model: &Model) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    put_text(&mut bytes, model.name());
    put_length(&mut bytes, model.vocabulary().len());
    for word in model.vocabulary() {
        put_text(&mut bytes, word);
    }
    put_length(&mut bytes, model.levels().len());
    for level in model.levels() {
        put_level(&mut bytes, level);
    }
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Reads and verifies a model.
///
/// # Errors
///
/// Any [`ArtifactError`]; the checksum is compared before the content is looked at.
pub fn decode(bytes: &[u8]) -> Result<Model, ArtifactError> {
    let Some(after_magic) = bytes.strip_prefix(MAGIC) else {
        return Err(if MAGIC.starts_with(bytes) {
            ArtifactError::Truncated { length: bytes.len() }
        } else {
            ArtifactError::Magic
        });
    };
    let truncated = ArtifactError::Truncated { length: bytes.len() };
    let Some((version, _)) = after_magic.split_first_chunk() else { return Err(truncated) };
    let version = u16::from_le_bytes(*version);
    if version != FORMAT_VERSION {
        return Err(ArtifactError::Version { version });
    }
    let Some((covered, stored)) = bytes.split_last_chunk::<CHECKSUM_LENGTH>() else { return Err(truncated) };
    let Some(content) = covered.get(MAGIC.len() + size_of::<u16>()..) else { return Err(truncated) };
    let computed: [u8; CHECKSUM_LENGTH] = Sha256::digest(covered).into();
    if computed != *stored {
        return Err(ArtifactError::Checksum { stored: short_hex(stored), computed: short_hex(&computed) });
    }
    decode_content(content)
}

/// The checksum that an encoded model ends with, shortened for people.
pub fn checksum(bytes: &[u8]) -> String {
    bytes.split_last_chunk::<CHECKSUM_LENGTH>().map_or_else(String::new, |(_, stored)| short_hex(stored))
}

fn decode_content(content: &[u8]) -> Result<Model, ArtifactError> {
    let mut reader = Reader { rest: content };
    let name = reader.text()?.to_owned();
    let words = reader.length()?;
    let vocabulary = (0..words).map(|_| reader.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let order = reader.length()?;
    let levels = (0..order).map(|length| reader.level(length)).collect::<Result<_, _>>()?;
    if !reader.rest.is_empty() {
        return Err(ArtifactError::Malformed("bytes are left after the last level"));
    }
    Model::from_parts(name, vocabulary, levels).map_err(ArtifactError::Inconsistent)
}

fn put_level(bytes: &mut Vec<u8>, level: &Level) {
    put_length(bytes, level.len());
    for (context, continuations) in level {
        for &word in context {
            put_number(bytes, word.into());
        }
        put_length(bytes, continuations.len());
        for (&word, &count) in continuations {
            put_number(bytes, word.into());
            put_number(bytes, count.into());
        }
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    put_number(bytes, u64::try_from(length).unwrap_or(u64::MAX));
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn short_hex(bytes: &[u8]) -> String {
    bytes.first_chunk().map_or_else(String::new, |head| format!("{:016x}", u64::from_be_bytes(*head)))
}

struct Reader<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Reader<'bytes> {
    fn level(&mut self, context_length: usize) -> Result<Level, ArtifactError> {
        (0..self.length()?)
            .map(|_| {
                let context = (0..context_length).map(|_| self.word()).collect::<Result<_, _>>()?;
                let continuations =
                    (0..self.length()?).map(|_| self.counted()).collect::<Result<Continuations, _>>()?;
                Ok((context, continuations))
            })
            .collect()
    }

    fn counted(&mut self) -> Result<(WordId, u32), ArtifactError> {
        Ok((self.word()?, self.word()?))
    }

    fn word(&mut self) -> Result<u32, ArtifactError> {
        u32::try_from(self.number()?).map_err(|_| ArtifactError::Malformed("a number is too large"))
    }

    fn text(&mut self) -> Result<&'bytes str, ArtifactError> {
        let length = self.length()?;
        let Some((text, rest)) = self.rest.split_at_checked(length) else {
            return Err(ArtifactError::Malformed("a string is longer than the file"));
        };
        self.rest = rest;
        str::from_utf8(text).map_err(|_| ArtifactError::Malformed("a string is not UTF-8"))
    }

    /// A number of things that follow. Each takes at least one byte, so more than the rest of the file is wrong.
    fn length(&mut self) -> Result<usize, ArtifactError> {
        usize::try_from(self.number()?)
            .ok()
            .filter(|&length| length <= self.rest.len())
            .ok_or(ArtifactError::Malformed("a length is longer than the file"))
    }

    fn number(&mut self) -> Result<u64, ArtifactError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err(ArtifactError::Malformed("a number is cut off"));
            };
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ArtifactError::Malformed("a number is too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        Model::train("tiny", "The cat sat. The cat ran, and the dog sat.", 3).unwrap()
    }

    #[test]
    fn a_model_survives_the_round_trip() {
        let model = model();
        assert_eq!(decode(&encode(&model)), Ok(model));
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let bytes = encode(&model());
        for at in 0..bytes.len() {
            let mut corrupt = bytes.clone();
            corrupt[at] ^= 0x20;
            let error = decode(&corrupt).expect_err("a corrupt byte was accepted");
            let expected = match at {
                0..8 => matches!(error, ArtifactError::Magic),
                8..10 => matches!(error, ArtifactError::Version { .. }),
                _ => matches!(error, ArtifactError::Checksum { .. }),
            };
            assert!(expected, "byte {at}: {error}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = encode(&model());
        for length in 0..bytes.len() {
            let error = decode(&bytes[..length]).expect_err("a truncated artifact was accepted");
            assert!(
                matches!(error, ArtifactError::Truncated { .. } | ArtifactError::Checksum { .. }),
                "{length} bytes: {error}"
            );
        }
    }

    #[test]
    fn content_that_lies_is_refused_even_with_a_right_checksum() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        put_text(&mut bytes, "liar");
        put_number(&mut bytes, 1 << 40);
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        assert_eq!(decode(&bytes), Err(ArtifactError::Malformed("a length is longer than the file")));
    }
}
