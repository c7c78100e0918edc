//! Slow name servers, silent addresses and full backlogs, in the tests' own network namespaces.

use std::{
    env, fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept, bind, connect, listen, socket,
    },
};

use crate::server::{answering, hanging, request, serve, wait};

/// Tells the test that it runs inside the namespace.
const INSIDE: &str = "SIPID_TEST_INSIDE";

/// Runs this test again in a network and mount namespace of its own, and the closure there.
fn in_own_network(test: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        bring_loopback_up();
        return body();
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Does what `ip link set lo up` does, `netdevice(7)`.
fn bring_loopback_up() {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: a request of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap();
    // SAFETY: the kernel reads the request, which is complete.
    let failed = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as libc::Ioctl,
            &raw const request,
        )
    };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

/// Sets the name servers to these addresses, in this order.
fn use_name_servers(addresses: &[&str]) {
    // A bind mount stays when the file's name is removed.
    let dir = tempfile::tempdir().unwrap();
    let lines = addresses
        .iter()
        .map(|address| format!("nameserver {address}\n"));
    let hosts = "hosts: files dns\n";
    for (name, text) in [
        ("resolv.conf", lines.collect::<String>()),
        ("nsswitch.conf", hosts.to_owned()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let status = Command::new("mount")
            .arg("--bind")
            .arg(&path)
            .arg(format!("/etc/{name}"))
            .status();
        assert!(status.unwrap().success());
    }
}

/// A name server that receives questions and never answers.
fn deaf_name_server(address: &str) -> UdpSocket {
    UdpSocket::bind((address, 53)).unwrap()
}

/// A name server that answers every question with these addresses.
fn name_server(address: &str, found: Vec<IpAddr>) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(&dns_answer(&question[..length], &found), from);
        }
    });
}

/// RFC 1035 section 4: the header and the name of the question again, and the addresses of the
/// requested type.
fn dns_answer(question: &[u8], found: &[IpAddr]) -> Vec<u8> {
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let asked = u16::from_be_bytes([question[name_end], question[name_end + 1]]);
    let records = found.iter().filter_map(|address| match (asked, address) {
        (1, IpAddr::V4(address)) => Some(address.octets().to_vec()),
        (28, IpAddr::V6(address)) => Some(address.octets().to_vec()),
        _ => None,
    });
    let records: Vec<Vec<u8>> = records.collect();
    let mut answer = question[..2].to_vec();
    answer.extend([
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&question[12..name_end + 4]);
    for record in records {
        answer.extend([0xc0, 12]);
        answer.extend(asked.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(record.len()).unwrap()]);
        answer.extend(record);
    }
    answer
}

/// A listener that accepts nobody. Its queue is full, so the kernel drops new connections, as if
/// nobody were there.
fn silent(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind(address).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
    let queued = std::iter::from_fn(fill).collect();
    (listener, queued)
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

/// glibc asks the second name server after 5 seconds, so a lookup takes longer than a try.
// Holds sipid-9.
#[test]
fn a_slow_lookup_is_kept_from_try_to_try() {
    in_own_network("network::a_slow_lookup_is_kept_from_try_to_try", || {
        use_name_servers(&["127.0.0.2", "127.0.0.3"]);
        let _deaf = deaf_name_server("127.0.0.2");
        name_server("127.0.0.3", vec![Ipv4Addr::LOCALHOST.into()]);
        let server = answering("200 OK");
        let url = format!("http://slow.test:{}/", port(&server));
        let output = wait(&url, &["--timeout", "2m", "--polling-frequency", "1s"]);
        assert!(output.status.success(), "{output:?}");
        let output = wait(&url, &["--timeout", "2m"]);
        assert!(output.status.success(), "{output:?}");
    });
}

// Holds sipid-10.
#[test]
fn what_was_slow_is_named() {
    in_own_network("network::what_was_slow_is_named", || {
        use_name_servers(&["127.0.0.2"]);
        let _deaf = deaf_name_server("127.0.0.2");
        let silent = silent("127.0.0.1:0".parse().unwrap());
        let silent = silent.0.local_addr().unwrap();
        let cases = [
            ("http://deaf.test/".to_owned(), "lookup"),
            ("tcp://deaf.test:1".to_owned(), "lookup"),
            (format!("http://{silent}/"), "connection"),
            (format!("tcp://{silent}"), "connection"),
            (format!("https://{}/", hanging().0), "TLS"),
            (format!("http://{}/", hanging().0), "answer"),
        ];
        thread::scope(|scope| {
            for (url, slow) in &cases {
                scope.spawn(move || {
                    let started = Instant::now();
                    let output = wait(url, &["--timeout", "2500ms", "--polling-frequency", "1s"]);
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert_eq!(output.status.code(), Some(110), "{said}");
                    assert!(
                        said.contains(slow) && said.contains("in time"),
                        "{url}: {said}"
                    );
                    assert!(started.elapsed() < Duration::from_secs(30));
                });
            }
        });
    });
}

/// The first addresses are silent. The wait must reach the last one within a single try, because
/// there is only one.
// Holds sipid-9.
#[test]
fn a_silent_address_does_not_keep_from_the_next_one() {
    in_own_network(
        "network::a_silent_address_does_not_keep_from_the_next_one",
        || {
            use_name_servers(&["127.0.0.5"]);
            // The resolver puts the addresses first that have most in common with our own, RFC
            // 6724.
            let server = serve(
                TcpListener::bind("127.0.0.13:0").unwrap(),
                |mut stream, _| {
                    let _ = request(&mut stream);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                },
            );
            let port = port(&server);
            let address = |last| Ipv4Addr::new(127, 0, 0, last).into();
            let addresses: Vec<IpAddr> = (1..4).map(address).collect();
            let there = |address: &IpAddr| silent((*address, port.parse().unwrap()).into());
            let _silent: Vec<_> = addresses.iter().map(there).collect();
            let found = [&addresses[..], &[address(13)]].concat();
            name_server("127.0.0.5", found);
            for url in [
                format!("http://many.test:{port}/"),
                format!("tcp://many.test:{port}"),
            ] {
                let output = wait(&url, &["--timeout", "30s", "--polling-frequency", "30s"]);
                assert!(output.status.success(), "{output:?}");
            }
        },
    );
}

/// A listener that accepts nobody, together with the connections that fill its backlog.
fn full_socket(path: &Path) -> Vec<OwnedFd> {
    let new = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap()
    };
    let address = UnixAddr::new(path).unwrap();
    let listener = new();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let mut sockets = vec![listener];
    loop {
        let waiting = new();
        match connect(waiting.as_raw_fd(), &address) {
            Ok(()) => sockets.push(waiting),
            Err(error) => {
                assert_eq!(error, nix::errno::Errno::EAGAIN);
                return sockets;
            }
        }
    }
}

// Holds sipid-8.
#[test]
fn a_full_unix_socket_cannot_stretch_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _full = full_socket(&path);
    let path = path.to_str().unwrap();
    let bare = format!("unix:{path}");
    let tries: [(&str, &[&str]); 2] = [(&bare, &[]), ("http://h/", &["--unix-socket", path])];
    for (url, more) in tries {
        let started = Instant::now();
        let quick = ["--timeout", "1500ms", "--polling-frequency", "1s"];
        let output = wait(url, &[&quick[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(110), "{said}");
        assert!(
            said.contains("no connection") && said.contains("backlog"),
            "{said}"
        );
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}

/// Once there is room, the waiting try gets in.
#[test]
fn a_unix_socket_that_accepts_again_is_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let full = full_socket(&path);
    let url = format!("unix:{}", path.display());
    let waiting = thread::spawn(move || {
        wait(
            &url,
            &["--timeout", "2m", "--polling-frequency", "100s", "-vv"],
        )
    });
    for _ in 0..2 {
        let _ = accept(full[0].as_raw_fd());
    }
    let output = waiting.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("after 1 attempt"), "{said}");
}
