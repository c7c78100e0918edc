//! Connects to the API server through a proxy.

use std::{io, net::IpAddr};

use k8s_openapi::ByteString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Stream, proxy::Proxy};

/// Longer than any proxy's answer.
const LONGEST_ANSWER: usize = 16 << 10;

/// Asks an HTTP proxy for a connection (`CONNECT`, RFC 9110 section 9.3.6).
pub(super) async fn connect(
    stream: &mut (impl Stream + ?Sized),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<()> {
    let to = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let authorization = match &proxy.user {
        Some((user, password)) => format!("Proxy-Authorization: {}\r\n", basic(user, password)),
        None => String::new(),
    };
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let head = head(stream).await?;
    match head.split(' ').nth(1) {
        Some(code) if code.starts_with('2') => Ok(()),
        Some("407") => Err(refused(
            "it wants a user and a password (407): put them into its URL, http://USER:PASSWORD@HOST:PORT",
        )),
        Some(code) => Err(refused(format!("it answered {code} when asked for {to}"))),
        None => Err(refused("it does not speak HTTP")),
    }
}

/// The header's value for a user and a password (RFC 7617).
pub(crate) fn basic(user: &str, password: &str) -> String {
    let bytes = ByteString(format!("{user}:{password}").into_bytes());
    // In the Kubernetes API, bytes are base64 in JSON, so its type encodes them.
    let encoded = serde_json::to_value(bytes).unwrap_or_default();
    format!("Basic {}", encoded.as_str().unwrap_or_default())
}

/// Reads the head of the answer byte by byte: everything after it comes from the server.
async fn head(stream: &mut (impl Stream + ?Sized)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_ANSWER {
            return Err(refused("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Asks a SOCKS proxy for a connection (RFC 1928).
pub(super) async fn socks5(
    stream: &mut (impl Stream + ?Sized),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<()> {
    greet(stream, proxy).await?;
    let address = match host.parse() {
        Ok(IpAddr::V4(address)) => [&[1], &address.octets()[..]].concat(),
        Ok(IpAddr::V6(address)) => [&[4], &address.octets()[..]].concat(),
        Err(_) => [&[3], &*counted(host)?].concat(),
    };
    let request = [&[5, 1, 0], &*address, &port.to_be_bytes()].concat();
    stream.write_all(&request).await?;
    let [_, reply, _, kind] = read::<4>(stream).await?;
    if reply != 0 {
        let why = format!("it cannot connect to {host}: {}", reason(reply));
        return Err(refused(why));
    }
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => stream.read_u8().await?.into(),
    };
    let mut bound = vec![0; length + 2];
    stream.read_exact(&mut bound).await.map(drop)
}

/// Agrees on authentication: none, or a user with a password (RFC 1929).
async fn greet(stream: &mut (impl Stream + ?Sized), proxy: &Proxy) -> io::Result<()> {
    const NONE: u8 = 0;
    const PASSWORD: u8 = 2;
    let methods: &[u8] = match proxy.user {
        Some(_) => &[5, 2, NONE, PASSWORD],
        None => &[5, 1, NONE],
    };
    stream.write_all(methods).await?;
    match (read::<2>(stream).await?, &proxy.user) {
        ([5, NONE], _) => Ok(()),
        ([5, PASSWORD], Some((user, password))) => {
            let words = [&[1], &*counted(user)?, &*counted(password)?].concat();
            stream.write_all(&words).await?;
            match read::<2>(stream).await? {
                [_, 0] => Ok(()),
                _ => Err(refused("it does not accept the user and the password")),
            }
        }
        ([5, _], _) => Err(refused(
            "it wants a user and a password: put them into its URL, socks5://USER:PASSWORD@HOST:PORT",
        )),
        _ => Err(refused("it does not speak SOCKS 5")),
    }
}

async fn read<const N: usize>(stream: &mut (impl Stream + ?Sized)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The text preceded by its length.
fn counted(text: &str) -> io::Result<Vec<u8>> {
    let length =
        u8::try_from(text.len()).map_err(|_| refused("a name of 255 bytes is its longest"))?;
    Ok([&[length], text.as_bytes()].concat())
}

/// The reasons of RFC 1928 section 6.
fn reason(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the connection was refused",
        6 => "the time to live expired",
        7 => "it does not know the command",
        8 => "it does not know the kind of address",
        _ => "it failed",
    }
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::other(why.into())
}
