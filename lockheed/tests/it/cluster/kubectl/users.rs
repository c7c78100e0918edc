//! Credentials, and kubectl's options.

use super::*;

/// The user's credentials.
pub(super) fn credentials(bench: &Bench) -> Vec<Row> {
    let token = bench.token.as_str();
    let (first, second) = token.split_at(10);
    let with = |key: &str, value: &str| {
        let mut user = bench.certificate.clone();
        user[key] = json!(value);
        bench.user(&user)
    };
    vec![
        row("certificate as data", bench.user(&bench.data)),
        row("empty certificate file beside data", {
            let mut user = bench.data.clone();
            user["client-certificate"] = json!("");
            bench.user(&user)
        }),
        row("certificate without a key", {
            let certificate = &bench.certificate["client-certificate"];
            bench.user(&json!({"client-certificate": certificate}))
        }),
        row("key without a certificate", {
            let key = &bench.certificate["client-key"];
            bench.user(&json!({"client-key": key}))
        }),
        row(
            "certificate that is not there",
            with("client-certificate", "nowhere.crt"),
        ),
        row(
            "certificate data that is no base64",
            bench.user(&json!({"client-certificate-data": "%", "client-key-data": "%"})),
        ),
        row(
            "certificate data that is no PEM",
            bench.user(
                &json!({"client-certificate-data": "aGVsbG8=", "client-key-data": "aGVsbG8="}),
            ),
        ),
        row("empty token beside a certificate", with("token", "")),
        row("token", bench.user(&json!({"token": token}))),
        row("wrong token", bench.user(&json!({"token": SECRET}))),
        row(
            "token with a line break",
            bench.user(&json!({"token": format!("{first}\n{second}{SECRET}")})),
        ),
        row("number as token", bench.user(&json!({"token": 12345}))),
        row("token file", bench.user(&json!({"tokenFile": "token"}))).file("token", token),
        row(
            "token file with a line break at its end",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", format!("{token}\n")),
        row(
            "token file with a line break in it",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", format!("{first}\n{second}{SECRET}\n")),
        row(
            "token file that is empty",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", "\n"),
        row(
            "token file that is not there",
            bench.user(&json!({"tokenFile": "nowhere"})),
        ),
        row(
            "token file beside a wrong token",
            bench.user(&json!({"token": SECRET, "tokenFile": "token"})),
        )
        .file("token", token),
        row(
            "wrong token file beside a token",
            bench.user(&json!({"token": token, "tokenFile": "token"})),
        )
        .file("token", SECRET),
        row(
            "missing token file beside a token",
            bench.user(&json!({"token": token, "tokenFile": "nowhere"})),
        ),
        row(
            "password",
            bench.user(&json!({"username": "a", "password": SECRET})),
        ),
        row("empty user", bench.user(&json!({}))),
        row("null user", bench.user(&json!(null))),
        row("groups to act as without a user", {
            let mut user = bench.certificate.clone();
            user["as-groups"] = json!(["system:masters"]);
            bench.user(&user)
        }),
    ]
}

/// kubectl's options.
pub(super) fn options(bench: &Bench) -> Vec<Row> {
    let usual = bench.user(&bench.certificate);
    let namespace = bench.place.namespace.name();
    let token = bench.token.as_str();
    let holder = format!("{namespace}-holder");
    let admin = fs::read_to_string(bench.place.namespace.admin()).unwrap();
    let many = {
        let mut config = bench.config(&json!({"token": SECRET}));
        let right = json!({"name": "right", "user": bench.certificate});
        config["users"].as_array_mut().unwrap().push(right);
        let mut wrong = config["clusters"][0].clone();
        wrong["name"] = json!("wrong");
        wrong["cluster"]["server"] = json!("https://127.0.0.1:1");
        config["clusters"].as_array_mut().unwrap().push(wrong);
        let other = json!({"name": "right", "context": {"cluster": "c", "user": "right", "namespace": namespace}});
        config["contexts"].as_array_mut().unwrap().push(other);
        config
    };
    let elsewhere = changed(many.clone(), "/contexts/1/context/cluster", &json!("wrong"));
    let many = many.to_string();
    vec![
        row("another user", &many).with(["--user", "right"]),
        row("another user that is not there", &many).with(["--user", "x"]),
        row("another context", &many).with(["--context", "right"]),
        row("another context that is not there", &many).with(["--context", "x"]),
        row("another cluster", elsewhere.as_str()).with(["--context=right", "--cluster=c"]),
        row("another cluster that is not there", &many).with(["--context=right", "--cluster=x"]),
        row("another server", elsewhere.as_str()).with(["--context=right", "-s", &bench.server]),
        row("another token", &usual).with(["--token", SECRET]),
        row("a token instead of a wrong one", &many).with(["--token", token]),
        row(
            "a token instead of a file",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", SECRET)
        .with(["--token", token])
        .differs("what is asked for on the command line counts"),
        row("a token with a line break", &many).with(["--token", "a\nb"]),
        row(
            "no context but a cluster and a user",
            bench.with("/current-context", &json!("")),
        )
        .with(["--cluster=c", "--user=u", "-n", namespace]),
        row(
            "no context but a server",
            bench.with("/current-context", &json!("")),
        )
        .with(["--server", &bench.server, "--user=u", "-n", namespace]),
        row("a namespace", &admin).with(["-n", namespace]),
        row("a namespace in long", &admin).with([format!("--namespace={namespace}")]),
        row("a namespace that is not allowed", &usual).with(["-n", "default"]),
        row("a namespace that cannot be one", &usual).with(["-n", "a/b"]),
        row("all namespaces", &admin).with(["-A"]),
        row("all namespaces in long", &admin).with(["--all-namespaces"]),
        row("all namespaces that are not allowed", &usual).with(["-A"]),
        row("as somebody else", &admin).with(["--as", &holder, "-n", namespace]),
        row("as nobody", &admin).with(["--as", "nobody", "-n", namespace]),
        row("as a member", &admin).with([
            "--as=nobody",
            "--as-group=x",
            "--as-group=system:masters",
            "-n",
            namespace,
        ]),
        row("as a group alone", &admin).with(["--as-group=system:masters", "-n", namespace]),
        row("as somebody without the right", &usual).with(["--as", &holder]),
        row("as somebody with a line break", &admin).with(["--as", "a\nb", "-n", namespace]),
        row("as JSON", &usual).with(["-o", "json"]),
        row("as JSON in long", &usual).with(["--output=json"]),
        row("as YAML", &usual).with(["-oyaml"]),
        row("wide", &usual).with(["-o", "wide"]),
        row("names", &usual).with(["-o", "name"]),
    ]
}
