//! How much memory the machine gives this process: the smallest of its RAM and the limits of the
//! control groups (version 2 or 1) it lives in, so that a container's limit counts.
//!
//! Called by [`super::sources`], once. Where nothing is known (not on Linux) it says so.

use std::path::{Path, PathBuf};

use super::bytes::Bytes;

/// What a process may use, as far as the system says.
pub(super) fn memory() -> Option<Bytes> {
    limit(&read)
}

#[allow(clippy::disallowed_methods, reason = "the door to what the system says of itself")]
fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

/// The smallest limit in the files that `read` reads.
fn limit(read: &dyn Fn(&Path) -> Option<String>) -> Option<Bytes> {
    let ram = read(Path::new("/proc/meminfo")).and_then(|text| ram(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = group_files(&groups).into_iter().filter_map(|file| {
        // Version 2 writes `max`, version 1 a number beyond any memory; both are no limit.
        read(&file)?.trim().parse().ok().map(Bytes)
    });
    limits.chain(ram).min()
}

/// `MemTotal:       16384256 kB`
fn ram(meminfo: &str) -> Option<Bytes> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024).map(Bytes)
}

/// Where the limits of the process's groups stand: `0::/a/b` or `4:memory:/a/b`, and all above. A
/// container sees its own group as the root, whatever its path says.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            named if named.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        files.extend(inside.ancestors().map(|group| Path::new(root).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: (&str, &str) = ("/proc/meminfo", "MemTotal:  1048576 kB\nMemFree: 5 kB\n");

    fn found(files: &[(&str, &str)]) -> Option<Bytes> {
        limit(&|asked| {
            let there = files.iter().find(|(file, _)| Path::new(file) == asked);
            there.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_smallest_limit_counts() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[RAM]), Some(Bytes::mib(1024)));
        let inside = ("/proc/self/cgroup", "0::/job/a\n");
        let own = ("/sys/fs/cgroup/job/a/memory.max", "max\n");
        let above = ("/sys/fs/cgroup/job/memory.max", "268435456\n");
        assert_eq!(found(&[RAM, inside, own, above]), Some(Bytes::mib(256)));
        let more = ("/sys/fs/cgroup/job/memory.max", "9223372036854771712\n");
        assert_eq!(found(&[RAM, inside, own, more]), Some(Bytes::mib(1024)));
        let container = ("/sys/fs/cgroup/memory.max", "134217728\n");
        assert_eq!(
            found(&[RAM, ("/proc/self/cgroup", "0::/\n"), container]),
            Some(Bytes::mib(128))
        );
    }

    #[test]
    fn version_1_counts_too() {
        let inside = ("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n");
        let own = ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "134217728\n");
        assert_eq!(found(&[RAM, inside, own]), Some(Bytes::mib(128)));
    }
}
