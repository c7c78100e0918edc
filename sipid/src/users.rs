//! Users and groups from `/etc/passwd` and `/etc/group`, `passwd(5)`, `group(5)`.

use std::fs;

/// Root's group. Others have it too: containers give it to users with any UID.
const ROOTS_GROUP: u32 = 0;

/// Whether each member of the group is known to be one of these, as in a user's private group. A
/// group that the files do not contain may have any members.
pub(crate) fn are_all(group: u32, is_one: impl Fn(u32) -> bool) -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    group != ROOTS_GROUP
        && members(group, &read("/etc/passwd"), &read("/etc/group"))
            .is_some_and(|members| !members.is_empty() && members.into_iter().all(is_one))
}

/// The users with this primary group, and those listed in it. `None` if one of them is unknown.
fn members(group: u32, passwd: &str, groups: &str) -> Option<Vec<u32>> {
    let number = |field: Option<&&str>| field.and_then(|field| field.parse::<u32>().ok());
    let users: Vec<Vec<&str>> = passwd
        .lines()
        .map(|line| line.split(':').collect())
        .collect();
    let mut members: Vec<u32> = users
        .iter()
        .filter(|user| number(user.get(3)) == Some(group))
        .filter_map(|user| number(user.get(2)))
        .collect();
    let lines = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    for line in lines.filter(|line| number(line.get(2)) == Some(group)) {
        let names = line.get(3).copied().unwrap_or_default();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let user = users.iter().find(|user| user[0] == name)?;
            members.push(number(user.get(2))?);
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:::\nbob:x:1001:1001:::\nweb:x:33:33:::\nold:x:44:33:::\n";
    const GROUP: &str =
        "root:x:0:\nann:x:1000:\nbob:x:1001:ann\nops:x:50:ann,bob\nldap:x:60:who\nnone:x:70:\n";

    #[test]
    fn members_are_those_of_both_files() {
        let of = |group| members(group, PASSWD, GROUP);
        assert_eq!(of(1000), Some(vec![1000]));
        assert_eq!(of(1001), Some(vec![1001, 1000]));
        assert_eq!(of(50), Some(vec![1000, 1001]));
        assert_eq!(of(33), Some(vec![33, 44]));
        assert_eq!(of(60), None, "a member whom the files do not know");
        assert_eq!(of(70), Some(vec![]));
        assert_eq!(members(70, "damaged\n\n:::\n", "x\n"), Some(vec![]));
    }
}
