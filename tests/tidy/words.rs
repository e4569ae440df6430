//! One thing has one name: the words that the glossary leaves out appear nowhere in what ships,
//! neither in identifiers nor in comments, messages or the architecture's page.

use crate::tree::{File, Finding};

/// A word left out, and the glossary's word for it.
const LEFT_OUT: [(&str, &str); 10] = [
    ("epoch", "say checkpoint, attempt or marker"),
    ("shard", "say split or key group"),
    ("bucket", "say key group, slice or table"),
    ("vnode", "say key group"),
    ("processor", "say operator"),
    ("handler", "say what it does"),
    ("manager", "say what it does"),
    ("util", "name the file after the one thing it says"),
    ("utility", "name the file after the one thing it says"),
    ("helper", "name it after what it does"),
];

/// Other people's names, which we cannot choose.
const ALLOWED: [(&str, &str); 12] = [
    ("UNIX_EPOCH", "the standard library's own name"),
    ("Unix epoch", "the moment's own name, where a timestamp's zero is explained"),
    ("s3://bucket", "S3's own word, in the form of an address"),
    ("_bucket{", "the suffix that Prometheus asks of a histogram"),
    ("tracing_subscriber::util", "the crate's own path"),
    ("InvalidProducerEpoch", "Kafka's own name"),
    ("LeaderEpoch", "Kafka's own name"),
    ("num_buckets", "hashbrown's own name"),
    ("get_bucket", "hashbrown's own name"),
    ("find_bucket", "hashbrown's own name"),
    ("WriteBufferManager", "RocksDB's own name"),
    ("write_buffer_manager", "RocksDB's own name"),
];

/// A word that is somebody else's in the files that speak of it: word, folder, reason.
const ALLOWED_IN: [(&str, &str, &str); 1] =
    [("bucket", "runtime/src/checkpoint/", "S3's own word for what it keeps objects in")];

/// Words left out, in what ships.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    let ours = file.is_source() && file.is_rust();
    if !ours && file.path != "engine/ARCHITECTURE.md" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (i, line) in file.text.lines().enumerate() {
        for (word, instead) in left_out(line) {
            let theirs = |(name, folder, _): &(&str, &str, &str)| {
                *name == word && file.path.starts_with(folder)
            };
            if ALLOWED_IN.iter().any(theirs) {
                continue;
            }
            let what = format!("`{word}` is not in the glossary");
            findings.push(file.finding(i + 1, what, instead));
        }
    }
    findings
}

/// The words left out in one line.
fn left_out(line: &str) -> Vec<(&'static str, &'static str)> {
    let allowed = ALLOWED.iter().fold(line.to_owned(), |line, (name, _)| line.replace(name, " "));
    let parts = parts(&allowed);
    let is = |part: &str, word: &str| part == word || part.strip_suffix('s') == Some(word);
    LEFT_OUT.into_iter().filter(|(word, _)| parts.iter().any(|part| is(part, word))).collect()
}

/// The words in `line` in lower case: an identifier's parts are words of their own.
fn parts(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for c in line.chars() {
        let starts = c.is_uppercase() && before.is_lowercase();
        if starts || !c.is_alphabetic() {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (c.is_alphabetic(), parts.last_mut()) {
            part.extend(c.to_lowercase());
        }
        before = c;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_left_out_are_found_in_names_and_prose() {
        let text = "//! x\nfn next_epoch(h: FooHandler) {}\n// two buckets\nlet a = \"Helper\";\n";
        let found = check(&File::new("runtime/src/a.rs", text));
        let at: Vec<&str> = found.iter().map(|f| f.at.rsplit(':').next().unwrap_or("")).collect();
        assert_eq!(at, ["2", "2", "3", "4"]);
        assert_eq!(check(&File::new("engine/ARCHITECTURE.md", "a shard")).len(), 1);
    }

    #[test]
    fn words_that_only_hold_them_and_names_of_others_pass() {
        let text = "//! a utilisation, dispatch\nstd::time::UNIX_EPOCH; // s3://bucket/path\n";
        assert_eq!(check(&File::new("runtime/src/a.rs", text)), []);
        assert_eq!(check(&File::new("tests/a.rs", "epoch")), []);
        assert_eq!(check(&File::new("runtime/src/checkpoint/s3.rs", "bucket")), []);
    }
}
