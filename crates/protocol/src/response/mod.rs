//! Readers of model answers, whole or streamed.

use crate::operation::Api;
use crate::view::ResponseView;

/// Reads one answer as its bytes arrive.
#[derive(Debug)]
pub struct ResponseReader {
    api: Api,
}

impl ResponseReader {
    /// A reader for the answer with this head. `content_type` and `content_encoding` are the header values as received.
    #[must_use]
    pub fn new(
        api: Api,
        _content_type: Option<&str>,
        _content_encoding: Option<&str>,
        _status: u16,
    ) -> Self {
        Self { api }
    }

    /// Reads the next bytes of the body as they stand on the wire.
    pub fn feed(&mut self, _bytes: &[u8]) {}

    /// Whether the event that ends the answer was seen. A JSON body has none: it is whole at its end.
    #[must_use]
    pub const fn terminal_seen(&self) -> bool {
        false
    }

    /// Ends the answer. `complete`: the transport delivered the whole body.
    #[must_use]
    pub fn finish(self, _complete: bool) -> ResponseView {
        let mut view = ResponseView::default();
        view.gen_ai.api = self.api.as_str().to_owned();
        view
    }
}
