//! `[recorder]`.

use super::{Reader, Section};
use crate::config::{RecorderSettings, value};

const RECORDER: &[&str] = &[
    "environment_interval",
    "heartbeat",
    "secret_names",
    "strict_streams",
];

impl Reader<'_> {
    pub(super) fn recorder(&mut self, section: &Section<'_, '_>, recorder: &mut RecorderSettings) {
        self.known_keys(section, RECORDER);
        if let Some(heartbeat) = self.duration(section, "heartbeat") {
            recorder.heartbeat = heartbeat;
        }
        if let Some(interval) = self.duration(section, "environment_interval") {
            recorder.environment_interval = interval;
        }
        if let Some(names) = self.strings(section, "secret_names", value::secret_name) {
            recorder.secret_names = names;
        }
        if let Some(strict) = self.boolean(section, "strict_streams") {
            recorder.strict_streams = strict;
        }
    }
}
