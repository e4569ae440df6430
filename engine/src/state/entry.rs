//! The bytes of a snapshot's entries, version 1. A section is a run of entries of one key group:
//!
//! ```text
//! entry     = op:u8 namespace:bytes key:bytes value:bytes
//! op        = 1 put | 2 delete (value empty) | 3 drop of the whole namespace (key, value empty)
//! bytes     = len:varint, then len bytes
//! varint    = seven bits a byte, lowest first, all but the last with the top bit; 32 bits at most
//! ```
//!
//! `key` is in the frozen key encoding, `namespace` is empty, the big-endian start of a slice or
//! the moment of a timer, `value` is in the state's codec. Entries are applied in order over the
//! ones before. Namespaces of one state are all of one length.
//!
//! A value that is added to without being read lies in several rows: the key of a portion is the
//! encoded key, then its number, u32 big-endian.
//!
//! Collections are rows: the key of a row is the encoded key, then the encoded key within the
//! collection. A delete removes every row of its namespace whose key begins with its key; because
//! encoded keys are prefix-free, that is one row where a key has one value.

/// What an entry does. As large as a word, so that an entry is moved in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Op {
    /// The key has this value.
    Put,
    /// The key has no value.
    Delete,
    /// No key of the namespace has a value.
    Drop,
}

/// One entry, borrowed from its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it does.
    pub op: Op,
    /// The namespace (a slice's start), or nothing.
    pub namespace: &'a [u8],
    /// The encoded key.
    pub key: &'a [u8],
    /// The encoded value.
    pub value: &'a [u8],
}

/// The byte of [`Op::Put`].
const PUT: u8 = 1;

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> anyhow::Result<()> {
    let mut len = u32::try_from(bytes.len())
        .map_err(|_| anyhow::anyhow!("{} bytes are too many for one entry", bytes.len()))?;
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends an entry.
///
/// # Errors
/// When a part is longer than 4 GiB.
pub fn write(out: &mut Vec<u8>, entry: Entry<'_>) -> anyhow::Result<()> {
    out.push(match entry.op {
        Op::Put => PUT,
        Op::Delete => 2,
        Op::Drop => 3,
    });
    put_bytes(out, entry.namespace)?;
    put_bytes(out, entry.key)?;
    put_bytes(out, entry.value)
}

/// Appends a put whose parts are made in place, without a copy of each.
///
/// # Errors
/// What making a part says; when one is longer than 4 GiB. Then `out` ends within an entry.
#[inline]
pub(super) fn write_made(
    out: &mut Vec<u8>,
    namespace: &[u8],
    key: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<()>,
    value: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match namespace {
        // And the length of the key that is to come.
        [] => out.extend_from_slice(&[PUT, 0, 0]),
        namespace => {
            out.push(PUT);
            put_bytes(out, namespace)?;
            out.push(0);
        }
    }
    make_bytes(out, key)?;
    out.push(0);
    make_bytes(out, value)
}

/// Makes a part behind the byte for its length.
#[inline]
fn make_bytes(
    out: &mut Vec<u8>,
    make: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let at = out.len() - 1;
    make(out)?;
    match out.len() - at - 1 {
        short @ ..0x80 => out[at] = short as u8,
        // The length takes more than the byte that was left for it.
        _ => {
            let bytes = out.split_off(at + 1);
            out.truncate(at);
            put_bytes(out, &bytes)?;
        }
    }
    Ok(())
}

#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    if let Some((len @ ..0x80, tail)) = rest.split_first()
        && let Some((bytes, tail)) = tail.split_at_checked(usize::from(*len))
    {
        *rest = tail;
        return Ok(bytes);
    }
    take_long(rest)
}

#[inline(never)]
fn take_long<'a>(rest: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let mut len = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or_else(cut)?;
        *rest = tail;
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (bytes, tail) = rest.split_at_checked(len as usize).ok_or_else(cut)?;
            *rest = tail;
            return Ok(bytes);
        }
    }
    anyhow::bail!("a length of more than 32 bits")
}

#[cold]
fn unknown(op: u8) -> anyhow::Error {
    anyhow::anyhow!("unknown entry kind {op}")
}

#[cold]
fn cut() -> anyhow::Error {
    anyhow::anyhow!("the section ends within an entry")
}

/// Reads the first entry of `rest` and moves past it; `None` at the end.
///
/// # Errors
/// When the bytes are not entries.
#[inline]
pub fn read<'a>(rest: &mut &'a [u8]) -> anyhow::Result<Option<Entry<'a>>> {
    let Some((op, tail)) = rest.split_first() else { return Ok(None) };
    let op = match *op {
        PUT => Op::Put,
        2 => Op::Delete,
        3 => Op::Drop,
        other => return Err(unknown(other)),
    };
    *rest = tail;
    let namespace = take_bytes(rest)?;
    let key = take_bytes(rest)?;
    let value = take_bytes(rest)?;
    Ok(Some(Entry { op, namespace, key, value }))
}

/// Reads the put that `rest` begins with and moves past it: what [`read`] has read before.
///
/// # Panics
/// When it is no entry.
#[inline]
pub fn read_put_again<'a>(rest: &mut &'a [u8]) -> Entry<'a> {
    *rest = &rest[1..];
    let mut part = || take_bytes(rest).expect("it was read before");
    Entry { op: Op::Put, namespace: part(), key: part(), value: part() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_cut_is_noticed() {
        let entry = Entry { op: Op::Put, namespace: b"n", key: b"key", value: b"value" };
        let mut bytes = Vec::new();
        write(&mut bytes, entry).expect("short");
        let mut rest = &bytes[..];
        assert_eq!(read(&mut rest).expect("whole"), Some(entry));
        assert_eq!(read(&mut rest).expect("end"), None);
        for len in 1..bytes.len() {
            assert!(read(&mut &bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn what_is_made_in_place_is_what_is_written() {
        for (namespace, key, value) in [(0, 1, 0), (8, 127, 128), (200, 128, 127), (1, 0, 70_000)] {
            let part = |len: usize| (0..len).map(|n| n as u8).collect::<Vec<u8>>();
            let (namespace, key, value) = (part(namespace), part(key), part(value));
            let (mut written, mut made) = (vec![9], vec![9]);
            let entry = Entry { op: Op::Put, namespace: &namespace, key: &key, value: &value };
            write(&mut written, entry).expect("short");
            let copy = |out: &mut Vec<u8>, part: &[u8]| {
                out.extend_from_slice(part);
                Ok(())
            };
            write_made(&mut made, &namespace, |out| copy(out, &key), |out| copy(out, &value))
                .expect("short");
            assert!(made == written);
        }
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let value = vec![7; len];
            let entry = Entry { op: Op::Put, namespace: b"", key: b"k", value: &value };
            let mut bytes = Vec::new();
            write(&mut bytes, entry).expect("fits");
            assert_eq!(read(&mut &bytes[..]).expect("whole"), Some(entry), "{len}");
        }
        let endless = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(read(&mut &endless[..]).is_err());
    }
}
