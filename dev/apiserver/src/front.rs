//! A TCP server in front of the API server. It counts connections, and makes them fail.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{Namespace, cluster};

/// Passes bytes on, with or without TLS. Its threads end with the test.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    accepted: AtomicUsize,
    pipes: Mutex<Vec<Arc<Pipe>>>,
}

/// One connection, in both directions.
#[derive(Debug)]
struct Pipe {
    client: TcpStream,
    server: TcpStream,
    stalled: AtomicBool,
    closed: AtomicBool,
}

impl Front {
    /// Starts one on loopback that leads to the API server.
    ///
    /// # Panics
    /// When there is no API server, or it cannot listen.
    #[must_use]
    pub fn before(namespace: &Namespace) -> Self {
        let url = cluster::url(namespace.directory()).expect("there is a cluster");
        let address = url.trim_start_matches("https://").parse();
        Self::to(address.expect("its address is an IP address and a port"))
    }

    /// Starts one on loopback that leads to this address.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), address)
    }

    /// The same, on an address that the caller chooses.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn on(listen: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(listen).expect("a port on loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            to,
            accepted: AtomicUsize::new(0),
            pipes: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                of_thread.accepted.fetch_add(1, Ordering::SeqCst);
                // A client is disconnected if the server cannot be reached.
                let _ = of_thread.pass_on(client);
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.pipes().len()
    }

    /// Closes all open connections.
    pub fn cut(&self) {
        for pipe in self.shared.pipes().iter() {
            pipe.close();
        }
    }

    /// Passes nothing on any more through the open connections, as if a cable had been cut.
    pub fn stall(&self) {
        for pipe in self.shared.pipes().iter() {
            pipe.stalled.store(true, Ordering::SeqCst);
        }
    }

    /// Writes a copy of this kubeconfig with this server's own address. Returns its path.
    ///
    /// # Panics
    /// When it cannot be read or written.
    #[must_use]
    pub fn kubeconfig(&self, of: &Path) -> PathBuf {
        let text = fs::read_to_string(of).expect("there is a kubeconfig");
        let mut config: Value = serde_json::from_str(&text).expect("it was written as JSON");
        config["clusters"][0]["cluster"]["server"] = format!("https://{}", self.address).into();
        let path = of.with_extension(format!("front-{}", self.address.port()));
        fs::write(&path, config.to_string()).expect("a kubeconfig can be written");
        path
    }
}

impl Shared {
    fn pipes(&self) -> MutexGuard<'_, Vec<Arc<Pipe>>> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.retain(|pipe| !pipe.closed.load(Ordering::SeqCst));
        pipes
    }

    fn pass_on(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.to)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let pipe = Arc::new(Pipe {
            client,
            server,
            stalled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        self.pipes().push(Arc::clone(&pipe));
        for back in [false, true] {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || {
                let _ = pipe.copy(back);
                if !pipe.stalled.load(Ordering::SeqCst) {
                    pipe.close();
                }
            });
        }
        Ok(())
    }
}

impl Pipe {
    fn copy(&self, back: bool) -> io::Result<()> {
        let (mut from, mut to) = match back {
            true => (&self.server, &self.client),
            false => (&self.client, &self.server),
        };
        let mut bytes = [0; 8 << 10];
        loop {
            let length = from.read(&mut bytes)?;
            if length == 0 {
                return Ok(());
            }
            while self.stalled.load(Ordering::SeqCst) {
                if self.closed.load(Ordering::SeqCst) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(20));
            }
            to.write_all(&bytes[..length])?;
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.cut();
    }
}
