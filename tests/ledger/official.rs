//! The vendor's own client library agrees with the bucket that the other tests use.

use std::path::Path;

use super::bucket::{ACCESS_KEY, BUCKET, Bucket, REGION, SECRET_KEY};
use super::python::Python;

#[test]
fn boto3_creates_once_lists_in_pages_and_reads_back() {
    let bucket = Bucket::start();
    let python = Python::with("boto3", &["boto3==1.35.99"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/official.py");
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{}", bucket.address);
    let environment = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"),
    ];
    python.run(&script, folder.path(), &[&endpoint, BUCKET, REGION], &environment).succeeded();
    assert_eq!(bucket.refused(), Vec::<String>::new());
    assert_eq!(bucket.keys(), ["folder/a/1.json", "folder/b/1.json", "folder/c/1.json", "folder/d/1.json"]);
}
