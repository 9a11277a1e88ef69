//! One text for all JSON documents that mean the same. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// Returns a text that is the same for equal values: names of fields are sorted, and a number is written in one way.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                (float as i64).to_string()
            }
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let written =
                |(name, value)| format!("{}:{}", Value::from(String::clone(name)), canonical(value));
            format!("{{{}}}", sorted.into_iter().map(written).collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_documents_have_one_text() {
        let text = |text: &str| canonical(&serde_json::from_str(text).unwrap());
        assert_eq!(
            text(r#"{"b":[1.0,{"d":null,"c":"é"}],"a":5e2}"#),
            r#"{"a":500,"b":[1,{"c":"é","d":null}]}"#
        );
        assert_eq!(
            text(r#"{"b":[1,{"c":"\u00e9","d":null}],"a":500}"#),
            text(r#"{"a":500.0,"b":[1,{"d":null,"c":"é"}]}"#)
        );
        for (one, other) in
            [("1", "\"1\""), ("[1,2]", "[2,1]"), ("{}", "[]"), ("0.1", "0.2"), ("null", "false")]
        {
            assert_ne!(text(one), text(other));
        }
        assert_eq!(canonical(&json!(18_446_744_073_709_551_615_u64)), "18446744073709551615");
    }
}
