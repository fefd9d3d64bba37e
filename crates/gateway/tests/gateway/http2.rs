//! HTTP/2 by prior knowledge, on the same port.

use crate::rig::*;
use bytes::Bytes;
use event::Role;
use http_body_util::{BodyExt as _, Full};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_is_served() {
    let mut raw = chunked_head("text/event-stream");
    for n in 0..3 {
        raw.extend(chunk(format!("data: {n}\n\n").as_bytes()));
    }
    raw.extend_from_slice(b"0\r\n\r\n");
    let upstream = Upstream::answering(raw).await;
    let rig = Rig::new(upstream.addr).await;
    let mut sender = rig.http2().await;
    let sent = vec![b'x'; 200_000];
    let mut answers = Vec::new();
    for _ in 0..4 {
        let request = http::Request::post(format!("http://{}/agent/two/raw/h2?x=1", rig.addr))
            .header("x-api-key", "sk-two")
            .body(Full::new(Bytes::from(sent.clone())))
            .unwrap();
        answers.push(tokio::spawn(sender.send_request(request)));
    }
    for answer in answers {
        let answer = within(answer).await.unwrap().unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        let body = within(answer.into_body().collect())
            .await
            .unwrap()
            .to_bytes();
        assert_eq!(body, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    }
    for (request, end) in rig.closed(4).await {
        assert_eq!(
            request.http.as_ref().unwrap().version.as_deref(),
            Some("HTTP/2.0")
        );
        assert_eq!(rig.body(&request, Role::Request), sent);
        assert_eq!(
            rig.body(&end, Role::Response),
            b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        );
    }
    let head = upstream.seen()[0].head.clone();
    assert!(head.starts_with("POST /base/h2?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_ascii_lowercase()
            .contains(&format!("host: {}\r\n", upstream.addr)),
        "{head}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_ends_its_call() {
    let upstream =
        Upstream::scripted(|_, mut stream| async move { drop(to_end(&mut stream).await) }).await;
    let rig = Rig::new(upstream.addr).await;
    let mut sender = rig.http2().await;
    let request = http::Request::post(format!("http://{}/raw/h2", rig.addr))
        .body(Full::new(Bytes::from("{}")))
        .unwrap();
    let call = tokio::spawn(sender.send_request(request));
    until_seen(&upstream, 1).await;
    call.abort();
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.unwrap().state, event::State::ClientAborted);
}
