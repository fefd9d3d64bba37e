//! One value of a section: read, checked, or named with its place and what is wrong with it.

use super::{Reader, Section};
use crate::config::anchors::Named;
use crate::config::{read_text, sha256, value};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

impl Reader<'_> {
    pub(super) fn size(&mut self, section: &Section<'_, '_>, key: &str, least: u64) -> Option<u64> {
        let found = section.table.get(key)?;
        let size = match found.get_ref() {
            DeValue::String(text) => value::size(text),
            DeValue::Integer(_) => return self.at_least(section, key, least),
            _ => {
                self.wrong_type(section, key, found, "a size like 4096 or \"64MiB\"");
                return None;
            }
        };
        match size {
            Ok(bytes) => self.enough(section, key, found.span(), bytes, least),
            Err(why) => {
                self.problem(
                    found.span(),
                    format!("`{key}` in {} {why}", section.title),
                    None,
                );
                None
            }
        }
    }

    fn at_least(&mut self, section: &Section<'_, '_>, key: &str, least: u64) -> Option<u64> {
        let (bytes, place) = self.integer(section, key)?;
        self.enough(section, key, place, bytes, least)
    }

    fn enough(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        place: Range<usize>,
        bytes: u64,
        least: u64,
    ) -> Option<u64> {
        if bytes < least {
            let what = format!(
                "`{key}` in {} is {bytes} bytes; at least {least}",
                section.title
            );
            self.problem(place, what, None);
            return None;
        }
        Some(bytes)
    }

    pub(super) fn duration(&mut self, section: &Section<'_, '_>, key: &str) -> Option<Duration> {
        let found = section.table.get(key)?;
        let duration = match found.get_ref() {
            DeValue::String(text) => value::duration(text),
            DeValue::Integer(_) => {
                value::in_bounds(Duration::from_secs(self.integer(section, key)?.0))
            }
            _ => {
                self.wrong_type(section, key, found, "a time like 30 (seconds) or \"500ms\"");
                return None;
            }
        };
        match duration {
            Ok(duration) => Some(duration),
            Err(why) => {
                self.problem(
                    found.span(),
                    format!("`{key}` in {} {why}", section.title),
                    None,
                );
                None
            }
        }
    }

    pub(super) fn integer(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<(u64, Range<usize>)> {
        let found = section.table.get(key)?;
        let number = found.get_ref().as_integer().and_then(|integer| {
            u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        });
        if number.is_none() {
            self.wrong_type(section, key, found, "a whole number that is not negative");
        }
        Some((number?, found.span()))
    }

    pub(super) fn string(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<(String, Range<usize>)> {
        let found = section.table.get(key)?;
        let text = found.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(section, key, found, "a string in quotes");
        }
        Some((text?, found.span()))
    }

    /// A path as it is written. An empty one would mean the configuration's own folder.
    pub(super) fn path(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<(String, Range<usize>)> {
        let (path, place) = self.string(section, key)?;
        if path.is_empty() {
            let what = format!("`{key}` in {} is empty", section.title);
            self.problem(place, what, Some("write a path".to_owned()));
            return None;
        }
        Some((path, place))
    }

    /// A list of strings, each one checked.
    pub(super) fn strings(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        let found = section.table.get(key)?;
        let Some(array) = found.get_ref().as_array() else {
            self.wrong_type(section, key, found, "a list of strings");
            return None;
        };
        let mut strings = Vec::new();
        for value in array {
            let Some(text) = value.get_ref().as_str() else {
                self.wrong_type(section, key, value, "a list of strings");
                continue;
            };
            match check(text) {
                Ok(()) => strings.push(text.to_owned()),
                Err(why) => {
                    let what = format!("`{text}` of `{key}` in {} {why}", section.title);
                    self.problem(value.span(), what, None);
                }
            }
        }
        Some(strings)
    }

    pub(super) fn url(&mut self, section: &Section<'_, '_>, key: &str) -> Option<String> {
        let (url, place) = self.string(section, key)?;
        match value::url(&url) {
            Ok(()) => Some(url),
            Err(why) => {
                self.problem(place, format!("`{key}` in {} {why}", section.title), None);
                None
            }
        }
    }

    /// A path, absolute: events name it, and a relative one means nothing elsewhere.
    pub(super) fn place(&mut self, section: &Section<'_, '_>, key: &str) -> Option<PathBuf> {
        let (path, _) = self.path(section, key)?;
        let place = self.folder.join(path);
        Some(std::path::absolute(&place).unwrap_or(place))
    }

    pub(super) fn boolean(&mut self, section: &Section<'_, '_>, key: &str) -> Option<bool> {
        let found = section.table.get(key)?;
        let value = found.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(section, key, found, "true or false");
        }
        value
    }

    /// A file that the configuration names, read by `read`.
    pub(super) fn file<T>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Named<T>> {
        let (path, place) = self.path(section, key)?;
        let text = read_text(&self.folder.join(&path)).map_err(|error| error.to_string());
        match text.and_then(|text| read(&text).map(|value| (value, sha256(text.as_bytes())))) {
            Ok((value, sha256)) => Some(Named {
                path,
                sha256,
                value,
            }),
            Err(why) => {
                let what = format!("`{key}` in {} cannot be used: {why}", section.title);
                self.problem(place, what, None);
                None
            }
        }
    }
}
