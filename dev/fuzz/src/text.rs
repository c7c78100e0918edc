//! Small languages that people, scripts and manifests write.

use std::time::Duration;

use coord_core::{
    check_label, duration, is_dns_subdomain, parse_label, signal_name,
    text::{escaped, shell_quoted, without_password},
};
use lockheed::{Condition, LockName, Record, Timestamp, Token, store::Version};
use sipid::{
    Schedule, Signal,
    health::{Probe, Proxies, Statuses, Target as Asked},
};

use crate::{Target, kubeconfig::has_password, text_of};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "duration",
        corpus: &[b"1h 30m", b"500ms", b".5s", b"5.", b"0", b"100years", b"7\xce\xbcs"],
        cases: 2000,
        holds: durations,
    },
    Target {
        name: "signal",
        corpus: &[b"TERM", b"sigrtmin+3", b"RTMAX-2", b"-9", b"33", b"SIGIOT"],
        cases: 2000,
        holds: signals,
    },
    Target {
        name: "label",
        corpus: &[b"team=db", b"example.com/team=a_b.C", b"a=", b"=", b"a/b/c=d"],
        cases: 2000,
        holds: labels,
    },
    Target {
        name: "shown",
        corpus: &[b"https://me:secret@host:1/x", b"x@https://me:secret@", b"a\x1b[31m\nb", "a\u{202e}b".as_bytes(), b"it's $HOME"],
        cases: 2000,
        holds: shown,
    },
    Target {
        name: "schedule",
        corpus: &[b"TERM/20/KILL", b"TERM/forever/KILL/1", b"-33/1.5s/INT", b"20", b"HUP/0/9"],
        cases: 2000,
        holds: schedules,
    },
    Target {
        name: "condition",
        corpus: &[
            b"tags contains \"a\\\"b\" and (acquired equals false or tags contains x)",
            br#"{"Operation":"and","Conditions":[{"Operation":"contains","Conditions":null,"Field":"tags","Value":"x"},{"Operation":"equals","Conditions":null,"Field":"acquired","Value":true}]}"#,
            br#"{"operation":"or","conditions":[]}"#,
            b"((((acquired equals true))))",
        ],
        cases: 1000,
        holds: conditions,
    },
    Target {
        name: "timestamp",
        corpus: &[
            b"2030-01-02T03:04:05.123456789+02:00",
            b"9999-12-31T23:59:59Z",
            b"9999-12-31T23:59:59.12Z",
            b"0000-01-01t00:00:00z",
            b"2016-12-31T23:59:60-23:59",
        ],
        cases: 2000,
        holds: timestamps,
    },
    Target {
        name: "name",
        corpus: &[b"deploy-1.a", b"https://example.com/\xe9\x94\x81?x=1", b"A B", b"-"],
        cases: 1000,
        holds: names,
    },
    Target {
        name: "version",
        corpus: &[b"1041", b"0", b"18446744073709551615", b"+1", b"007"],
        cases: 2000,
        holds: versions,
    },
    Target {
        name: "url",
        corpus: &[
            b"http://me:secret@host:81/a?b",
            b"http://host:+4//me:secret@h",
            b"tcp://[::1]:5432",
            b"unix:///run/x.sock",
            b"file:/tmp/a b",
            b"https://127.1/%2e%00",
        ],
        cases: 1000,
        holds: urls,
    },
    Target {
        name: "statuses",
        corpus: &[b"200, 204,300-399", b"100-599", b"500-200"],
        cases: 2000,
        holds: statuses,
    },
    Target {
        name: "proxies",
        corpus: &[
            b"http://me:p%40ss@proxy:3128\nlocalhost,.example.com,10.0.0.0/8,[::1]:80,*",
            b"socks5h://p\n",
            b"proxy\n*.internal, 192.168.1.1",
        ],
        cases: 200,
        holds: proxies,
    },
];

fn durations(bytes: &[u8]) {
    let text = text_of(bytes);
    match duration::parse(&text) {
        Ok(read) => {
            assert!(read <= duration::MAX);
            let written = humantime::format_duration(read).to_string();
            assert_eq!(duration::parse(&written), Ok(read));
            assert_eq!(duration::parse_positive(&text).is_ok(), !read.is_zero());
        }
        Err(error) => assert!(error.to_string().starts_with(&format!("{text:?} "))),
    }
}

fn signals(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok(number) = signal_name::parse(&text) {
        assert!((1..=signal_name::LAST).contains(&number));
        assert_eq!(signal_name::parse(&signal_name::name(number)), Ok(number));
        assert!(text.parse::<Signal>().is_ok());
    }
    let _ = text.parse::<Signal>().map(|signal| signal.to_string());
}

fn labels(bytes: &[u8]) {
    let text = text_of(bytes);
    match parse_label(&text) {
        Ok((key, value)) => {
            assert_eq!(format!("{key}={value}"), text);
            assert_eq!(check_label(&key, &value), Ok(()));
        }
        Err(error) => assert!(error.to_string().contains("label")),
    }
}

fn shown(bytes: &[u8]) {
    let text = text_of(bytes);
    let once = escaped(&text).to_string();
    assert!(!once.contains(char::is_control));
    assert_eq!(escaped(&once).to_string(), once);
    assert!(!shell_quoted(&*text).contains(['\x1b', '\n']));
    let masked = without_password(&text);
    assert_eq!(without_password(&masked), masked);
    assert!(
        !(has_password(&text) && masked.contains("secret")),
        "{masked}"
    );
}

fn schedules(bytes: &[u8]) {
    if let Ok(schedule) = text_of(bytes).parse::<Schedule>() {
        assert_eq!(schedule.to_string().parse(), Ok(schedule));
    }
}

fn conditions(bytes: &[u8]) {
    let Ok(condition) = text_of(bytes).parse::<Condition>() else {
        return;
    };
    let json = serde_json::to_string(&condition).unwrap_or_default();
    assert_eq!(json.parse(), Ok(condition.clone()));
    // A condition with only one part means that part, and is written like it.
    let text = condition.to_string();
    let again: Condition = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(again.to_string(), text);
    let mut record = Record::mutex("x");
    for tags in [&[][..], &["x"], &["x", "a\"b"]] {
        record.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        for acquired in [true, false] {
            assert_eq!(
                again.holds(&record, acquired),
                condition.holds(&record, acquired)
            );
        }
    }
}

fn timestamps(bytes: &[u8]) {
    let Ok(time) = text_of(bytes).parse::<Timestamp>() else {
        return;
    };
    assert!(time <= Timestamp::NEVER);
    assert_eq!(time.to_string().parse(), Ok(time));
    assert!(time.plus(Duration::MAX).is_never());
    assert!(time.to_the_second() <= time);
    let later = time.plus(Duration::from_nanos(1_500_000_000));
    assert!(later.is_never() || later.after(time) == Duration::from_nanos(1_500_000_000));
}

fn names(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok(name) = text.parse::<LockName>() {
        assert!(is_dns_subdomain(&text));
        assert_eq!((name.as_str(), name.key()), (&*text, None));
    }
    if let Ok(name) = LockName::from_key(&text) {
        assert_eq!(name.key(), Some(&*text));
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
        assert!(name.as_str().len() <= 63);
        assert_ne!(LockName::from_key(&format!("{text}x")).as_ref(), Ok(&name));
    }
}

fn versions(bytes: &[u8]) {
    let text = text_of(bytes);
    let version = Version::new(&*text);
    assert!(!version.is_before(&version));
    let one = Version::new("1");
    assert!(!(version.is_before(&one) && one.is_before(&version)));
    match text.parse::<Token>() {
        Ok(token) => {
            assert_eq!(Some(token), Token::of(&version).ok());
            assert_eq!(token.to_string().parse(), Ok(token));
            assert_eq!(version.is_before(&one), token.get() < 1);
        }
        Err(_) => assert!(Token::of(&version).is_err()),
    }
}

/// The shown form of a URL has no password, and can be used like the URL.
fn urls(bytes: &[u8]) {
    let text = text_of(bytes);
    // In other schemes, this part is a path or a command.
    let is_url = text.starts_with("http") && has_password(&text);
    let is_secret = |shown: &str| is_url && shown.contains("secret");
    match text.parse::<Asked>() {
        Ok(asked) => {
            let shown = asked.to_string();
            assert!(!is_secret(&shown), "{shown}");
            assert_eq!(escaped(&shown).to_string(), shown);
            if ["http", "tcp"]
                .iter()
                .any(|scheme| shown.starts_with(scheme))
            {
                let again = shown.parse::<Asked>();
                let again = again.unwrap_or_else(|error| panic!("{shown}: {error}"));
                assert_eq!(again.to_string(), shown);
            }
        }
        Err(error) => {
            let error = error.to_string();
            assert_eq!(escaped(&error).to_string(), error);
            assert!(!is_secret(&error), "{error}");
        }
    }
}

fn statuses(bytes: &[u8]) {
    let text = text_of(bytes);
    if text.parse::<Statuses>().is_ok() {
        let allowed = |c: char| c.is_ascii_digit() || c.is_whitespace() || "-,".contains(c);
        assert!(text.chars().all(allowed), "{text:?}");
    }
}

/// Environment variables: the proxy, and on the next line the hosts that need none.
fn proxies(bytes: &[u8]) {
    let text = text_of(bytes);
    let (proxy, direct) = text.split_once('\n').unwrap_or((&text, ""));
    if proxy.contains('\0') || direct.contains('\0') {
        return;
    }
    let proxies = Proxies::from_variables(|name| match name {
        "http_proxy" => Some(proxy.to_owned()),
        "no_proxy" => Some(direct.to_owned()),
        _ => None,
    });
    for host in ["localhost.", "[::1]", "127.0.0.1:81"] {
        // The missing program is an error before anybody is asked.
        let asked = Probe::new(&format!("http://{host}/")).expect("a URL");
        let missing = Asked::command(["/nonexistent"]).expect("a command");
        let probe = asked.and(missing).proxies(proxies.clone());
        let error = probe.wait().expect_err("no program").to_string();
        assert!(!error.contains("p%40ss"), "{error}");
    }
}
