use super::*;

fn store() -> (tempfile::TempDir, Artifacts, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("models");
    fs::create_dir(&folder).unwrap();
    let source = base.path().join("model.bin");
    fs::write(&source, "weights").unwrap();
    (base, Artifacts::new(folder), source)
}

#[test]
fn the_digest_of_a_file_is_that_of_its_bytes() {
    let (_base, _, source) = store();
    let content = inspect(&source).unwrap();
    assert_eq!(content.digest, format!("sha256:{}", hex(&Sha256::digest("weights"))));
    assert_eq!(content.bytes, 7);
}

#[test]
fn a_copy_is_kept_read_only_and_needs_no_source_afterwards() {
    let (_base, artifacts, source) = store();
    let content = inspect(&source).unwrap();
    let copy = artifacts.keep(&source, &content.digest).unwrap();
    fs::remove_file(&source).unwrap();
    assert_eq!(fs::read_to_string(&copy).unwrap(), "weights");
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o400);
    assert_eq!(artifacts.keep(&source, &content.digest).unwrap(), copy);
    assert!(artifacts.is_whole(&content.digest, content.bytes));
    assert!(!artifacts.is_whole(&content.digest, 8));
}

#[test]
fn content_that_has_changed_is_refused_and_leaves_nothing() {
    let (_base, artifacts, source) = store();
    let content = inspect(&source).unwrap();
    fs::write(&source, "other").unwrap();
    let error = artifacts.keep(&source, &content.digest).unwrap_err();
    assert!(error.to_string().contains("has changed since it was planned"), "{error}");
    assert_eq!(fs::read_dir(&artifacts.folder).unwrap().count(), 0);
}

#[test]
fn names_and_contents_both_make_the_digest_of_a_folder() {
    let (base, artifacts, _) = store();
    let folder = base.path().join("folder");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("a"), "1").unwrap();
    fs::write(folder.join("sub/b"), "2").unwrap();
    let first = inspect(&folder).unwrap();
    let copy = artifacts.keep(&folder, &first.digest).unwrap();
    assert_eq!(fs::read_to_string(copy.join("sub/b")).unwrap(), "2");
    assert_eq!(inspect(&copy).unwrap(), first);
    fs::rename(folder.join("a"), folder.join("c")).unwrap();
    assert_ne!(inspect(&folder).unwrap().digest, first.digest);
}

#[test]
fn links_inside_a_folder_and_empty_folders_are_refused() {
    let (base, _, source) = store();
    let folder = base.path().join("folder");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(inspect(&folder), Err(ArtifactError::Empty { .. })));
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    let error = inspect(&folder).unwrap_err();
    assert!(error.to_string().contains("a symbolic link"), "{error}");
    let link = base.path().join("link");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    assert_eq!(inspect(&link).unwrap(), inspect(&source).unwrap());
}

#[test]
fn a_missing_source_is_refused_with_the_systems_reason() {
    let error = inspect(Path::new("/no/such/model")).unwrap_err();
    assert!(error.to_string().contains("No such file or directory"), "{error}");
}

#[test]
fn digests_cannot_lead_out_of_the_store() {
    let (_base, artifacts, source) = store();
    for bad in ["", "sha256:", "sha256:../../x", "md5:00", &format!("sha256:{}", "G".repeat(64))] {
        assert!(matches!(artifacts.keep(&source, bad), Err(ArtifactError::Digest(_))), "{bad}");
    }
}

#[test]
fn a_sweep_leaves_only_what_is_wanted() {
    let (_base, artifacts, source) = store();
    let kept = inspect(&source).unwrap().digest;
    artifacts.keep(&source, &kept).unwrap();
    fs::write(&source, "other").unwrap();
    let dropped = inspect(&source).unwrap().digest;
    artifacts.keep(&source, &dropped).unwrap();
    fs::create_dir(artifacts.folder.join(".unfinished-1-x")).unwrap();
    artifacts.sweep(&BTreeSet::from([kept.clone()])).unwrap();
    assert!(artifacts.find(&kept).unwrap().is_some());
    assert!(artifacts.find(&dropped).unwrap().is_none());
    assert_eq!(fs::read_dir(&artifacts.folder).unwrap().count(), 1);
}

#[test]
fn a_stamp_changes_with_the_file_and_is_withheld_while_the_file_is_fresh() {
    let (_base, _, source) = store();
    let first = stamp(&source, i128::MAX).unwrap();
    assert_eq!(first, stamp(&source, i128::MAX).unwrap());
    assert_eq!(stamp(&source, 0).unwrap(), None);
    fs::write(&source, "longer than before").unwrap();
    assert_ne!(first, stamp(&source, i128::MAX).unwrap());
}

/// A folder with one file, as it was listed.
fn listed() -> (tempfile::TempDir, Entry) {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir_all(base.path().join("model/part")).unwrap();
    fs::write(base.path().join("model/part/weights"), "weights").unwrap();
    let entry = entries(&base.path().join("model")).unwrap().remove(0);
    (base, entry)
}

#[test]
fn what_was_put_in_the_place_of_a_listed_file_is_not_read() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(&secret, "secret!").unwrap();

    let (_base, entry) = listed();
    fs::remove_file(&entry.path).unwrap();
    std::os::unix::fs::symlink(secret.path(), &entry.path).unwrap();
    assert!(matches!(open(&entry), Err(ArtifactError::Unsteady { .. })), "a link");

    let (base, entry) = listed();
    // Made first: a file that is gone leaves its number to the next one.
    fs::create_dir(base.path().join("elsewhere")).unwrap();
    fs::copy(secret.path(), base.path().join("elsewhere/weights")).unwrap();
    fs::remove_dir_all(base.path().join("model/part")).unwrap();
    std::os::unix::fs::symlink(base.path().join("elsewhere"), base.path().join("model/part")).unwrap();
    assert!(matches!(open(&entry), Err(ArtifactError::Unsteady { .. })), "a link above it");

    let (_base, entry) = listed();
    fs::rename(&entry.path, entry.path.with_extension("old")).unwrap();
    fs::copy(secret.path(), &entry.path).unwrap();
    assert!(matches!(open(&entry), Err(ArtifactError::Unsteady { .. })), "another file");
}

#[test]
fn a_pipe_in_the_place_of_a_listed_file_blocks_nobody() {
    let (_base, entry) = listed();
    fs::rename(&entry.path, entry.path.with_extension("old")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &entry.path, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(open(&entry), Err(ArtifactError::Unsteady { .. })));
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_read_for_ever() {
    let (_base, entry) = listed();
    fs::write(&entry.path, "weights and more").unwrap();
    let read = read_all(open(&entry).unwrap(), &entry, |_| Ok(()));
    assert!(matches!(read, Err(ArtifactError::Unsteady { .. })), "{read:?}");
}
