//! Owns: what may name a database. Refuses: guessing. A name that means nothing would be a file, or a database that is
//! gone with its connection, and work would go there.

use crate::error::{Error, Result};

/// Which scheme a name has, in lower case: what stands before `://`, or `sqlite` before a colon.
fn scheme(name: &str) -> Option<String> {
    let scheme = match name.split_once("://") {
        Some((scheme, _)) => scheme,
        None => {
            name.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| scheme.eq_ignore_ascii_case("sqlite"))?
        }
    };
    let letters = scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    (letters && !scheme.is_empty()).then(|| scheme.to_ascii_lowercase())
}

/// The name with its scheme in lower case.
pub(super) fn normal(name: &str) -> String {
    match scheme(name) {
        Some(scheme) => scheme.clone() + &name[scheme.len()..],
        None => name.to_owned(),
    }
}

pub(super) fn is_postgres(name: &str) -> bool {
    matches!(scheme(name).as_deref(), Some("postgres" | "postgresql"))
}

/// What a SQLite database's name says besides its scheme.
pub(super) fn sqlite_path(name: &str) -> &str {
    let path = if scheme(name).as_deref() == Some("sqlite") { &name["sqlite:".len()..] } else { name };
    path.strip_prefix("//").unwrap_or(path)
}

/// Refuses what names no database.
pub(super) fn check(name: &str) -> Result<()> {
    const HINT: &str = "write a file's path, \":memory:\" or postgres://user:password@host:5432/name";
    let refuse = |message: String| Err(Error::Configuration(format!("database {message}; {HINT}")));
    if name.contains('\0') {
        return refuse("has a NUL byte in its name".into());
    }
    match scheme(name).as_deref() {
        Some("postgres" | "postgresql") => Ok(()),
        None | Some("sqlite") if sqlite_path(name).trim().is_empty() => refuse(format!("is {name:?}, which is empty")),
        None | Some("sqlite") => Ok(()),
        Some(scheme) => refuse(format!("is {:?}: there is no store for {scheme}://", shown(name))),
    }
}

/// The name without what may be secret.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        check(name).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_name_that_means_nothing_is_refused() {
        for name in ["", " ", "sqlite:", "sqlite://", "SQLite://"] {
            assert!(refusal(name).contains("empty"), "{name:?}: {}", refusal(name));
        }
        let refused = refusal("postgress://u:s3cret@db/x?password=s3cret");
        assert!(refused.contains("\"postgress://db/x\"") && !refused.contains("s3cret"), "{refused}");
        assert!(refusal("mysql://db/x").contains("no store for mysql://"));
    }

    #[test]
    fn a_scheme_may_be_written_in_any_case() {
        assert_eq!(normal("PostgreSQL://U@db/X"), "postgresql://U@db/X");
        assert_eq!(normal("Sqlite:a/B"), "sqlite:a/B");
        assert!(is_postgres("POSTGRES://db/x") && !is_postgres("postgres.sqlite3"));
        assert_eq!(
            (sqlite_path("SQLITE::memory:"), sqlite_path("sqlite://a b"), sqlite_path("C:x")),
            (":memory:", "a b", "C:x")
        );
    }

    #[test]
    fn a_path_is_a_path() {
        for name in ["a.sqlite3", "/a/b:c", ":memory:", "sqlite:/a", "a b://c", "C:\\x"] {
            assert_eq!(refusal(name), "", "{name:?}");
        }
    }
}
