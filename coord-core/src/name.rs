//! Names of Kubernetes objects.

/// Whether a ConfigMap, a Pod or most other objects can have this name: a DNS subdomain name (RFC 1123), up to 253 bytes. Such a name can stand in a
/// request's path, and be that of a file.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    const LONGEST: usize = 253;
    text.len() <= LONGEST && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [label.bytes().next(), label.bytes().last()];
    ends.iter().all(|end| end.is_some_and(plain))
        && label.bytes().all(|byte| plain(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::is_dns_subdomain;

    #[test]
    fn names_are_those_of_config_maps() {
        for good in ["a", "0", "a-b", "a.b", "a--b", &"x".repeat(253)] {
            assert!(is_dns_subdomain(good), "{good:?}");
        }
        let long = "x".repeat(254);
        for bad in [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "A", "a_b", "a/b", "../x", "ä", "a b", "a\n",
            &long,
        ] {
            assert!(!is_dns_subdomain(bad), "{bad:?}");
        }
    }
}
