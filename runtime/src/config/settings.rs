//! The job's own settings while they are put together: leaves by path, each with its origin. Tables
//! merge; everything else replaces what lower layers said at, above and below its path.

use serde_json::{Map, Value};

use super::origin::Origin;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    /// The names on the way to it.
    pub(super) path: Vec<String>,
    /// Not a table, unless an empty one.
    pub(super) value: Value,
    /// Who set it.
    pub(super) origin: Origin,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    leaves: Vec<Leaf>,
}

impl Settings {
    /// Sets the value at `path`.
    pub(super) fn set(&mut self, path: &[String], value: Value, origin: &Origin) {
        if let Value::Object(fields) = &value
            && !fields.is_empty()
        {
            for (name, value) in fields {
                let path = [path, std::slice::from_ref(name)].concat();
                self.set(&path, value.clone(), origin);
            }
            return;
        }
        self.leaves.retain(|leaf| !leaf.path.starts_with(path) && !path.starts_with(&leaf.path));
        self.leaves.push(Leaf { path: path.to_vec(), value, origin: origin.clone() });
    }

    /// By path.
    pub(super) fn leaves(&self) -> Vec<&Leaf> {
        let mut leaves: Vec<&Leaf> = self.leaves.iter().collect();
        leaves.sort_by(|a, b| a.path.cmp(&b.path));
        leaves
    }

    /// As one object.
    pub(super) fn object(&self) -> Value {
        let mut root = Map::new();
        for leaf in &self.leaves {
            put(&mut root, &leaf.path, &leaf.value);
        }
        Value::Object(root)
    }
}

fn put(table: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value.clone());
        }
        [name, rest @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
