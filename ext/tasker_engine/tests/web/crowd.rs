//! Clients that mean no good: they say nothing, say it slowly, say too much, or speak another protocol.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tasker_engine::config::{Token, WebConfig};

use crate::harness::PATIENCE;
use crate::scrape::get;
use crate::{anywhere, served, story};

/// Connects and sends this.
fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What is answered until the server closes the connection; fails when it does not.
fn hear(mut stream: &TcpStream) -> Vec<u8> {
    let (mut said, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return said,
            Err(error) => panic!("still open: {error}"),
        }
    }
}

/// The status line of what is answered.
fn status(stream: &TcpStream) -> String {
    let said = hear(stream);
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_crowd_that_says_nothing_takes_few_descriptors_and_keeps_nobody_out() {
    // Alone: the descriptors of the whole process are counted.
    let name = "crowd::a_crowd_that_says_nothing_takes_few_descriptors_and_keeps_nobody_out";
    story::alone(name, &[], || {
        let (_runtime, _engine, address, _folder) = served(&anywhere());
        let before = descriptors();
        let halves = ["", "GET /health", "GET /metrics HTTP/1.1\r\nHost: x\r\n"];
        let crowd: Vec<_> = (0..400).map(|n| say(address, halves[n % 3])).collect();
        let asked = Instant::now();
        assert_eq!(get(address, "/health/live", None).0, 200);
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        let taken = descriptors() - before - crowd.len();
        assert!(taken <= 65, "{taken} descriptors for a crowd of {}", crowd.len());
        // Nor do they keep out who comes back.
        assert_eq!(get(address, "/health/live", None).0, 200);
    });
}

#[test]
fn who_does_not_end_a_request_and_who_sends_no_other_is_hung_up_on() {
    let (_runtime, _engine, address, _folder) = served(&anywhere());
    let idle = say(address, "GET /health/live HTTP/1.1\r\nHost: worker\r\n\r\n");
    let half = say(address, "GET /health/live HTTP/1.1\r\nHost: worker\r\n");
    let silent = say(address, "");
    let began = Instant::now();
    assert!(status(&idle).ends_with("200 OK"));
    assert!(!status(&half).contains("200"));
    assert_eq!(status(&silent), "");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[test]
fn only_http_1_is_spoken() {
    let (_runtime, _engine, address, _folder) = served(&anywhere());
    let preface = say(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let said = hear(&preface);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&said));
    let upgrade = "GET /health/live HTTP/1.1\r\nHost: worker\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    assert!(status(&say(address, upgrade)).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_is_too_large_is_refused_and_the_token_asked_for_first() {
    let (_runtime, _engine, address, _folder) = served(&anywhere());
    let bodies = ["Content-Length: 1000000000", "Transfer-Encoding: chunked"];
    for body in bodies {
        let asked = say(address, &format!("GET /metrics HTTP/1.1\r\nHost: worker\r\n{body}\r\n\r\n"));
        assert_eq!(status(&asked), "HTTP/1.1 413 Payload Too Large", "{body}");
    }
    let asked = format!("GET /health/live HTTP/1.1\r\nHost: worker\r\nCookie: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = TcpStream::connect(address).unwrap();
    // It may have hung up before all of it was sent.
    let _ = stream.write_all(asked.as_bytes());
    assert!(!status(&stream).contains("200"));

    let web = WebConfig { token: Some(Token("s3cret".into())), ..anywhere() };
    let (_runtime, _engine, address, _folder) = served(&web);
    let asked = say(address, "POST /metrics HTTP/1.1\r\nHost: worker\r\nContent-Length: 1000000000\r\n\r\n");
    assert_eq!(status(&asked), "HTTP/1.1 401 Unauthorized");
}
