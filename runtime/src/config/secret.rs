//! What must not be shown: values under secret-looking names, and passwords inside addresses.

use serde_json::Value;

const MASK: &str = "***";

const SECRET: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "access_key",
    "private_key",
    "key_file",
    "keyfile",
];

/// The value as it may be shown under this path.
pub(super) fn shown(path: &[String], value: &Value) -> Value {
    let named = |part: &String| is_secret(part);
    if path.iter().any(named) { Value::from(MASK) } else { masked_inside(value) }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    SECRET.iter().any(|secret| name.contains(secret))
}

fn masked_inside(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(address(text)),
        Value::Array(items) => items.iter().map(masked_inside).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let value = if is_secret(name) { Value::from(MASK) } else { masked_inside(value) };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

/// `scheme://user:password@host` without the password.
pub(super) fn address(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user_info, host) = rest[..end].rsplit_once('@')?;
        let (user, _) = user_info.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{host}{}", &rest[end..]))
    };
    masked().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let shown = |path: &str, value: Value| shown(&[path.to_owned()], &value);
        assert_eq!(shown("db_password", "x".into()), Value::from("***"));
        assert_eq!(shown("API-KEY", 5.into()), Value::from("***"));
        assert_eq!(shown("ssl.keyfile", "/x".into()), Value::from("***"));
        assert_eq!(shown("monkey", "x".into()), Value::from("x"));
        let list = serde_json::json!([{ "token": "x", "name": "y" }]);
        assert_eq!(shown("list", list), serde_json::json!([{ "token": "***", "name": "y" }]));
        let url = "postgres://bob:hunter2@db:5432/shop?x=1";
        assert_eq!(shown("db", url.into()), Value::from("postgres://bob:***@db:5432/shop?x=1"));
        assert_eq!(address("s3://bucket/a@b:c"), "s3://bucket/a@b:c");
    }
}
