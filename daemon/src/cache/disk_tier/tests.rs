//! Tests of the disk tier in a real directory.

use std::time::Duration;

use super::*;
use crate::cache::{SPOOL_BYTES, Spools};

fn row(bytes: &[u8]) -> ArtifactRow {
    ArtifactRow {
        digest: digest_of(bytes),
        media_type: "image/png".into(),
        extension: "png".into(),
        size_bytes: bytes.len() as u64,
        width: None,
        height: None,
        duration_s: None,
    }
}

fn tier() -> (tempfile::TempDir, DiskTier) {
    let home = tempfile::tempdir().unwrap();
    let tier = DiskTier::new(home.path().join("artifacts"));
    (home, tier)
}

fn write(tier: &DiskTier, row: &ArtifactRow, bytes: &[u8]) -> Stamp {
    let (stamp, held) = tier.write(row, Body::Held(bytes.to_vec())).unwrap();
    assert_eq!(held.as_deref(), Some(bytes));
    stamp
}

#[test]
fn a_spooled_body_gets_its_name_and_a_dropped_one_leaves_nothing() {
    // Only the last size is more than a spool holds in memory. The one before it is exactly the limit.
    for (size, is_in_file) in [(9, false), (SPOOL_BYTES, false), (SPOOL_BYTES + 1, true)] {
        let (_home, tier) = tier();
        let bytes: Vec<u8> = (0..size).map(|place| place as u8).collect();
        let row = row(&bytes);
        let temporary = || fs::read_dir(tier.artifacts().join(TEMPORARY)).map_or(0, Iterator::count);
        let spool = |last: &[u8]| {
            let mut spool = Spools::new(tier.artifacts().to_owned()).create();
            spool.write_all(&bytes[..size - 4]).unwrap();
            spool.write_all(last).unwrap();
            assert_eq!(temporary(), usize::from(is_in_file && last.len() == 4), "{size}");
            spool
        };
        let last = &bytes[size - 4..];
        drop(spool(b"x"));
        let spooled = spool(last).finish().unwrap();
        assert_eq!((spooled.digest, spooled.size_bytes), (row.digest, row.size_bytes));
        let mut again = Vec::new();
        spooled.open().unwrap().read_to_end(&mut again).unwrap();
        assert!(again == bytes, "{size}");
        let body = Body::Spooled(spooled);
        assert_eq!(body.memory_bytes(), if is_in_file { 0 } else { size as u64 });
        let (stamp, held) = tier.write(&row, body).unwrap();
        assert_eq!((DiskTier::stamp(&tier.path(&row)), held), (Some(stamp), None));
        let again = spool(last).finish().unwrap();
        assert_eq!(tier.write(&row, Body::Spooled(again)).unwrap().0, stamp, "the file stays as it is");
        assert_eq!(temporary(), 0);
        assert!(is_good(&tier, &row));
    }
}

fn is_good(tier: &DiskTier, row: &ArtifactRow) -> bool {
    matches!(tier.check(row, false), Checked::Good(..))
}

#[test]
fn what_was_written_reads_back_and_leaves_nothing_temporary() {
    let (_home, tier) = tier();
    let row = row(b"a picture");
    let stamp = write(&tier, &row, b"a picture");
    assert_eq!(DiskTier::stamp(&tier.path(&row)), Some(stamp));
    assert_eq!(write(&tier, &row, b"a picture"), stamp, "the file stays as it is");
    let Checked::Good(_, Some(bytes)) = tier.check(&row, true) else { panic!() };
    assert_eq!(bytes, b"a picture");
    assert_eq!(tier.read_range(&row, 2, 3).unwrap(), b"pic");
    assert_eq!(fs::read_dir(tier.artifacts().join(TEMPORARY)).unwrap().count(), 0);
}

#[test]
fn a_named_file_that_power_loss_cut_is_set_aside_and_written_anew() {
    let (_home, tier) = tier();
    let row = row(b"a picture");
    for torn in [&b""[..], b"a pic", b"a pic\0\0\0\0"] {
        write(&tier, &row, b"a picture");
        fs::write(tier.path(&row), torn).unwrap();
        write(&tier, &row, b"a picture");
        assert!(is_good(&tier, &row), "{torn:?}");
    }
}

#[test]
fn one_directory_that_cannot_be_made_does_not_keep_the_others_from_being_used() {
    let (_home, tier) = tier();
    let row = row(b"a picture");
    create_private_dir(tier.artifacts()).unwrap();
    let other = u8::from(row.digest.as_bytes()[0] == 0);
    fs::write(tier.artifacts().join(format!("{other:02x}")), b"no directory").unwrap();
    write(&tier, &row, b"a picture");
    assert!(is_good(&tier, &row));
    assert!(tier.artifacts().join("ff").is_dir(), "all are made with the first");
}

#[cfg(unix)]
#[test]
fn files_and_directories_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_home, tier) = tier();
    let row = row(b"mine");
    write(&tier, &row, b"mine");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = tier.path(&row);
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!((mode(tier.artifacts()), mode(&tier.artifacts().join(TEMPORARY))), (0o700, 0o700));
}

#[test]
fn a_changed_a_cut_and_a_missing_file_are_told_apart_from_good_ones() {
    let (_home, tier) = tier();
    let row = row(b"a picture");
    write(&tier, &row, b"a picture");
    fs::write(tier.path(&row), b"a pixture").unwrap();
    assert!(matches!(tier.check(&row, false), Checked::Damaged));
    assert!(matches!(tier.check(&row, true), Checked::Damaged));
    fs::write(tier.path(&row), b"a pict").unwrap();
    assert!(matches!(tier.check(&row, true), Checked::Damaged));
    write(&tier, &row, b"a picture");
    assert!(is_good(&tier, &row), "written anew over a damaged one");
    assert_eq!(fs::read_dir(tier.artifacts().join(DAMAGED)).unwrap().count(), 1);
    fs::remove_file(tier.path(&row)).unwrap();
    assert!(matches!(tier.check(&row, false), Checked::Missing));
}

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let path = Path::new("picture");
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        assert!(matches!(write_error(path, kind.into()), CacheError::DiskFull { .. }));
    }
    let denied = write_error(path, io::ErrorKind::PermissionDenied.into());
    assert!(matches!(denied, CacheError::File { .. }));
}

#[test]
fn only_old_files_of_this_journal_with_an_artifacts_name_are_listed() {
    let (_home, tier) = tier();
    let row = row(b"a picture");
    write(&tier, &row, b"a picture");
    fs::write(tier.path(&row).with_file_name("notes.txt"), b"").unwrap();
    let first = row.digest.as_bytes()[0];
    let later = SystemTime::now() + Duration::from_secs(5);
    let born = SystemTime::UNIX_EPOCH;
    assert_eq!(tier.named_files(first, born, later), [(row.digest, tier.path(&row))]);
    assert!(tier.named_files(first, born, later - Duration::from_mins(1)).is_empty());
    assert!(tier.named_files(first, later, later).is_empty(), "a journal that was lost may name it");
}
