//! A proxy as companies have it: with `CONNECT`, or SOCKS 5.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Leads to one address, whatever the client asks for. Its threads end with the test.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// How it treats its clients.
#[derive(Clone, Debug)]
struct Rules {
    to: SocketAddr,
    /// The credentials that it requires, as `user:password`.
    user: Option<String>,
}

impl Tunnel {
    /// Starts one that leads to this address. If `user` is given (`user:password`), it is required.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn to(to: SocketAddr, user: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let rules = Rules {
            to,
            user: user.map(str::to_owned),
        };
        let of_thread = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rules, asked) = (rules.clone(), Arc::clone(&of_thread));
                // A client that breaks the rules is disconnected.
                thread::spawn(move || drop(rules.serve(client, &asked)));
            }
        });
        Self { address, asked }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The destinations that clients asked for, as `host:port`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

impl Rules {
    fn serve(&self, mut client: TcpStream, asked: &Mutex<Vec<String>>) -> io::Result<()> {
        let mut first = [0];
        client.peek(&mut first)?;
        let to = match first {
            [5] => self.socks(&mut client)?,
            _ => self.http(&mut client)?,
        };
        let mut all = asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(to);
        drop(all);
        let server = TcpStream::connect(self.to)?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        let (mut from, mut back) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut back);
            back.shutdown(Shutdown::Both)
        });
        let _ = io::copy(&mut &server, &mut client);
        client.shutdown(Shutdown::Both)
    }

    fn http(&self, client: &mut TcpStream) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let wanted = self.user.as_ref().map(|user| {
            let bytes = k8s_openapi::ByteString(user.clone().into_bytes());
            let encoded = serde_json::to_value(bytes).expect("bytes can be encoded");
            format!(
                "Proxy-Authorization: Basic {}\r\n",
                encoded.as_str().unwrap_or_default()
            )
        });
        if wanted.is_some_and(|wanted| !head.contains(&wanted)) {
            client.write_all(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            )?;
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        client.write_all(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n")?;
        Ok(head.split(' ').nth(1).unwrap_or_default().to_owned())
    }

    fn socks(&self, client: &mut TcpStream) -> io::Result<String> {
        let [_, methods] = read(client)?;
        let mut offered = vec![0; methods.into()];
        client.read_exact(&mut offered)?;
        match &self.user {
            None => client.write_all(&[5, 0])?,
            Some(_) if !offered.contains(&2) => {
                client.write_all(&[5, 0xff])?;
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Some(user) => {
                client.write_all(&[5, 2])?;
                let _version: [u8; 1] = read(client)?;
                let given = format!("{}:{}", word(client)?, word(client)?);
                client.write_all(&[1, u8::from(given != *user)])?;
            }
        }
        let [_, _, _, kind] = read(client)?;
        let host = match kind {
            1 => std::net::Ipv4Addr::from(read::<4>(client)?).to_string(),
            4 => std::net::Ipv6Addr::from(read::<16>(client)?).to_string(),
            _ => word(client)?,
        };
        let port = u16::from_be_bytes(read(client)?);
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        Ok(format!("{host}:{port}"))
    }
}

fn read<const N: usize>(from: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn word(from: &mut TcpStream) -> io::Result<String> {
    let [length] = read(from)?;
    let mut bytes = vec![0; length.into()];
    from.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
