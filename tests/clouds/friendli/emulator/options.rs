//! What hardware can be asked for.

/// An instance option: a kind of GPU and how many of them one replica gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceOption {
    pub id: &'static str,
    pub gpu: &'static str,
    pub count: u32,
}

/// Kinds with the ids for one, two, four and eight of them.
const KINDS: [(&str, [&str; 4]); 5] = [
    ("NVIDIA A100 80GB", ["ShbPuOs4tfGb", "mrAHuYt7T40o", "JkNob0NMdoF3", "sYH4kHmAcA5P"]),
    ("NVIDIA H100", ["TwD5AqnBSVN0", "zfTutSiLn0Hq", "lfkRz5G48REc", "GUA4qYFmsYz8"]),
    ("NVIDIA H200", ["LnK1wTaKc7WO", "Tu6GjBnfHPe4", "OhTzYtZuomzI", "ahBzWtOuomsI"]),
    ("NVIDIA B200", ["8GiQTLKfJNOr", "brTZGIuYgVrs", "AFoZMFXZnAdD", "drbc6G9FxJWZ"]),
    ("NVIDIA B300", ["b300x1", "b300x2", "b300x4", "b300x8"]),
];
const COUNTS: [u32; 4] = [1, 2, 4, 8];

fn all() -> impl Iterator<Item = InstanceOption> {
    KINDS
        .iter()
        .flat_map(|(gpu, ids)| ids.iter().zip(COUNTS).map(|(id, count)| InstanceOption { id, gpu, count }))
}

/// The option with this id.
pub fn by_id(id: &str) -> Option<InstanceOption> {
    all().find(|option| option.id == id)
}

/// The option for so many GPUs of this kind.
pub fn by_hardware(gpu: &str, count: u64) -> Option<InstanceOption> {
    all().find(|option| option.gpu == gpu && u64::from(option.count) == count)
}
