//! `xtask serve-http`: a server that needs a moment to be ready, for the demo.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use crate::Result;

/// How long it is busy with its start.
const START: Duration = Duration::from_secs(1);

/// Prints its URL, and answers 503 at first, then 200, one connection after the other, until it is ended.
pub(crate) fn run() -> Result {
    let started = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        let status = if started.elapsed() < START {
            "503 Service Unavailable"
        } else {
            "200 OK"
        };
        // A client that goes away in the middle is no reason to end.
        let _ = stream.and_then(|stream| answer(stream, status));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, status: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(START))?;
    let head = BufReader::new(&stream).lines();
    head.map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .for_each(drop);
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes())
}
