//! A protobuf writer: as much as an error needs, so that a guard can refuse a gRPC client without a gRPC library.

/// A message that is being written. What is at its default is left out, as in proto3.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn uint(mut self, field: u8, value: u64) -> Self {
        if value != 0 {
            self.varint(u64::from(field) << 3);
            self.varint(value);
        }
        self
    }

    pub(super) fn string(self, field: u8, value: &str) -> Self {
        if value.is_empty() { self } else { self.delimited(field, value.as_bytes()) }
    }

    /// A message within this one, or the next of a list. It is there even where it is empty.
    pub(super) fn message(self, field: u8, value: &Self) -> Self {
        self.delimited(field, &value.0)
    }

    /// An entry of a `map<string, string>`.
    pub(super) fn entry(self, field: u8, key: &str, value: &str) -> Self {
        self.message(field, &Self::default().string(1, key).string(2, value))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn delimited(mut self, field: u8, bytes: &[u8]) -> Self {
        const LENGTH_DELIMITED: u64 = 2;
        self.varint(u64::from(field) << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Seven bits a byte, the low ones first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's own documentation.
    #[test]
    fn writes_what_the_documentation_shows() {
        assert_eq!(Message::default().uint(1, 150).as_bytes(), [0x08, 0x96, 0x01]);
        let testing = Message::default().string(2, "testing");
        assert_eq!(testing.as_bytes(), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let nested = Message::default().message(3, &Message::default().uint(1, 150));
        assert_eq!(nested.as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert!(Message::default().uint(1, 0).string(2, "").as_bytes().is_empty());
        assert_eq!(Message::default().uint(1, u64::MAX).as_bytes().len(), 11);
        assert_eq!(Message::default().uint(1, 127).as_bytes(), [0x08, 0x7f]);
        assert_eq!(Message::default().string(1, &"x".repeat(128)).as_bytes()[..3], [0x0a, 0x80, 0x01]);
    }
}
