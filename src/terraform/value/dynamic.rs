//! Values of a type that only the message knows.

use std::collections::BTreeMap;

use rmp::Marker;
use rmp::decode as read;

use super::{DecodeError, Number, Path, Value};

/// How deep a value may nest: the input sets the depth here, not a type.
const DEPTH_MAX: usize = 64;

/// Reads a value that brings its type along: a pair of the type, which the value's own form makes superfluous, and the
/// value.
///
/// # Errors
/// Says what cannot be read.
pub fn decode_dynamic(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut rest = bytes;
    let value = pair(&mut rest).ok_or("is not a value with its type").and_then(|()| any(&mut rest, 0));
    match value {
        Ok(value) if rest.is_empty() => Ok(value),
        Ok(_) => Err(DecodeError { at: Path::root(), problem: "bytes are left over".to_owned() }),
        Err(problem) => Err(DecodeError { at: Path::root(), problem: problem.to_owned() }),
    }
}

/// Reads over the beginning of a pair up to its second half.
fn pair(rest: &mut &[u8]) -> Option<()> {
    (read::read_array_len(rest).ok()? == 2).then_some(())?;
    let len = read::read_bin_len(rest).ok()?;
    take(rest, len).map(drop)
}

fn any(rest: &mut &[u8], depth: usize) -> Result<Value, &'static str> {
    const ENDS: &str = "the bytes end early";
    if depth > DEPTH_MAX {
        return Err("it nests too deep");
    }
    let marker = rest.first().map(|byte| Marker::from_u8(*byte)).ok_or(ENDS)?;
    match marker {
        Marker::Null => take(rest, 1).map(|_| Value::Null).ok_or(ENDS),
        Marker::True | Marker::False => read::read_bool(rest).map(Value::Bool).map_err(|_| ENDS),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => text(rest).map(Value::String),
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let len = read::read_array_len(rest).map_err(|_| ENDS)?;
            (0..len).map(|_| any(rest, depth + 1)).collect::<Result<_, _>>().map(Value::List)
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let len = read::read_map_len(rest).map_err(|_| ENDS)?;
            let entries = (0..len).map(|_| Ok((text(rest)?, any(rest, depth + 1)?)));
            entries.collect::<Result<BTreeMap<_, _>, &str>>().map(Value::Map)
        }
        Marker::F64 => float(read::read_f64(rest).map_err(|_| ENDS)?),
        Marker::F32 => float(read::read_f32(rest).map_err(|_| ENDS)?.into()),
        Marker::U64 => read::read_u64(rest).map(|known| Value::Number(known.into())).map_err(|_| ENDS),
        Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => {
            Err("it is not known yet")
        }
        _ => read::read_int::<i64, _>(rest).map(Value::from).map_err(|_| "it is of no known kind"),
    }
}

fn float(known: f64) -> Result<Value, &'static str> {
    Number::from_exact(known).map(Value::Number).ok_or("it is not a number")
}

fn text(rest: &mut &[u8]) -> Result<String, &'static str> {
    let len = read::read_str_len(rest).map_err(|_| "expected a string")?;
    let bytes = take(rest, len).ok_or("the bytes end early")?;
    std::str::from_utf8(bytes).map(Into::into).map_err(|_| "expected a string in UTF-8")
}

fn take<'a>(rest: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len as usize)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `["dynamic" type, value]` as Terraform writes it.
    fn dynamic(kind: &str, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x92, 0xc4, u8::try_from(kind.len()).unwrap()];
        bytes.extend_from_slice(kind.as_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    #[test]
    fn a_value_is_read_by_its_own_form() {
        let object =
            dynamic(r#"["object",{"a":"number","b":["tuple",["bool"]]}]"#, b"\x82\xa1a\x07\xa1b\x91\xc3");
        let expected = Value::object([("a", Value::from(7)), ("b", vec![true].into())]);
        assert_eq!(decode_dynamic(&object), Ok(expected));
        assert_eq!(decode_dynamic(&dynamic("\"string\"", b"\xa1x")), Ok(Value::from("x")));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bytes in
            [&b""[..], b"\xc0", b"\x92\xc4\x01", &dynamic("\"string\"", b"\xa5x"), &dynamic("x", &[0x91; 99])]
        {
            assert!(decode_dynamic(bytes).is_err(), "{bytes:x?}");
        }
    }
}
