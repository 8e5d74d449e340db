//! Names that crawlers give.

use md5::{Digest, Md5};

/// The longest name of a table: what Glue takes less room for a suffix.
const NAME_MAX: usize = 200;

/// Lower case; all but letters, digits and underscores become underscores; never empty.
pub fn identifier(raw: &str) -> String {
    let mut name: String = raw
        .chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '_' })
        .collect();
    name.truncate(NAME_MAX);
    if name.is_empty() { "_".into() } else { name }
}

/// The name of a table from its location: the last folder (or the file, or the bucket), after the prefix.
pub fn table(prefix: &str, location: &str) -> String {
    let path = location.strip_prefix("s3://").unwrap_or(location).trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    format!("{prefix}{}", identifier(last))
}

/// The name where that one belongs to a table at another location.
pub fn table_with_hash(name: &str, location: &str) -> String {
    format!("{name}_{}", hex::encode(Md5::digest(location.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_by_their_last_folder() {
        for (location, name) in [
            ("s3://raw/in/Flights 2013/", "flights_2013"),
            ("s3://raw/in/customers.csv", "customers_csv"),
            ("s3://my-bucket/", "my_bucket"),
            ("s3://raw/year=2017/", "year_2017"),
            ("s3://raw/żółw/", "___w"),
        ] {
            assert_eq!(table("", location), name, "{location}");
        }
        assert_eq!(table("raw_", "s3://raw/x/"), "raw_x");
        assert_eq!(table_with_hash("x", "s3://a/x/").len(), 34);
    }
}
