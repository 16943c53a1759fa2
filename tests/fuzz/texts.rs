//! Short texts: names, ids, quantities, addresses, tokens.

use std::fmt::Display;
use std::str::FromStr;

use sluice::agent::token::TokenKeys;
use sluice::spec::{
    CountOrPercent, EndpointName, Percent, Placeholders, PolicyName, TimeSpan, VersionId, VersionNumber,
};

use crate::harness::{fuzz, is_told_well};

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "chat-7b",
        "local/chat/v4",
        "v4",
        "25%",
        "100",
        "1h30m",
        "250ms",
        "0",
        "http://x/$(URL)/$(VERSION)?",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn read_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(name) = reads_back::<EndpointName>(text) {
        assert!(name.as_str().len() <= 63 && !name.as_str().contains(['/', '.', '\\']), "{name}");
    }
    reads_back::<PolicyName>(text);
    reads_back::<VersionNumber>(text);
    if let Some(id) = reads_back::<VersionId>(text) {
        assert_eq!(id.to_string().matches('/').count(), 2, "an import id leads to one object");
    }
    if let Some(quantity) = reads_back::<CountOrPercent>(text) {
        assert!(quantity.rounded_down(1000) <= quantity.rounded_up(1000));
    }
    if let Some(percent) = reads_back::<Percent>(text) {
        assert!(percent.as_u8() <= 100);
    }
    reads_back::<TimeSpan>(text);
}

/// What is accepted prints as a text that is the same thing again.
fn reads_back<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Ok(read) => {
            assert_eq!(read.to_string().parse::<T>().ok().as_ref(), Some(&read), "{text:?}");
            Some(read)
        }
        Err(error) => {
            is_told_well(&error.to_string());
            None
        }
    }
}

fuzz!(texts, Bytes, 20_000, seeds(), read_text);

/// A placeholder adds nothing to an address but what is escaped: no host, no header, no second argument.
fn fill_placeholders(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let placeholders = Placeholders {
        endpoint: EndpointName::new("chat").unwrap(),
        version: VersionNumber(4),
        url: "http://127.0.0.1:80/?a=b&c=\"d\"\r\n".to_owned(),
    };
    let behind = format!("/{text}");
    let filled = placeholders.in_url(&behind);
    let odd = |text: &str| text.chars().filter(|c| "\r\n\"".contains(*c)).count();
    assert!(odd(&filled) <= odd(&behind), "{filled:?}");
    assert!(odd(&placeholders.in_query(text)) <= odd(text), "{text:?}");
}

fuzz!(placeholders, Bytes, 10_000, seeds(), fill_placeholders);

/// Nobody makes up a token.
fn open_with_token(bytes: &[u8]) {
    use std::sync::OnceLock;
    static KEYS: OnceLock<(TokenKeys, String)> = OnceLock::new();
    let (keys, token) = KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let keys = TokenKeys::open(&folder.path().join("tokens.key")).unwrap();
        let token = keys.of("chat").token(jiff::Timestamp::from_second(100).unwrap()).unwrap();
        (keys, token)
    });
    // Mutations stand for changes to the true token: its bytes, each plus what the input says.
    let mixed: Vec<u8> = token
        .bytes()
        .enumerate()
        .map(|(at, byte)| bytes.get(at).map_or(byte, |change| byte.wrapping_add(*change)))
        .collect();
    let given = String::from_utf8_lossy(&mixed);
    for (text, at) in [(given.as_ref(), 99), (String::from_utf8_lossy(bytes).as_ref(), 99)] {
        let now = jiff::Timestamp::from_second(at).unwrap();
        assert_eq!(keys.of("chat").check(text, now).is_ok(), text == token.as_str(), "{text:?}");
        assert!(keys.of("other").check(text, now).is_err());
    }
}

fn token_seeds() -> Vec<Vec<u8>> {
    vec![vec![0; 8], vec![0; 200], b"sluice1.999.AA.AA".to_vec(), b".".to_vec()]
}

fuzz!(tokens, Bytes, 4_000, token_seeds(), open_with_token);
