//! What a process takes of the machine, and where in a list of measurements one lies.

use std::path::Path;

/// The value below which the part `part` (0 to 1) of `values` lies; 0 where there is none.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// What one process takes at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Resident bytes.
    pub(crate) memory: u64,
    /// Open file handles.
    pub(crate) handles: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Files in the folder of its checkpoints.
    pub(crate) files: u64,
}

/// What this process takes now, as Linux tells it.
pub(crate) fn taken(folder: &Path) -> anyhow::Result<Taken> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let number = |name: &str| -> anyhow::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|line| line.split_whitespace().next());
        Ok(word.ok_or_else(|| anyhow::anyhow!("the system does not tell {name}"))?.parse()?)
    };
    Ok(Taken {
        memory: number("VmRSS:")? << 10,
        handles: std::fs::read_dir("/proc/self/fd")?.count() as u64,
        threads: number("Threads:")?,
        files: sizes(folder)?.len() as u64,
    })
}

/// The bytes of each file in a folder and those in it. A file that goes meanwhile counts nothing.
pub(crate) fn sizes(folder: &Path) -> anyhow::Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => all.append(&mut sizes(&entry.path())?),
            Ok(meta) => all.push(meta.len()),
            Err(_) => {}
        }
    }
    Ok(all)
}

/// The bytes of all files in a folder and those in it.
pub(crate) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    Ok(sizes(folder)?.iter().sum())
}
