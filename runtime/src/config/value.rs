//! [`Raw`]: a value as it was written, typed in a file or plain text in a variable or flag, and the
//! kinds of value that the engine's keys take. An error is the text of what is allowed.

use std::time::Duration;

use serde_json::Value;
use toml::de::DeValue;

use super::bytes::Bytes;

/// The longest duration: far from where adding it to a clock overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// From a file.
    Typed(Value),
    /// From a variable or a flag.
    Text(String),
}

impl Raw {
    /// As an error shows it.
    pub(super) fn found(&self) -> String {
        match self {
            Raw::Typed(Value::Object(_)) => "a table".to_owned(),
            Raw::Typed(Value::Array(_)) => "an array".to_owned(),
            Raw::Typed(value) => value.to_string(),
            Raw::Text(text) => Value::from(text.as_str()).to_string(),
        }
    }

    /// A whole number.
    pub(super) fn count<T: TryFrom<u64>>(&self, min: u64, max: u64) -> Result<T, String> {
        let number = match self {
            Raw::Typed(value) => value.as_u64(),
            Raw::Text(text) => text.trim().parse().ok(),
        };
        let within = number.filter(|number| (min..=max).contains(number));
        let allowed = || format!("a whole number from {min} to {max}");
        within.and_then(|number| T::try_from(number).ok()).ok_or_else(allowed)
    }

    /// Some text.
    pub(super) fn text(&self) -> Option<&str> {
        let text = match self {
            Raw::Typed(value) => value.as_str(),
            Raw::Text(text) => Some(text.as_str()),
        };
        text.map(str::trim)
    }

    /// An amount of memory, at least `min`.
    pub(super) fn bytes(&self, min: Bytes) -> Result<Bytes, String> {
        let bytes = self.text().and_then(Bytes::parse).filter(|bytes| *bytes >= min);
        let allowed =
            || format!("a size with its unit, such as `512MiB` or `2GiB`, and at least {min}");
        bytes.ok_or_else(allowed)
    }

    /// A duration, zero where `off` is a word for it.
    pub(super) fn duration(&self, off: bool) -> Result<Duration, String> {
        let or_off = if off { ", or `off`" } else { "" };
        let allowed = format!("a duration with its unit, such as `100ms`, `1s` or `10min`{or_off}");
        let zero = matches!(self, Raw::Typed(value) if value.as_u64() == Some(0));
        let duration = match self.text() {
            Some("off") if off => Duration::ZERO,
            Some("0") => Duration::ZERO,
            Some(text) => humantime::parse_duration(text).map_err(|_| allowed)?,
            None if zero => Duration::ZERO,
            None => return Err(allowed),
        };
        if duration > LONGEST {
            return Err("at most 365days".to_owned());
        }
        Ok(duration)
    }
}

/// A duration as it is written: `100ms`, `1m 30s`.
pub(super) fn written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// What a TOML value is in a job's settings. An error says what it must be instead.
pub(super) fn json_of(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Integer(number) => {
            let (digits, radix) = (number.as_str(), number.radix());
            let signed = i64::from_str_radix(digits, radix).map(Value::from);
            let whole = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from));
            whole.map_err(|_| "a whole number of at most 64 bits".to_owned())?
        }
        DeValue::Float(number) => {
            let number: Option<f64> = number.as_str().parse().ok();
            let finite = number.and_then(serde_json::Number::from_f64);
            Value::Number(finite.ok_or_else(|| "a finite number".to_owned())?)
        }
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json_of(item.get_ref()));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(fields) => {
            let field = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                Ok((name.to_string(), json_of(value.get_ref())?))
            };
            Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
        }
    })
}

/// A job's setting from the text of a variable or flag: an array, a table or a quoted string as in
/// TOML or JSON; `true`, `false`; a number, unless it begins with a needless zero; else a string.
pub(super) fn typed(text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    if trimmed.starts_with(['[', '{', '"', '\'']) {
        return structured(trimmed);
    }
    let digits = trimmed.trim_start_matches(['-', '+']);
    let padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let number = digits.starts_with(|c: char| c.is_ascii_digit()) && !padded;
    Ok(match trimmed {
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ if number => number_of(trimmed).unwrap_or_else(|| Value::from(text)),
        _ => Value::from(text),
    })
}

fn number_of(text: &str) -> Option<Value> {
    let signed = text.parse::<i64>().ok().map(Value::from);
    let whole = signed.or_else(|| text.parse::<u64>().ok().map(Value::from));
    let float = || serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number);
    whole.or_else(float)
}

fn structured(text: &str) -> Result<Value, String> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => {
            let closed = || "an array, table or string, closed, as in TOML or JSON".to_owned();
            json_of(DeValue::parse(text).map_err(|_| closed())?.get_ref())?
        }
    };
    if has_null(&value) { Err("without null: leave it out".to_owned()) } else { Ok(value) }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}
