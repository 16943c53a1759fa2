//! What hardware can be asked for, as the vendor lists it. The service has no call that lists it.

/// Kinds of accelerator with the ids of the options for one, two, four and eight of them.
const KINDS: [(&str, [&str; 4]); 5] = [
    ("NVIDIA A100 80GB", ["ShbPuOs4tfGb", "mrAHuYt7T40o", "JkNob0NMdoF3", "sYH4kHmAcA5P"]),
    ("NVIDIA H100", ["TwD5AqnBSVN0", "zfTutSiLn0Hq", "lfkRz5G48REc", "GUA4qYFmsYz8"]),
    ("NVIDIA H200", ["LnK1wTaKc7WO", "Tu6GjBnfHPe4", "OhTzYtZuomzI", "ahBzWtOuomsI"]),
    ("NVIDIA B200", ["8GiQTLKfJNOr", "brTZGIuYgVrs", "AFoZMFXZnAdD", "drbc6G9FxJWZ"]),
    ("NVIDIA B300", ["b300x1", "b300x2", "b300x4", "b300x8"]),
];
/// Accelerators of one replica.
const COUNTS: [u32; 4] = [1, 2, 4, 8];

/// The option for so many accelerators of a kind, in any spelling of its name: `NVIDIA H100`, `nvidia-h100`, `h100`.
pub(super) fn option_id(kind: &str, count: u32) -> Option<&'static str> {
    let (_, ids) = KINDS.iter().find(|(known, _)| same_kind(known, kind))?;
    let place = COUNTS.iter().position(|known| *known == count)?;
    ids.get(place).copied()
}

/// Kind and number of an option's accelerators.
pub(super) fn of_option(id: &str) -> Option<(&'static str, u32)> {
    KINDS.iter().find_map(|(kind, ids)| {
        let place = ids.iter().position(|known| *known == id)?;
        Some((*kind, *COUNTS.get(place)?))
    })
}

/// Whether two names mean the same kind.
pub(super) fn same_kind(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// The kinds and counts that there are, in words.
pub(super) fn described() -> String {
    let kinds: Vec<String> = KINDS.iter().map(|(kind, _)| format!("`{kind}`")).collect();
    format!("{}, each 1, 2, 4 or 8 times", kinds.join(", "))
}

fn plain(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let short = letters.strip_prefix("nvidia").map(str::to_owned);
    short.unwrap_or(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_found_by_its_hardware_in_any_spelling() {
        for (kind, ids) in KINDS {
            for (id, count) in ids.into_iter().zip(COUNTS) {
                assert_eq!(option_id(kind, count), Some(id));
                assert_eq!(of_option(id), Some((kind, count)));
            }
        }
        for spelling in ["NVIDIA H100", "nvidia-h100", "H100", "nvidia_h100"] {
            assert_eq!(option_id(spelling, 8), Some("GUA4qYFmsYz8"), "{spelling}");
        }
        assert_eq!(option_id("nvidia-a100-80gb", 1), Some("ShbPuOs4tfGb"));
        assert_eq!(option_id("H100", 3), None);
        assert_eq!(option_id("L4", 1), None);
        assert_eq!(of_option("new"), None);
    }
}
