//! Log files of replicas: bounded, and read for the last words of a process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::spec::in_one_line;

/// Longest log of a replica. A longer one is cut; its end moves to a second file.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// How much of the end of a log that is cut is kept.
const KEPT_BYTES: u64 = 1024 * 1024;
/// How much of a log is searched for its last line.
const TAIL_BYTES: u64 = 16 * 1024;
/// Longest last line.
const LINE_CHARS_MAX: usize = 300;

/// The last line with anything on it that was written after `offset`, made printable.
pub fn last_line(path: &Path, offset: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    // A log that was cut in the meantime is shorter than the offset.
    let offset = if offset > length { 0 } else { offset };
    let tail = read_from(&mut file, offset.max(length.saturating_sub(TAIL_BYTES))).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(printable(line))
}

/// Escapes control characters and cuts to a length that fits in a sentence.
pub fn printable(text: &str) -> String {
    in_one_line(&text.chars().take(LINE_CHARS_MAX).collect::<String>()).into_owned()
}

/// Cuts a log that has grown too long. Its writer appends, so that it goes on at the new end.
pub fn bound(path: &Path) -> io::Result<()> {
    let mut file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len();
    if length <= LOG_BYTES_MAX {
        return Ok(());
    }
    let tail = read_from(&mut file, length.saturating_sub(KEPT_BYTES))?;
    let mut kept = File::create(path.with_extension("log.1"))?;
    kept.write_all(&tail)?;
    file.set_len(0)
}

fn read_from(file: &mut File, position: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.take(KEPT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_this_start_are_found_and_made_printable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "old failure\nloading\n\u{1b}[31mout of memory\n\n  \n").unwrap();
        assert_eq!(last_line(&path, 12).as_deref(), Some("\\u001b[31mout of memory"));
        assert_eq!(last_line(&path, 38), None);
        assert_eq!(last_line(&folder.path().join("none"), 0), None);
        std::fs::write(&path, "x".repeat(900)).unwrap();
        assert_eq!(last_line(&path, 0).map(|line| line.len()), Some(LINE_CHARS_MAX));
    }

    #[test]
    fn a_log_that_is_too_long_is_cut_and_its_end_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        writer.write_all(&vec![b'x'; usize::try_from(LOG_BYTES_MAX).unwrap() + 1]).unwrap();
        bound(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        writer.write_all(b"on").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"on");
        assert_eq!(std::fs::metadata(folder.path().join("a.log.1")).unwrap().len(), KEPT_BYTES);
    }
}
