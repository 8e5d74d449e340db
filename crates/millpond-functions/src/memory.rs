//! What memory processes take, as `/proc` says.

use std::path::PathBuf;

/// What Linux counts memory in here. Larger pages exist on other machines; then a function gets more than it should, and never less.
const PAGE_BYTES: u64 = 4_096;

fn proc(process: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/{file}"))
}

fn children(process: i32) -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir(proc(process, "task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>()).collect()
}

/// Resident and, of that, shared bytes.
fn resident(process: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(proc(process, "statm")).ok()?;
    let mut numbers = text.split_whitespace().skip(1).map(|number| number.parse::<u64>().ok());
    let (resident, shared) = (numbers.next()??, numbers.next()??);
    Some((resident * PAGE_BYTES, shared * PAGE_BYTES))
}

/// The most that a process had resident, bytes.
pub fn peak(process: i32) -> Option<u64> {
    let text = std::fs::read_to_string(proc(process, "status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// What all processes below this one take, bytes: their private memory.
pub fn below(keeper: i32) -> u64 {
    let taken = all_below(keeper).into_iter().filter_map(resident);
    taken.map(|(resident, shared)| resident.saturating_sub(shared)).sum()
}

/// All processes below this one.
pub fn all_below(keeper: i32) -> Vec<i32> {
    let mut found = children(keeper);
    let mut next = 0;
    // A bound against a process that forks faster than this looks.
    while next < found.len().min(4_096) {
        let more = children(found[next]);
        found.extend(more);
        next += 1;
    }
    found
}

/// The oldest child of a process.
pub fn first_child(process: i32) -> Option<i32> {
    children(process).first().copied()
}

/// What the files below a directory take on the disk, bytes; no further than `enough`.
pub fn of_directory(directory: &std::path::Path, enough: u64) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0u64;
    let mut found = vec![directory.to_owned()];
    while let Some(directory) = found.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            // An entry without bytes takes room, too.
            total += metadata.blocks() * 512 + 256;
            if metadata.is_dir() {
                found.push(entry.path());
            }
            if total > enough {
                return total;
            }
        }
    }
    total
}
