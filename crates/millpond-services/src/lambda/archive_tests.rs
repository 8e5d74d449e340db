use super::*;
use std::io::{Cursor, Write};
use zip::write::{SimpleFileOptions, ZipWriter};

const SIZE_MAX: u64 = 10 << 20;

type Made = ZipWriter<Cursor<Vec<u8>>>;

fn zip(fill: impl FnOnce(&mut Made)) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    fill(&mut writer);
    writer.finish().unwrap().into_inner()
}

fn plain() -> SimpleFileOptions {
    SimpleFileOptions::default().unix_permissions(0o755)
}

fn file(writer: &mut Made, name: &str, bytes: &[u8]) {
    writer.start_file(name, plain()).unwrap();
    writer.write_all(bytes).unwrap();
}

/// Unpacks below a directory that is removed again; answers what was found there.
fn unpacked<T>(bytes: &[u8], look: impl FnOnce(&Path) -> T) -> Result<(Unpacked, T), String> {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("package");
    fs::create_dir(&root).unwrap();
    let outcome = unpack(Cursor::new(bytes), &root, SIZE_MAX).map_err(|error| error.to_string());
    // Whatever an archive does, nothing is beside the directory that it was given.
    let beside: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside, ["package"]);
    let answer = outcome.map(|outcome| (outcome, look(&root)));
    remove(&root).unwrap();
    assert!(!root.exists());
    answer
}

fn refusal(bytes: &[u8]) -> String {
    unpacked(bytes, |_| ()).unwrap_err()
}

#[test]
fn a_package_is_unpacked_as_it_is_and_cannot_be_written_to() {
    let bytes = zip(|writer| {
        writer.add_directory("./", plain()).unwrap();
        file(writer, "app.py", b"def handler(event, context): pass\n");
        file(writer, "lib/deep/er.txt", b"x");
        writer.add_directory("empty", plain()).unwrap();
        writer.start_file("bootstrap", plain()).unwrap();
        writer.start_file("plain", SimpleFileOptions::default().unix_permissions(0o600)).unwrap();
        writer.add_symlink("link", "lib/deep/er.txt", plain()).unwrap();
    });
    let (outcome, ()) = unpacked(&bytes, |root| {
        let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bootstrap"), mode("plain"), mode("lib"), mode(".")), (0o555, 0o444, 0o555, 0o555));
        assert_eq!(fs::read(root.join("link")).unwrap(), b"x");
        assert!(root.join("empty").is_dir());
    })
    .unwrap();
    assert_eq!((outcome.size, outcome.entries), (35, 6));
}

#[test]
fn what_is_no_archive_or_an_empty_one_is_refused_in_the_words_of_aws() {
    let whole = zip(|writer| file(writer, "a", &[7; 1000]));
    for bytes in [&b""[..], b"not a zip", &whole[..whole.len() - 30], &whole[20..]] {
        let refused = refusal(bytes);
        assert!(
            refused.starts_with("Could not unzip uploaded file. Please check your file, then try to upload again."),
            "{refused}"
        );
    }
    assert_eq!(refusal(&zip(|_| ())), "Uploaded file must be a non-empty zip");
    let mut damaged = zip(|writer| {
        writer.start_file("a", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
        writer.write_all(&[7; 1000]).unwrap();
    });
    damaged[100] ^= 1;
    assert!(refusal(&damaged).contains("checksum"), "{}", refusal(&damaged));
}

#[test]
fn entries_that_would_lie_outside_are_refused() {
    for name in ["../evil", "a/../../evil", "/etc/evil", "a/b/../../../evil", ".."] {
        // The writer tidies names: the bytes are changed afterwards.
        let stand_in = "x".repeat(name.len());
        let mut bytes = zip(|writer| file(writer, &stand_in, b"evil"));
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(name.len()).position(|window| window == stand_in.as_bytes()) {
            bytes[at + found..at + found + name.len()].copy_from_slice(name.as_bytes());
            at += found + name.len();
        }
        let refused = refusal(&bytes);
        assert!(refused.contains("would lie outside the package"), "{name}: {refused}");
    }
}

#[test]
fn links_that_lead_out_are_refused_however_they_do_it() {
    let link = |name: &'static str, target: &'static str| zip(|writer| writer.add_symlink(name, target, plain()).unwrap());
    for bytes in [
        link("a", "/etc/passwd"),
        link("a", "../outside"),
        link("a", "nowhere"),
        zip(|writer| {
            // `d` leads to the root, so that `d/..` leads out, though the text does not say so.
            file(writer, "p/q/f", b"x");
            writer.add_symlink("p/q/d", "../..", plain()).unwrap();
            writer.add_symlink("out", "p/q/d/../../etc", plain()).unwrap();
        }),
    ] {
        let refused = refusal(&bytes);
        assert!(refused.contains("which is not in the package"), "{refused}");
    }
    // A file behind a link is never written through it: links come last.
    let through = zip(|writer| {
        writer.add_symlink("dir", "/tmp", plain()).unwrap();
        file(writer, "dir/evil-through-a-link", b"x");
    });
    let refused = refusal(&through);
    assert!(refused.contains("which is not in the package"), "{refused}");
    assert!(!Path::new("/tmp/evil-through-a-link").exists());
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let mut bytes = zip(|writer| {
        file(writer, "aaaa", b"1");
        file(writer, "bbbb", b"2");
    });
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(4).position(|window| window == b"bbbb") {
        bytes[at + found..at + found + 4].copy_from_slice(b"aaaa");
        at += found + 4;
    }
    assert!(refusal(&bytes).contains("two entries have the same name"), "{}", refusal(&bytes));
    let both = zip(|writer| {
        file(writer, "a", b"1");
        file(writer, "a/b", b"2");
    });
    assert!(refusal(&both).contains("a file and a folder"), "{}", refusal(&both));
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused_while_it_does() {
    let bomb = zip(|writer| {
        let zeros = vec![0u8; 1 << 20];
        for number in 0..3 {
            writer.start_file(format!("zeros{number}"), plain()).unwrap();
            for _ in 0..4 {
                writer.write_all(&zeros).unwrap();
            }
        }
    });
    assert!(bomb.len() < 1 << 16);
    assert_eq!(refusal(&bomb), "Unzipped size must be smaller than 10485760 bytes");
}

#[test]
fn a_claimed_size_is_not_believed() {
    // The central directory says 10 GB; there are four bytes.
    let mut bytes = zip(|writer| file(writer, "small", b"four"));
    let central = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[central + 24..central + 28].copy_from_slice(&u32::MAX.wrapping_sub(1).to_le_bytes());
    match unpacked(&bytes, |_| ()) {
        Ok((outcome, ())) => assert_eq!(outcome.size, 4),
        Err(refused) => assert!(refused.starts_with("Could not unzip"), "{refused}"),
    }
}

#[test]
fn encrypted_archives_are_refused_by_name() {
    let mut bytes = zip(|writer| file(writer, "secret", b"x"));
    // The flag that says so, in both headers.
    bytes[6] |= 1;
    let central = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[central + 8] |= 1;
    assert!(refusal(&bytes).contains("it is encrypted"), "{}", refusal(&bytes));
}

#[test]
fn names_are_bounded_in_length_and_depth() {
    let long = zip(|writer| file(writer, &"n".repeat(PATH_MAX + 1), b"x"));
    assert!(refusal(&long).contains("too long"), "{}", refusal(&long));
    let deep = zip(|writer| file(writer, &"d/".repeat(DEPTH_MAX + 1), b"x"));
    assert!(refusal(&deep).contains("folders deep"), "{}", refusal(&deep));
    let one = zip(|writer| file(writer, &"n".repeat(300), b"x"));
    assert!(refusal(&one).contains("has a name of 300 bytes; files and folders have up to 255"), "{}", refusal(&one));
    let folder = zip(|writer| file(writer, &format!("{}/f", "n".repeat(256)), b"x"));
    assert!(refusal(&folder).contains("a name of 256 bytes"), "{}", refusal(&folder));
    let longest = zip(|writer| file(writer, &"n".repeat(255), b"x"));
    unpacked(&longest, |_| ()).unwrap();
}

#[test]
fn folders_that_only_paths_name_are_bounded() {
    let nested = |files: usize| {
        zip(|writer| {
            for number in 0..files {
                file(writer, &format!("{number}/{}f", "d/".repeat(49)), b"");
            }
        })
    };
    let (outcome, ()) = unpacked(&nested(FOLDERS_MAX / 50), |_| ()).unwrap();
    assert_eq!((outcome.size, outcome.entries), (0, 200));
    assert!(refusal(&nested(FOLDERS_MAX / 50 + 1)).contains("more than 10000 folders"));
}

#[test]
fn empty_files_and_folders_take_disk_too() {
    let bytes = zip(|writer| {
        file(writer, "a/b/empty", b"");
        file(writer, "a/full", &[7; 4096]);
        file(writer, "a/more", &[7; 4097]);
        writer.add_symlink("link", "a/full", plain()).unwrap();
    });
    let (outcome, disk) = unpacked(&bytes, |root| disk_use(root).unwrap()).unwrap();
    assert_eq!(outcome.size, 4096 + 4097);
    // The package's folder and two within, two files and a link of one block, and a file of two.
    assert_eq!(disk, (3 + 3 + 2) * BLOCK);
}

#[test]
fn too_many_entries_are_refused_before_they_are_read() {
    let header = b"PK\x01\x02".repeat(ENTRIES_MAX + 1);
    assert!(refusal(&header).contains("more than 100000 files"), "{}", refusal(&header));
}
