//! Good and bad servers for the health checks.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Output,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
};

use crate::support::sipid;

/// Calls the closure with each connection and its number, in threads that end with the test binary.
pub(crate) fn serve(
    listener: TcpListener,
    answer: impl Fn(TcpStream, usize) + Send + Sync + 'static,
) -> String {
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream, number));
        }
    });
    address.to_string()
}

pub(crate) fn local() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Reads one request; false at the end. Clients here send the next request only after the answer.
pub(crate) fn request(stream: &mut impl Read) -> bool {
    let mut all = Vec::new();
    let mut some = [0; 1024];
    while !all.ends_with(b"\r\n\r\n") {
        match stream.read(&mut some) {
            Ok(count @ 1..) => all.extend_from_slice(&some[..count]),
            _ => return false,
        }
    }
    true
}

pub(crate) fn wait(url: &str, more: &[&str]) -> Output {
    let mut args = vec!["wait-until-healthy", "--url", url];
    args.extend(more);
    sipid(&args)
}

/// Accepts connections and never answers. The channel reports each connection.
pub(crate) fn hanging() -> (String, Receiver<()>) {
    let (sender, come) = mpsc::channel();
    let address = serve(local(), move |mut stream, _| {
        let _ = sender.send(());
        while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
    });
    (address, come)
}

/// Answers every request with this status line and these headers.
pub(crate) fn answering(answer: impl Into<String>) -> String {
    let answer = format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", answer.into());
    serve(local(), move |mut stream, _| {
        while request(&mut stream) {
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

/// Answers every request as [`answering`] does, and also sends each request's head to the channel.
pub(crate) fn recording(answer: impl Into<String>) -> (String, Receiver<String>) {
    let answer = format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", answer.into());
    let (sender, heads) = mpsc::channel();
    let address = serve(local(), move |mut stream, _| {
        loop {
            let head = head(&mut stream);
            if head.is_empty() {
                return;
            }
            let _ = stream.write_all(answer.as_bytes());
            let _ = sender.send(head);
        }
    });
    (address, heads)
}

/// The request's head up to the empty line; empty at the end of the stream.
pub(crate) fn head(stream: &mut impl Read) -> String {
    let mut all = String::new();
    let mut byte = [0];
    while !all.ends_with("\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return String::new();
        }
        all.push(byte[0].into());
    }
    all
}

const QUICK: [&str; 4] = ["--timeout", "1500ms", "--polling-frequency", "1s"];

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for these targets, for a short time.
pub(crate) fn quickly(args: &[&str]) -> Output {
    sipid(&[&["wait-until-healthy"][..], &QUICK, args].concat())
}

/// Waits for these targets, for as long as it takes.
pub(crate) fn patiently(args: &[&str]) -> Output {
    let options = [
        "wait-until-healthy",
        "--timeout",
        "2m",
        "--polling-frequency",
        "1s",
    ];
    sipid(&[&options[..], args].concat())
}
