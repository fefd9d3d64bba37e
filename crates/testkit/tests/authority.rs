//! The time-stamping authority answers as one, and misbehaves as told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;
use testkit::authority::{Authority, AuthorityServer, EC, Fault, Style};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A query for 32 bytes of 7 with a nonce of 0x0102030405060708.
const QUERY: &str = "30430201013031300d0609608648016503040201050004200707070707070707070707070707070707070707070707070707070707070707020801020304050607080101ff";

/// Status and body of one POST; `None` when the connection broke before a head.
async fn post(server: &AuthorityServer, query: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(server.upstream().address())
        .await
        .unwrap();
    let head = format!(
        "POST /tsa HTTP/1.1\r\nhost: tsa\r\ncontent-type: application/timestamp-query\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        query.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(query).await.unwrap();
    let mut answer = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        answer.extend_from_slice(chunk.get(..read)?);
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(answer.get(..at)?).to_lowercase();
            let length: usize = head
                .split_once("content-length: ")?
                .1
                .lines()
                .next()?
                .parse()
                .ok()?;
            if answer.len() == at + 4 + length {
                break;
            }
        }
    }
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.get(at + 4..)?.to_vec()))
}

fn verifies(authority: &Authority, reply: &[u8], query: &[u8]) -> bool {
    std::fs::write(authority.dir().join("r.tsr"), reply).unwrap();
    std::fs::write(authority.dir().join("q.tsq"), query).unwrap();
    authority
        .openssl(&[
            "ts",
            "-verify",
            "-in",
            "r.tsr",
            "-queryfile",
            "q.tsq",
            "-CAfile",
            "root.pem",
        ])
        .is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stamps_and_misbehaves() {
    let authority = Arc::new(Authority::new().unwrap());
    let server = AuthorityServer::start(authority.clone(), EC).await.unwrap();
    let query = hex::decode(QUERY).unwrap();
    let good = |reply: &[u8]| verifies(&authority, reply, &query);

    let (status, first) = post(&server, &query).await.unwrap();
    assert!(status == 200 && good(&first));
    assert_eq!(server.upstream().ledger().entries().len(), 1);

    for fault in [
        Fault::WrongNonce,
        Fault::WrongImprint,
        Fault::Rejection,
        Fault::Garbage,
    ] {
        server.set_fault(fault);
        let (status, reply) = post(&server, &query).await.unwrap();
        assert!(status == 200 && !good(&reply), "{fault:?}");
    }
    server.set_fault(Fault::Replay);
    assert_eq!(post(&server, &query).await.unwrap(), (200, first.clone()));
    server.set_fault(Fault::ServerError);
    assert_eq!(post(&server, &query).await.unwrap().0, 500);
    server.set_fault(Fault::Cut);
    let (_, cut) = post(&server, &query).await.unwrap();
    assert!(cut.len() < first.len());
    server.set_fault(Fault::Reset);
    assert_eq!(post(&server, &query).await, None);
    server.set_fault(Fault::Silent);
    let silent = tokio::time::timeout(Duration::from_millis(50), post(&server, &query)).await;
    assert!(silent.is_err());
    server.set_fault(Fault::Slow(Duration::from_millis(20)));
    let (status, slow) = post(&server, &query).await.unwrap();
    assert!(status == 200 && good(&slow));
    server.set_fault(Fault::Endless);
    let (_, endless) = post(&server, &query).await.unwrap();
    assert!(endless.len() > 1024 * 1024);

    // A query that is none is answered by the authority, not by HTTP.
    let refusal = authority.reply(EC, Style::Plain, b"no query").unwrap();
    assert!(!good(&refusal));
}
