//! The wire is sacred: what arrives is what was sent, in both directions, and what is stored is what passed.

use crate::rig::*;
use event::Role;
use tokio::io::AsyncWriteExt as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_pass_byte_for_byte_and_are_stored_so() {
    for len in [0, 1, 100, 70_000, 3_000_000] {
        let (sent, back) = (noise(len), noise(len + 7));
        let upstream = Upstream::answering(ok("application/octet-stream", &back)).await;
        let rig = Rig::new(upstream.addr).await;
        let answer = rig.exchange(&post("/raw/a", &sent)).await;
        let (_, body, whole) = parted(&answer);
        assert!(whole && body == back, "{len}");
        assert_eq!(upstream.seen()[0].body, sent, "{len}");
        let (request, end) = rig.one().await;
        assert_eq!(rig.body(&request, Role::Request), sent, "{len}");
        assert_eq!(rig.body(&end, Role::Response), back, "{len}");
        assert_eq!(end.outcome.unwrap().state, event::State::Completed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_passes_with_order_case_and_duplicates() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 Very Fine\r\nZeta: 1\r\nrequest-ID: req_1\r\nX-Dup: a\r\nX-Dup: b\r\nconnection: close\r\nContent-Length: 2\r\nAlpha: 2\r\n\r\nok",
    )
    .await;
    let rig = Rig::new(upstream.addr).await;
    let answer = rig
        .exchange(
            b"POST /agent/mailer/raw/p%20q/%2F?x=%20&y=a+b&&z HTTP/1.1\r\nHost: gateway:1\r\nZ-First: 1\r\nx-tacho-run: my-run\r\nX-API-Key: sk-secret\r\nX-Dup: a\r\nX-Dup: b\r\nConnection: close\r\nAccept-Encoding: gzip, br\r\nContent-Length: 2\r\nLast-One: 2\r\n\r\nhi",
        )
        .await;
    let seen = &upstream.seen()[0];
    let expected = format!(
        "POST /base/p%20q/%2F?x=%20&y=a+b&&z HTTP/1.1\r\nHost: {}\r\nZ-First: 1\r\nX-API-Key: sk-secret\r\nX-Dup: a\r\nX-Dup: b\r\nAccept-Encoding: gzip, br\r\nContent-Length: 2\r\nLast-One: 2\r\n\r\n",
        upstream.addr
    );
    assert_eq!(seen.head, expected);
    let (head, body, _) = parted(&answer);
    assert_eq!(
        head,
        "HTTP/1.1 200 Very Fine\r\nZeta: 1\r\nrequest-ID: req_1\r\nX-Dup: a\r\nX-Dup: b\r\nContent-Length: 2\r\nAlpha: 2\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(body, b"ok");
    let (request, end) = rig.one().await;
    assert_eq!(request.agent.as_ref().unwrap().name, "mailer");
    assert_eq!(request.run.as_ref().unwrap().id, "my-run");
    assert_eq!(
        end.ids.as_ref().unwrap().request_id.as_deref(),
        Some("req_1")
    );
    let recorded = text(&rig.body(&request, Role::RequestHead));
    assert!(
        recorded.starts_with("POST /agent/mailer/raw/p%20q/%2F?x=%20&y=a+b&&z HTTP/1.1\r\n"),
        "{recorded}"
    );
    let answered = text(&rig.body(&end, Role::ResponseHead));
    assert!(
        answered.starts_with("HTTP/1.1 200 Very Fine\r\nzeta: 1\r\n"),
        "{answered}"
    );
    for line in rig.lines() {
        let json = serde_json::to_string(&line.bodies).unwrap();
        assert!(!json.contains("sk-secret"));
    }
    assert!(!recorded.contains("sk-secret"));
    let credential = request.credential.unwrap();
    assert_eq!(credential.carrier, "x-api-key");
    assert_eq!(credential.digest, rig.recorder.digest_secret(b"sk-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_file_of_the_store() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: id=sk-cookie-0123456789\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let rig = Rig::with(upstream.addr, |config| {
        config.secret_names = vec!["x-corp-badge".to_owned()];
    })
    .await;
    rig.exchange(
        b"GET /gemini/v1beta/models?key=sk-query-0123456789&id_token=sk-id-0123456789 HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer sk-bearer-0123456789\r\nCookie: c=sk-jar-0123456789\r\nOcp-Apim-Subscription-Key: sk-apim-0123456789\r\napikey: sk-plain-0123456789\r\nX-Corp-Badge: sk-badge-0123456789\r\nConnection: close\r\n\r\n",
    )
    .await;
    let seen = upstream.seen()[0].head.clone();
    assert!(
        seen.contains("key=sk-query-0123456789") && seen.contains("Bearer sk-bearer-0123456789"),
        "{seen}"
    );
    let (request, _) = rig.one().await;
    assert!(
        request
            .http
            .as_ref()
            .unwrap()
            .path
            .as_ref()
            .unwrap()
            .starts_with("/v1beta/models?key=")
    );
    let dir = rig.dir.path().to_owned();
    rig.recorder.clone().close().await.unwrap();
    for secret in [
        "sk-query-0123456789",
        "sk-id-0123456789",
        "sk-apim-0123456789",
        "sk-plain-0123456789",
        "sk-badge-0123456789",
        "sk-bearer-0123456789",
        "sk-jar-0123456789",
        "sk-cookie-0123456789",
    ] {
        let mut folders = vec![dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() {
                    let bytes = std::fs::read(&path).unwrap();
                    assert!(
                        find(&bytes, secret.as_bytes()).is_none(),
                        "{} in {}",
                        secret,
                        path.display()
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_request_passes_whole() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let rig = Rig::new(upstream.addr).await;
    let mut request = b"POST /raw/c HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for part in [&b"one "[..], b"two ", b"three"] {
        request.extend(chunk(part));
    }
    request.extend_from_slice(b"0\r\n\r\n");
    rig.exchange(&request).await;
    let (request, _) = rig.one().await;
    assert_eq!(rig.body(&request, Role::Request), b"one two three");
    assert!(find(&upstream.seen()[0].body, b"one two three").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_coded_for_transfer_keeps_its_label() {
    let coded = noise(500);
    for label in ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked"] {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {label}\r\n\r\n").into_bytes();
        answer.extend(chunk(&coded));
        answer.extend_from_slice(b"0\r\n\r\n");
        let upstream = Upstream::answering(answer).await;
        let rig = Rig::new(upstream.addr).await;
        let mut request = format!(
            "POST /raw/c HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: {label}\r\nConnection: close\r\n\r\n"
        )
        .into_bytes();
        request.extend(chunk(&coded));
        request.extend_from_slice(b"0\r\n\r\n");
        let answer = rig.exchange(&request).await;
        let (head, body, whole) = parted(&answer);
        assert!(whole && body == coded, "{head}");
        let seen = &upstream.seen()[0];
        assert!(find(&seen.body, &coded).is_some());
        for head in [seen.head.as_str(), head.as_str()] {
            assert_eq!(transfer_codings(head), ["gzip", "chunked"], "{head}");
        }
    }
}

/// What the lines `Transfer-Encoding` of a head say together.
fn transfer_codings(head: &str) -> Vec<String> {
    let lower = head.to_ascii_lowercase();
    let lines = lower.lines();
    let values = lines.filter_map(|line| line.strip_prefix("transfer-encoding:"));
    let codings = values.flat_map(|value| value.split(','));
    codings.map(|coding| coding.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_for_a_proxy_goes_no_further() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let rig = Rig::new(upstream.addr).await;
    rig.exchange(b"GET /raw/p HTTP/1.1\r\nHost: g\r\nProxy-Authorization: Basic dTpw\r\nConnection: close\r\n\r\n")
        .await;
    let head = upstream.seen()[0].head.to_ascii_lowercase();
    assert!(!head.contains("proxy-authorization"), "{head}");
    let (request, _) = rig.one().await;
    let recorded = text(&rig.body(&request, Role::RequestHead));
    assert!(
        recorded.contains("proxy-authorization: Basic "),
        "{recorded}"
    );
    assert!(!recorded.contains("dTpw"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_is_served() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let rig = Rig::new(upstream.addr).await;
    let mut stream = rig.connect().await;
    stream
        .write_all(b"POST /raw/e HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"HTTP/1.1 100").await;
    stream.write_all(b"body").await.unwrap();
    until(&mut stream, &mut got, b"HTTP/1.1 200").await;
    assert_eq!(upstream.seen()[0].body, b"body");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_have_none() {
    for (method, answer, expected) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            "content-length: 1234",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", "x-a: 1"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
            "etag: \"x\"",
        ),
    ] {
        let upstream = Upstream::answering(answer).await;
        let rig = Rig::new(upstream.addr).await;
        let request = format!("{method} /raw/n HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
        let answer = rig.exchange(request.as_bytes()).await;
        let head = text(&answer);
        assert!(
            head.ends_with("\r\n\r\n") && head.to_ascii_lowercase().contains(expected),
            "{head}"
        );
        assert!(
            !head.to_ascii_lowercase().contains("transfer-encoding"),
            "{head}"
        );
        let (_, end) = rig.one().await;
        assert_eq!(
            end.outcome.unwrap().state,
            event::State::Completed,
            "{head}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_many_calls() {
    let upstream = Upstream::scripted(|_, mut stream| async move {
        loop {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")
                .await
                .ok();
            let mut buffer = [0; 4096];
            match tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut stream = rig.connect().await;
    for _ in 0..20 {
        stream
            .write_all(b"GET /raw/k HTTP/1.1\r\nHost: g\r\n\r\n")
            .await
            .unwrap();
        let mut got = Vec::new();
        until(&mut stream, &mut got, b"again").await;
    }
    // One upstream connection carried them all.
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(rig.closed(20).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_and_are_recorded() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n",
    )
    .await;
    let rig = Rig::new(upstream.addr).await;
    let answer = rig
        .exchange(b"GET /raw/t HTTP/1.1\r\nHost: g\r\nTE: trailers\r\nConnection: close\r\n\r\n")
        .await;
    assert!(text(&answer).contains("x-sum: 6"), "{}", text(&answer));
    let (_, end) = rig.one().await;
    assert_eq!(rig.body(&end, Role::Trailers), b"x-sum: 6\r\n");
}

/// Announced or not: what came behind the body goes on behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requests_trailers_reach_the_upstream() {
    for announced in ["", "Trailer: X-Sum\r\n", "Trailer: x-other\r\n"] {
        let (tell, told) = tokio::sync::oneshot::channel();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            until(&mut stream, &mut got, b"x-sum: 6\r\n\r\n").await;
            stream.write_all(&ok("text/plain", b"ok")).await.unwrap();
            tell.send(got).unwrap();
        });
        let rig = Rig::new(upstream).await;
        let request = format!(
            "POST /raw/t HTTP/1.1\r\nHost: g\r\n{announced}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n"
        );
        let answer = within(rig.exchange(request.as_bytes())).await;
        assert!(text(&answer).ends_with("ok"), "{}", text(&answer));
        let got = text(&told.await.unwrap());
        assert!(got.contains("abc"), "{got}");
        let (asked, _) = rig.one().await;
        assert_eq!(rig.body(&asked, Role::Trailers), b"x-sum: 6\r\n");
    }
}
