//! Nothing dead and nothing half done: no commented-out code, no twins, no `todo!`, no ignored
//! test. Git remembers what was; an issue remembers what is to come.

use crate::mask::is_word;
use crate::tree::{File, Finding};

/// Code that stands in a comment.
pub(crate) fn commented(file: &File) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let code = file.masked.comment_lines().into_iter().filter(|(_, line)| {
        let text = line.trim().strip_prefix("//");
        text.is_some_and(|t| !t.starts_with(['/', '!']) && is_code(t.trim()))
    });
    let what = || "commented-out code".to_owned();
    code.map(|(line, _)| file.finding(line, what(), "delete it, git remembers")).collect()
}

/// Whether a comment's line reads as Rust. In doubt it is prose.
fn is_code(text: &str) -> bool {
    let first = text.split(|c| !is_word(c)).next().unwrap_or_default();
    let opens = ["if", "for", "while", "match", "loop", "fn", "pub", "impl", "struct", "enum"];
    let states = ["let", "use", "pub", "return", "mod", "const", "static"];
    let after = text[first.len()..].trim_start_matches(is_word);
    let calls = ["(", ".", "::", "!(", " = ", " += "].iter().any(|mark| after.starts_with(mark));
    match text.chars().next_back() {
        Some('{') => opens.contains(&first) || text.starts_with('}') || text.contains("=> {"),
        Some(';') => states.contains(&first) || (!first.is_empty() && calls),
        Some('}' | ')') => matches!(text, "}" | "})" | "})?"),
        _ => text.starts_with("#["),
    }
}

/// Two of a kind: a definition or a file that is called after an older one.
pub(crate) fn twins(file: &File) -> Vec<Finding> {
    let remedy = "replace the old one and remove it in the same change";
    let mut findings = Vec::new();
    let endings = [".disabled", ".bak", ".orig", ".old", ".rej"];
    if endings.iter().any(|ending| file.path.ends_with(ending)) {
        findings.push(file.finding(1, "a left-over file".to_owned(), "delete it"));
    }
    for definition in ["fn", "struct", "enum", "trait", "type", "mod", "const"] {
        for at in file.masked.words(definition) {
            let rest = &file.masked.code[at + definition.len()..];
            let name: String =
                rest.iter().skip_while(|c| **c == ' ').take_while(|c| is_word(**c)).collect();
            if is_twin(&name) {
                let line = file.masked.line_of(at);
                findings.push(file.finding(line, format!("`{name}` is a twin"), remedy));
            }
        }
    }
    findings
}

/// Whether a name says that it is the newer or the older of two.
fn is_twin(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = stem.len() < name.len() && (stem.ends_with('V') || stem.ends_with("_v"));
    let endings = ["_old", "_legacy", "_orig", "_OLD", "_LEGACY", "Old", "Legacy"];
    (numbered && !name.ends_with("_v1")) || endings.iter().any(|ending| name.ends_with(ending))
}

/// The reason of an ignored test that another test runs, as a process to be killed.
const CHILD: &str = "#[ignore = \"the process that";

/// Work put off within the code.
pub(crate) fn unfinished(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let macros = ["todo", "unimplemented"];
    for (name, at) in
        macros.iter().flat_map(|m| file.masked.words(m).into_iter().map(move |at| (m, at)))
    {
        if file.masked.code.get(at + name.len()) == Some(&'!') {
            let line = file.masked.line_of(at);
            let what = format!("`{name}!` in the code");
            findings.push(file.finding(line, what, "finish it, or return an error with a name"));
        }
    }
    for at in file.masked.words("ignore") {
        let line = file.masked.line_of(at);
        let text = file.text.lines().nth(line - 1).unwrap_or_default();
        if file.masked.code[..at].ends_with(&['#', '[']) && !text.contains(CHILD) {
            let what = "a test that nobody runs".to_owned();
            findings.push(file.finding(line, what, "repair it or delete it"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(text: &str) -> File {
        File::new("engine/src/planted.rs", text)
    }

    #[test]
    fn commented_out_code_is_found() {
        let bad = [
            "// let x = 1;",
            "    // self.state.put(key);",
            "// if x == 2 {",
            "//}",
            "// #[derive(Debug)]",
            "// } else {",
            "// println!(\"{x}\");",
        ];
        for line in bad {
            assert_eq!(commented(&planted(&format!("//! x\n{line}\n"))).len(), 1, "{line}");
        }
    }

    #[test]
    fn prose_is_no_code() {
        let good = [
            "// the barrier is cut here; the rest follows:",
            "// Two ends (see above);",
            "/// let x = 1;",
            "let url = \"// let x = 1;\";",
            "// for each of them, once a second;",
        ];
        for line in good {
            assert_eq!(commented(&planted(line)), [], "{line}");
        }
    }

    #[test]
    fn twins_are_found() {
        let found = twins(&planted("struct GateV2;\nfn read_old() {}\nfn ipv4() {}\nmod fold;\n"));
        assert_eq!(found.len(), 2);
        assert_eq!(twins(&File::new("engine/src/gate.rs.disabled", "")).len(), 1);
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = "fn f() { todo!() }\n#[ignore = \"slow\"]\nfn g() {}\n// todo!()\n#[ignore]\n";
        let found = unfinished(&planted(text));
        let at: Vec<&str> = found.iter().map(|f| f.at.rsplit(':').next().unwrap_or("")).collect();
        assert_eq!(at, ["1", "2", "5"]);
    }
}
