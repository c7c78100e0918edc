//! Runs the function of `docs/fencing.md` that publishes an object, against a store of objects with
//! conditional writes.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use testkit::process::outcome;

/// The code blocks of the page in this language, in order.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fencing.md");
    let page = fs::read_to_string(page).unwrap();
    let start = format!("```{language}\n");
    let after = page.split(&start).skip(1);
    let blocks = after.map(|text| text.split_once("\n```").unwrap().0.to_owned());
    blocks.collect()
}

/// What the function uses of the command `aws`, as S3 documents it, for one object. If `late` is
/// there, its content is written right after the next HEAD, as by another holder.
const AWS: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit
etag() { [ ! -e object ] || md5sum <object | cut -d' ' -f1; }
case "$*" in
"s3api head-object --bucket b --key k --query [Metadata.token, ETag] --output text")
    if [ -e object ]; then printf '%s\t%s\n' "$(cat token)" "$(etag)"
    else echo "An error occurred (404) when calling the HeadObject operation: Not Found" >&2; found=no; fi
    if [ -e late ]; then mv late object; head -n 1 object >token; fi
    [ -z "$found" ] || exit 254 ;;
"s3api put-object --bucket b --key k --body "*" --metadata token="*" --if-match "*)
    [ "${11}" = --if-match ] && [ "${12}" = "$(etag)" ] || { echo "(412)" >&2; exit 254; }
    cp "$8" object; echo "${10#token=}" >token ;;
"s3api put-object --bucket b --key k --body "*" --metadata token="*" --if-none-match *")
    [ ! -e object ] || { echo "(412)" >&2; exit 254; }
    cp "$8" object; echo "${10#token=}" >token ;;
*) echo "not as expected: $*" >&2; exit 1 ;;
esac
"#;

/// The status of a holder with this token that publishes this text, and what it says.
fn publish(place: &Path, token: u64, text: &str) -> (i32, String) {
    let file = place.join("report");
    fs::write(&file, text).unwrap();
    let function = blocks("sh").into_iter().find(|it| it.contains("publish()"));
    let script = format!("{}\npublish \"$1\"", function.unwrap());
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(file);
    let variables = [("PATH", &*path), ("bucket", "b"), ("key", "k")];
    shell
        .envs(variables)
        .env("LOCKHEED_TOKEN", token.to_string());
    let (status, _, error) = outcome(&mut shell);
    (status, error)
}

#[test]
fn an_object_takes_no_write_of_a_holder_that_is_late() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let aws = place.join("aws");
    fs::write(&aws, AWS).unwrap();
    fs::set_permissions(&aws, fs::Permissions::from_mode(0o755)).unwrap();
    let object = || fs::read_to_string(place.join("object")).unwrap();
    for (token, text) in [(9, "first"), (9, "again"), (10, "later")] {
        assert_eq!(publish(place, token, text), (0, String::new()), "{text}");
        assert_eq!(object(), format!("{token}\n{text}"));
    }
    let refused = (1, "refused: the object has token 10\n".to_owned());
    assert_eq!(publish(place, 9, "late"), refused);
    // Another holder writes between its HEAD and its PUT, with or without an object before.
    for before in [true, false] {
        if !before {
            fs::remove_file(place.join("object")).unwrap();
        }
        fs::write(place.join("late"), "12\nlater").unwrap();
        assert_eq!(publish(place, 11, "late"), (254, "(412)\n".to_owned()));
        assert_eq!(object(), "12\nlater");
    }
}
