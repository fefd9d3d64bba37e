use super::*;
use proptest::prelude::*;

/// `name|data|id|retry` of every event, for the bytes cut at `cuts`.
fn events(bytes: &[u8], cuts: &[usize], limit: usize) -> Vec<String> {
    let mut reader = Reader::new(limit);
    let mut events = Vec::new();
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut from = 0;
    for to in cuts.into_iter().chain([bytes.len()]) {
        reader.feed(&bytes[from..to], &mut |event| {
            let retry = event.retry_ms.map(|ms| ms.to_string()).unwrap_or_default();
            events.push(format!(
                "{}|{}|{}|{retry}",
                event.name, event.data, event.last_event_id
            ));
        });
        from = to;
    }
    events
}

fn whole(text: &str) -> Vec<String> {
    events(text.as_bytes(), &[], DOCUMENT_BYTES)
}

#[test]
fn the_rules_of_the_standard_hold() {
    let table: &[(&str, &[&str])] = &[
        ("data: a\n\n", &["message|a||"]),
        ("data:a\r\rdata: b\r\n\r\n", &["message|a||", "message|b||"]),
        (
            "data: YHOO\ndata: +2\ndata: 10\n\n",
            &["message|YHOO\n+2\n10||"],
        ),
        (
            ": comment\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
            &["message|first|1|", "message|second||", "message| third||"],
        ),
        (
            "data\n\ndata\ndata\n\ndata:",
            &["message|||", "message|\n||"],
        ),
        (
            "event: ping\ndata: {}\n\ndata: x\n\n",
            &["ping|{}||", "message|x||"],
        ),
        ("event: nothing\n\ndata: x\n\n", &["message|x||"]),
        ("id: a\0b\ndata: x\n\n", &["message|x||"]),
        (
            "id: 7\ndata: x\n\ndata: y\n\n",
            &["message|x|7|", "message|y|7|"],
        ),
        (
            "retry: 2500\ndata: x\n\nretry: 1x\ndata: y\n\n",
            &["message|x||2500", "message|y||"],
        ),
        ("\u{feff}data: x\n\n", &["message|x||"]),
        ("\u{feff}\u{feff}data: x\n\n", &[]),
        ("data: unfinished", &[]),
        ("data: unfinished\n", &[]),
        ("unknown: x\nDATA: y\n\n", &[]),
        ("data: a:b: c\n\n", &["message|a:b: c||"]),
    ];
    for (text, want) in table {
        assert_eq!(&whole(text), want, "{text:?}");
    }
}

#[test]
fn invalid_utf8_is_replaced_not_lost() {
    assert_eq!(
        events(b"data: a\xffb\n\n", &[], 100),
        ["message|a\u{fffd}b||"]
    );
}

#[test]
fn an_event_over_the_limit_is_counted_and_the_next_one_is_read() {
    let long = "x".repeat(200);
    let shapes = [
        format!("data: {long}\n\n"),
        format!("data: short\ndata: {long}\nid: 9\n\n"),
        format!("{}\n", "data: 0123456789\n".repeat(20)),
        format!(": {long}\ndata: x\n\n"),
        format!("event: {long}\ndata: x\n\n"),
    ];
    for shape in shapes {
        let text = format!("data: a\n\n{shape}data: b\n\n");
        for size in [1, 7, 1000] {
            let mut reader = Reader::new(100);
            let mut seen = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                reader.feed(chunk, &mut |event| seen.push(event.data.into_owned()));
                assert!(reader.line.len() <= 100 && reader.data.len() <= 100);
            }
            assert_eq!(seen, ["a", "b"], "{size} {shape}");
            assert_eq!(reader.skipped(), 1, "{size} {shape}");
        }
    }
}

#[test]
fn a_stream_that_stops_inside_an_event_says_so() {
    for (text, inside) in [
        ("", false),
        ("data: a\n\n", false),
        ("data: a\n\n: hi\n", false),
        ("data: a\n", true),
        ("da", true),
    ] {
        let mut reader = Reader::default();
        reader.feed(text.as_bytes(), &mut |_| {});
        assert_eq!(reader.in_event(), inside, "{text:?}");
    }
}

/// Streams made of what matters to the parser, with lines longer than a small limit among them.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"\n"[..]), 2 => Just(&b"\r"[..]), 3 => Just(&b"\r\n"[..]),
        4 => Just(&b"data: "[..]), 1 => Just(&b"data"[..]), 1 => Just(&b"event:"[..]), 1 => Just(&b"id: "[..]),
        1 => Just(&b"retry:12"[..]), 2 => Just(&b":"[..]), 2 => Just(&b" "[..]), 3 => Just(&b"{\"a\":1}"[..]),
        1 => Just(&b"\xEF\xBB\xBF"[..]), 1 => Just(&b"\xEF"[..]), 1 => Just(&b"\0"[..]), 1 => Just("é😀".as_bytes()),
        1 => Just(&b"0123456789012345678901234567890123456789"[..]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_chunking_gives_the_same_events(stream in any_stream(), cuts in prop::collection::vec(0..4000usize, 0..12), limit in 20..200usize) {
        let whole = events(&stream, &[], limit);
        prop_assert_eq!(&events(&stream, &cuts, limit), &whole);
        let every: Vec<_> = (0..stream.len()).collect();
        prop_assert_eq!(&events(&stream, &every, limit), &whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), limit in 0..50usize) {
        events(&bytes, &[], limit);
    }
}
