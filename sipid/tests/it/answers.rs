//! Which answers count as healthy.

use std::io::Write;

use crate::server::{answering, head, local, patiently, quickly, request, said, serve};

#[test]
fn statuses_are_a_list() {
    let url = |status: &str| format!("http://{}/", answering(status));
    for status in ["200 OK", "204 Fine", "429 Slow", "302 Found", "399 Odd"] {
        let list = ["--expect-status", "200,204, 429,300-399"];
        let output = patiently(&[&["--url", &url(status)][..], &list].concat());
        assert!(output.status.success(), "{status}: {output:?}");
    }
    let output = quickly(&[
        "--url",
        &url("202 Taken"),
        "--expect-status",
        "200,204,429,300-399",
    ]);
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    for bad in ["200,", "", "300-200", "20", "600", "200;204"] {
        let output = quickly(&["--url", "http://h/", "--expect-status", bad]);
        assert_eq!(output.status.code(), Some(64), "{bad:?} {output:?}");
    }
}

#[test]
fn bodies_must_contain_or_match() {
    let serving = |answer: &'static str| {
        serve(local(), move |mut stream, _| {
            while request(&mut stream) {
                let _ = stream.write_all(answer.as_bytes());
                if !answer.contains("Length") && !answer.contains("chunked") {
                    return;
                }
            }
        })
    };
    let body = "{\"status\": \"up\"}";
    let whole = serving("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"status\": \"up\"}");
    let chunked = serving(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         8;x=y\r\n{\"status\r\n8\r\n\": \"up\"}\r\n0\r\nTrailer: x\r\n\r\n",
    );
    let closed = serving("HTTP/1.0 200 OK\n\n{\"status\": \"up\"}");
    for address in [whole, chunked, closed] {
        let url = format!("http://{address}/");
        let is_healthy =
            |option: &str, value: &str| patiently(&["--url", &url, option, value]).status.success();
        assert!(is_healthy("--expect-body", body));
        assert!(is_healthy("--expect-body", "s\": \"u"));
        assert!(is_healthy(
            "--expect-body-regex",
            r#""status":\s*"(up|ok)""#
        ));
        for (option, value) in [("--expect-body", "down"), ("--expect-body-regex", "^up")] {
            let output = quickly(&["--url", &url, option, value]);
            assert_eq!(output.status.code(), Some(110), "{output:?}");
            assert!(said(&output).contains("the body does not"), "{output:?}");
        }
    }
    let output = quickly(&["--url", "http://h/", "--expect-body-regex", "("]);
    assert_eq!(output.status.code(), Some(22), "{output:?}");
}

#[test]
fn answers_that_curl_takes_are_taken() {
    let many: String = (0..700)
        .map(|n| format!("X-Header-{n}: {}\r\n", "x".repeat(100)))
        .collect();
    let answers = [
        format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nA Name: x\r\nno colon\r\nX : y\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\n\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
            .to_owned(),
    ];
    for answer in answers {
        let start: String = answer.chars().take(60).collect();
        let server = serve(local(), move |mut stream, _| {
            head(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
        });
        let output = patiently(&["--url", &format!("http://{server}/")]);
        assert!(output.status.success(), "{start:?}: {output:?}");
    }
    let endless = serve(local(), |mut stream, _| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let output = quickly(&["--url", &format!("http://{endless}/")]);
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(said(&output).contains("300 kB of headers"), "{output:?}");
}
