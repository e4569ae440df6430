//! The checks of a source.
//!
//! 1. Splits are the same each time they are asked for, with ids of their own.
//! 2. Killed after any number of records, and gone on with by another number of readers, a source
//!    brings every record of every split once and in order.
//! 3. Waiting that is given up loses nothing; positions rise; batches keep their limit.

use anyhow::{Context as _, ensure};
use riverrun_engine::Result;
use riverrun_engine::data::to_bytes;
use riverrun_engine::element::BATCH_RECORDS;
use riverrun_engine::source::{Source, Split};

use super::doors::{block_on, context};
use super::drive::{Drive, Kept};

async fn splits_of<S: Source>(source: &S) -> Result<Vec<Kept>> {
    let ctx = context("checked", 0, 1, "discover");
    let (one, two) = (source.discover(&ctx).await?, source.discover(&ctx).await?);
    let ids: Vec<String> = one.iter().map(Split::id).collect();
    let again: Vec<String> = two.iter().map(Split::id).collect();
    ensure!(ids == again, "the splits are {ids:?}, asked again they are {again:?}");
    for (i, id) in ids.iter().enumerate() {
        ensure!(!ids[..i].contains(id), "two splits have the id '{id}'");
    }
    one.iter().map(|split| Ok(Kept { split: to_bytes(split)?, offset: None })).collect()
}

/// Reads with `readers` readers until `records_min` records were read or everything is.
async fn read<S: Source>(
    source: &S,
    readers: u32,
    records_max: usize,
    records_min: usize,
    kept: &mut [Kept],
    items: &mut [Vec<S::Item>],
) -> Result<()> {
    let mut drives = Vec::new();
    for i in 0..readers {
        let own = (i as usize..kept.len()).step_by(readers as usize);
        let ctx = context("checked", i, readers, "read");
        drives.push(Drive::open(source, ctx, kept, own).await?);
    }
    let (mut records, mut open) = (0, readers);
    while records < records_min && open > 0 {
        open = readers;
        for drive in &mut drives {
            match drive.step(records_max).await? {
                Some(read) => records += read,
                None => open -= 1,
            }
            if records >= records_min {
                break;
            }
        }
    }
    drives.into_iter().try_for_each(|drive| drive.put_down(kept, items))
}

/// Reads all there is, split by split in the order of their discovery: until each has ended or
/// caught up.
///
/// # Errors
/// The source's own; answers that break the contract.
pub fn read_all<S: Source>(source: &S) -> Result<Vec<Vec<S::Item>>> {
    block_on(async {
        let mut kept = splits_of(source).await?;
        let mut items: Vec<Vec<S::Item>> = vec![Vec::new(); kept.len()];
        read(source, 1, BATCH_RECORDS, usize::MAX, &mut kept, &mut items).await?;
        Ok(items)
    })
}

fn encoded<T: serde::Serialize>(splits: &[Vec<T>]) -> Result<Vec<Vec<Vec<u8>>>> {
    splits.iter().map(|items| items.iter().map(to_bytes).collect()).collect()
}

/// After how many records the reader is killed.
fn kill_points(records: usize) -> Vec<usize> {
    let mut points = vec![0, 1, 2, 3, records.saturating_sub(1), records];
    points.extend((1..8).map(|i| records * i / 8));
    points.retain(|point| *point <= records);
    points.sort_unstable();
    points.dedup();
    points
}

/// Checks that `source` keeps the contract of `riverrun_engine::source`. What it reads must stay
/// the same meanwhile; an unbounded source counts as read when every split has caught up.
///
/// # Errors
/// What it breaks, and when.
pub fn check_source<S: Source>(source: &S) -> Result<()> {
    source.check().context("`check` refuses the source")?;
    let whole = encoded(&read_all(source).context("reading everything")?)?;
    let records = whole.iter().map(Vec::len).sum();
    // What is dealt out is read in larger batches.
    let sizes = [1, 7, BATCH_RECORDS, 4 * BATCH_RECORDS];
    for (turn, killed_at) in kill_points(records).into_iter().enumerate() {
        let (before, after) = (1 + turn as u32 % 3, 1 + (turn as u32 / 2) % 3);
        let size = if records > 3 * BATCH_RECORDS { sizes[1 + turn % 3] } else { sizes[turn % 4] };
        let scenario = format!(
            "killed after {killed_at} of {records} records, read {size} at a time by {before} \
             readers and then by {after}"
        );
        block_on(async {
            let mut kept = splits_of(source).await?;
            let mut items: Vec<Vec<S::Item>> = vec![Vec::new(); kept.len()];
            read(source, before, size, killed_at, &mut kept, &mut items).await?;
            read(source, after, size, usize::MAX, &mut kept, &mut items).await?;
            let items = encoded(&items)?;
            for (split, (whole, items)) in whole.iter().zip(&items).enumerate() {
                let same = whole.iter().zip(items).take_while(|(a, b)| a == b).count();
                ensure!(
                    whole == items,
                    "split number {split} has {} records, {} were read, the first {same} alike",
                    whole.len(),
                    items.len()
                );
            }
            Ok(())
        })
        .with_context(|| scenario)?;
    }
    Ok(())
}
