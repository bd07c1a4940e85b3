//! Where files go: a directory, or a place in a bucket of an object store.

use std::{fmt, path::PathBuf};

use crate::secret::Secret;

/// Where the files of an export go. What reads and writes there is `export::Destination`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DestinationUrl {
    /// A local directory, absolute.
    Directory(PathBuf),
    /// A place in a bucket.
    Bucket(BucketUrl),
}

/// `s3://name/prefix`, `gs://name/prefix` or `az://name/prefix`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketUrl {
    /// Whose bucket it is.
    pub cloud: Cloud,
    /// The bucket or container, or a name that `stores.NAME.bucket` stands behind; never empty.
    pub name: String,
    /// What every key below it starts with, without slashes at its ends; empty: the bucket itself.
    pub prefix: String,
}

/// The kinds of object stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cloud {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    /// The scheme of its URLs: `s3`, `gs`, `az`.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Google => "Google Cloud Storage",
            Self::Azure => "Azure Blob Storage",
        }
    }
}

/// Why a URL names no place in a bucket, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadUrl {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl BucketUrl {
    /// Reads a URL. Percent signs are kept as they are: a key is what is written.
    ///
    /// # Errors
    /// Another scheme, no bucket, credentials in the URL, or a path that no store keeps as it is
    /// (`.`, `..`, empty segments, `?`, `#`, `\`, control characters).
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let shown = text.escape_debug();
        let bad = |message: String, hint: &str| BadUrl {
            message,
            hint: hint.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let cloud = Cloud::ALL.into_iter().find(|c| c.scheme() == scheme);
        let cloud = cloud.ok_or_else(|| {
            let meant = match scheme.to_lowercase().as_str() {
                "file" => "write the directory itself, such as ./out/lake",
                "s3" | "s3a" | "s3n" => "write s3://bucket/prefix",
                "gs" | "gcs" => "write gs://bucket/prefix",
                "az" | "azure" | "abfs" | "abfss" | "adl" | "wasbs" => "write az://container/prefix",
                "http" | "https" => {
                    "write s3://bucket/prefix, and the address as `stores.bucket.endpoint` in databuddy-jobs.yaml"
                }
                _ => "write a directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
            };
            bad(format!("`{scheme}://` is no destination"), meant)
        })?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let write = format!("write {scheme}://bucket/prefix");
        if name.contains('@') {
            let hint = "credentials go to `stores.NAME` in databuddy-jobs.yaml";
            return Err(bad(
                "a destination carries no user and no key".to_owned(),
                hint,
            ));
        }
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() {
            return Err(bad(format!("`{shown}` names no bucket"), &write));
        }
        if !name.chars().all(is_of_name) {
            let message = format!("`{}` is no name of a bucket", name.escape_debug());
            let hint = "it is made of letters, digits, `.`, `-` and `_`";
            return Err(bad(message, hint));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_odd = |c: char| c.is_control() || matches!(c, '?' | '#' | '\\');
        let mut segments = prefix.split('/');
        if !prefix.is_empty()
            && (prefix.contains(is_odd) || segments.any(|s| matches!(s, "" | "." | "..")))
        {
            let message = format!("`{}` is no prefix of a key", prefix.escape_debug());
            let hint =
                "a prefix has no empty segments, no `.` and `..`, and none of `?`, `#` and `\\`";
            return Err(bad(message, hint));
        }
        Ok(Self {
            cloud,
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// The key of a path below this place.
    pub fn key(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(
            f,
            "{}://{}{slash}{}",
            self.cloud.scheme(),
            self.name,
            self.prefix
        )
    }
}

impl fmt::Display for DestinationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

/// How a bucket is reached: an entry of `stores`. `None` throughout: as the cloud usually is, by the
/// environment or by the machine's own role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketAccess {
    /// What the bucket is really called; `None`: as the destination names it.
    pub bucket: Option<String>,
    /// The server's address; `None`: the cloud's own. `http://` is without encryption.
    pub endpoint: Option<String>,
    /// S3: the region; `None`: that of the environment, else `us-east-1`.
    pub region: Option<String>,
    /// S3: whether the bucket stands in the path of the address or before its host; `None`: in the path.
    pub path_style: Option<bool>,
    /// S3: the keys.
    pub keys: Option<S3Keys>,
    /// Azure: the storage account; `None`: that of the environment.
    pub account: Option<String>,
    /// Azure: how to show who one is.
    pub azure: Option<AzureSecret>,
    /// Google: the file of a service account, absolute.
    pub service_account: Option<PathBuf>,
}

/// Keys of S3. With them nothing is taken from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// The access key's id.
    pub access_key_id: Secret,
    /// The access key.
    pub secret_access_key: Secret,
    /// Of temporary keys.
    pub session_token: Option<Secret>,
}

/// A secret of Azure. With it nothing is taken from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureSecret {
    /// A key of the storage account.
    AccountKey(Secret),
    /// A shared access signature, as the portal shows it.
    SasToken(Secret),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_cloud_bucket_and_prefix() {
        for (text, cloud, name, prefix) in [
            ("s3://lake", Cloud::S3, "lake", ""),
            ("s3://lake/", Cloud::S3, "lake", ""),
            ("gs://my-lake/a/b/", Cloud::Google, "my-lake", "a/b"),
            ("az://c/täglich %20", Cloud::Azure, "c", "täglich %20"),
        ] {
            let url = BucketUrl::parse(text).unwrap();
            assert_eq!(
                (url.cloud, url.name.as_str(), url.prefix.as_str()),
                (cloud, name, prefix)
            );
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
        let url = BucketUrl::parse("s3://lake/a").unwrap();
        assert_eq!((url.key("x/y"), url.key("")), ("a/x/y".into(), "a".into()));
    }

    #[test]
    fn what_is_no_url_says_what_to_write() {
        for (text, message, hint) in [
            ("S3://lake", "`S3://` is no destination", "write s3://"),
            ("gcs://lake", "`gcs://`", "write gs://"),
            ("abfss://lake", "`abfss://`", "write az://"),
            ("file:///x", "`file://`", "the directory itself"),
            ("ftp://x", "`ftp://`", "write a directory, s3://"),
            ("s3://", "names no bucket", "write s3://bucket/prefix"),
            ("s3:///x", "names no bucket", "write s3://bucket/prefix"),
            (
                "s3://key:secret@lake/x",
                "no user and no key",
                "`stores.NAME`",
            ),
            ("s3://la ke/x", "`la ke` is no name", "letters"),
            ("s3://lake/a//b", "`a//b` is no prefix", "no empty segments"),
            ("s3://lake/../b", "`../b` is no prefix", "`..`"),
            ("s3://lake/a?b=c", "`a?b=c` is no prefix", "`?`"),
        ] {
            let bad = BucketUrl::parse(text).unwrap_err();
            assert!(bad.message.contains(message), "{text}: {}", bad.message);
            assert!(bad.hint.contains(hint), "{text}: {}", bad.hint);
        }
        let bad = BucketUrl::parse("s3://key:secret@lake").unwrap_err();
        assert!(!format!("{bad:?}").contains("secret@"), "{bad:?}");
    }
}
