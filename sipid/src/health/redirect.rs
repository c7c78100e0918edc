//! Where a redirect leads.

use super::url::Url;

/// The URL that an answer redirects to: `Location`, relative to the requested URL, RFC 9110 section
/// 10.2.2.
pub(super) fn target(asked: &Url, status: u16, location: Option<&str>) -> Option<Url> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let url = Url::parse(&resolve(asked, location?)?).ok()?;
    matches!(url.uri().scheme_str(), Some("http" | "https")).then_some(url)
}

/// Resolves a reference, RFC 3986 section 5.2, without the fragment, which is not sent.
fn resolve(base: &Url, reference: &str) -> Option<String> {
    let reference = reference.split('#').next()?;
    let (scheme, server, base) = (base.uri().scheme_str()?, base.server(), base.uri());
    if has_scheme(reference) {
        return Some(reference.to_owned());
    }
    if reference.starts_with("//") {
        return Some(format!("{scheme}:{reference}"));
    }
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let directory = base
                .path()
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory);
            without_dots(&format!("{directory}/{path}"))
        }
    };
    let own_query = base.query().filter(|_| reference.is_empty());
    let query = own_query.map_or_else(|| query.to_owned(), |query| format!("?{query}"));
    Some(format!("{scheme}://{server}{path}{query}"))
}

fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split(['/', '?']).next().unwrap_or_default();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.contains(':')
}

/// Removes the segments `.` and `..` from a path that begins with `/`, RFC 3986 section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_the_rfc_says() {
        let base = Url::parse("http://me:secret@host:81/a/b?q").unwrap();
        let cases = [
            ("https://other/x", "https://other/x"),
            ("//other/x", "http://other/x"),
            ("/x", "http://host:81/x"),
            ("x", "http://host:81/a/x"),
            ("x:1", ""),
            ("./x:1", "http://host:81/a/x:1"),
            ("/x?u=http://y", "http://host:81/x?u=http://y"),
            ("../x/./y", "http://host:81/x/y"),
            ("../../../x/..", "http://host:81/"),
            ("?r", "http://host:81/a/b?r"),
            ("", "http://host:81/a/b?q"),
            ("#top", "http://host:81/a/b?q"),
            ("/x#top", "http://host:81/x"),
            ("ftp://other/", ""),
            ("http://", ""),
        ];
        for (location, expected) in cases {
            let found = target(&base, 302, Some(location));
            let found = found.map_or_else(String::new, |url| url.to_string());
            assert_eq!(found, expected, "{location:?}");
        }
    }

    #[test]
    fn only_redirects_lead_on() {
        let base = Url::parse("http://[fe80::1%25lo]/").unwrap();
        for (status, leads) in [
            (201, false),
            (300, false),
            (301, true),
            (304, false),
            (308, true),
        ] {
            let found = target(&base, status, Some("/x"));
            assert_eq!(found.is_some(), leads, "{status}");
            assert!(found.is_none_or(|url| url.zone() == Some("lo")));
        }
        assert!(target(&base, 302, None).is_none());
    }
}
