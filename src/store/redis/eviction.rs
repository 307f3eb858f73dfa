//! The eviction policy of a server: what it does when its memory is full.

use ::redis::{RedisResult, Value, aio::ConnectionLike, cmd};

/// The eviction policies of the servers behind a connection; empty if they report none.
pub(super) async fn eviction_policies(connection: &mut impl ConnectionLike) -> RedisResult<Vec<String>> {
    let of_info = cmd("INFO").arg("memory").query_async(connection).await.map(|answer| in_info(&answer));
    match of_info {
        Ok(policies) if !policies.is_empty() => return Ok(policies),
        // After an I/O error, another command on this connection would fail as well.
        Err(error) if error.is_io_error() => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let answer = cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(connection).await?;
    Ok(in_config(&answer))
}

/// The policies in the answer to `INFO`: text with one line for each value; from a cluster, several such texts.
fn in_info(answer: &Value) -> Vec<String> {
    let texts = texts(answer);
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter_map(|line| line.strip_prefix("maxmemory_policy:")).map(|policy| policy.trim().to_owned()).collect()
}

/// The policies in the answer to `CONFIG GET`: each name followed by its value.
fn in_config(answer: &Value) -> Vec<String> {
    let texts = texts(answer);
    let pairs = texts.iter().zip(texts.iter().skip(1));
    pairs.filter(|(name, _)| **name == "maxmemory-policy").map(|(_, policy)| policy.clone()).collect()
}

/// Every text in an answer, in order, for RESP2 and RESP3.
fn texts(answer: &Value) -> Vec<String> {
    match answer {
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Map(pairs) => pairs.iter().flat_map(|(name, value)| [texts(name), texts(value)].concat()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_in_every_protocol() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let info = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\nmem_clients:1\r\n";
        let verbatim = Value::VerbatimString { format: ::redis::VerbatimFormat::Text, text: info.into() };
        let cluster = Value::Map(vec![
            (text("a:6379"), text("maxmemory_policy:noeviction\r\n")),
            (text("b:6379"), verbatim.clone()),
        ]);
        for (answer, expected) in [
            (text(info), &["allkeys-lru"][..]),
            (verbatim, &["allkeys-lru"]),
            (cluster, &["noeviction", "allkeys-lru"]),
            (text("# Memory\r\nmaxmemory:0\r\n"), &[]),
            (Value::Nil, &[]),
        ] {
            assert_eq!(in_info(&answer), expected, "{answer:?}");
        }
        let pair = || (text("maxmemory-policy"), text("volatile-ttl"));
        for (answer, expected) in [
            (Value::Array(vec![pair().0, pair().1]), &["volatile-ttl"][..]),
            (Value::Map(vec![pair()]), &["volatile-ttl"]),
            (Value::Array(vec![pair().0]), &[]),
            (Value::Array(Vec::new()), &[]),
        ] {
            assert_eq!(in_config(&answer), expected, "{answer:?}");
        }
    }
}
