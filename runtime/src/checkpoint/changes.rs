//! What changed in a state of a key group since its run: the sections that apply over it, as they
//! were read, for whoever needs all of them.
//!
//! Called by merges, squashes and [`super::view::Rows`].

use bytes::Bytes;
use riverrun_engine::key::KeyGroup;

use super::error::StoreError;
use super::run::{Overlay, Puts};
use super::view::{SPAN_BLOCKS, StateFiles};

/// Sections in the order in which they apply.
#[derive(Debug)]
pub struct Changes(Vec<Read>);

/// A section that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) segment: usize,
    pub(super) block: usize,
    pub(super) bytes: Bytes,
}

impl Changes {
    pub(super) fn sections(self) -> impl Iterator<Item = Read> {
        self.0.into_iter()
    }
}

impl StateFiles {
    /// The sections that apply over the run of a key group; neighbours are read by one request.
    ///
    /// # Errors
    /// A section that is damaged; storage that does not answer.
    pub async fn changes(
        &self,
        group: KeyGroup,
        uid: &str,
        state: &str,
    ) -> Result<Changes, StoreError> {
        let mut places = self.sections_of(group, uid, state);
        let mut read = Vec::with_capacity(places.len());
        while let Some((segment, first)) = places.first().copied() {
            let next = |(at, place): &(usize, &(usize, usize))| **place == (segment, first + at);
            let near = places.iter().enumerate().take(SPAN_BLOCKS).take_while(next).count();
            let blocks = self.segment(segment).read_all(first..first + near).await?;
            let of = |(block, bytes)| Read { segment, block, bytes };
            read.extend((first..).zip(blocks).map(of));
            places = &places[near..];
        }
        Ok(Changes(read))
    }

    /// Their puts; `None` where one of them takes rows away.
    ///
    /// # Errors
    /// A section that is not entries.
    pub fn puts<'c>(&self, changes: &'c Changes) -> Result<Option<Puts<'c>>, StoreError> {
        let mut puts = Puts::default();
        for Read { segment, block, bytes } in &changes.0 {
            let added = puts.add(bytes);
            if !added.map_err(|error| self.no_entries(*segment, *block, &error))? {
                return Ok(None);
            }
        }
        Ok(Some(puts))
    }

    /// All they do.
    ///
    /// # Errors
    /// A section that is not entries.
    pub fn overlay(&self, changes: &Changes) -> Result<Overlay, StoreError> {
        let mut overlay = Overlay::default();
        for Read { segment, block, bytes } in &changes.0 {
            let added = overlay.add(bytes);
            added.map_err(|error| self.no_entries(*segment, *block, &error))?;
        }
        Ok(overlay)
    }
}
