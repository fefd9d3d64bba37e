//! Readers of model requests.

use crate::operation::ModelCall;
use crate::view::RequestView;

/// Reads the decoded body of a model call. Never fails: what could not be read is named in [`RequestView::problem`].
#[must_use]
pub fn read_request(call: &ModelCall, _body: &[u8]) -> RequestView {
    let mut view = RequestView::default();
    view.gen_ai.api = call.api.as_str().to_owned();
    view.gen_ai.operation = Some(call.api.operation().to_owned());
    view.gen_ai.request_model.clone_from(&call.model);
    view.gen_ai.stream = call.stream;
    view
}
