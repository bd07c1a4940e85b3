//! The way to a bucket: what `stores.NAME` says, else what the cloud's own programs read.

use std::{fmt, sync::Arc};

use object_store::{
    ClientConfigKey, ObjectStore, Result, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey},
    multipart::MultipartStore,
};

use crate::domain::destination::{AzureSecret, BucketAccess, Cloud};

/// Of one request with its body: 8 MiB at 0.25 Mbit/s.
const TIMEOUT: &str = "5min";

/// Of reaching a server.
const CONNECT_TIMEOUT: &str = "10s";

/// A bucket that can be talked to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The same, for uploads whose ids must be known.
    pub(super) uploads: Arc<dyn MultipartStore>,
}

impl Connection {
    /// Prepares the way; nothing is sent. A request is tried again at most `retries` times.
    ///
    /// # Errors
    /// What is set contradicts itself, or a file of credentials cannot be read.
    pub(super) fn new(
        cloud: Cloud,
        name: &str,
        access: &BucketAccess,
        retries: usize,
    ) -> Result<Self> {
        let bucket = access.bucket.as_deref().unwrap_or(name);
        let retry = RetryConfig {
            max_retries: retries,
            ..RetryConfig::default()
        };
        match cloud {
            Cloud::S3 => Ok(Self::of(s3(bucket, access, retry)?)),
            Cloud::Google => Ok(Self::of(google(bucket, access, retry)?)),
            Cloud::Azure => Ok(Self::of(azure(bucket, access, retry)?)),
        }
    }

    fn of(store: impl ObjectStore + MultipartStore) -> Self {
        let store = Arc::new(store);
        Self {
            objects: Arc::clone(&store) as _,
            uploads: store,
        }
    }
}

/// How requests are sent; what else the environment says of it stays.
fn client(access: &BucketAccess) -> impl Iterator<Item = (ClientConfigKey, &'static str)> {
    let plain = access.endpoint.as_deref();
    let plain = plain.is_some_and(|endpoint| endpoint.starts_with("http://"));
    [
        Some((ClientConfigKey::Timeout, TIMEOUT)),
        Some((ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT)),
        plain.then_some((ClientConfigKey::AllowHttp, "true")),
    ]
    .into_iter()
    .flatten()
}

fn s3(bucket: &str, access: &BucketAccess, retry: RetryConfig) -> Result<AmazonS3> {
    let mut builder = match &access.keys {
        None => AmazonS3Builder::from_env(),
        Some(keys) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(keys.access_key_id.expose())
                .with_secret_access_key(keys.secret_access_key.expose());
            match &keys.session_token {
                Some(token) => builder.with_token(token.expose()),
                None => builder,
            }
        }
    };
    if let Some(region) = &access.region {
        builder = builder.with_region(region);
    }
    let in_host = access.path_style == Some(false);
    if access.path_style.is_some() {
        builder = builder.with_virtual_hosted_style_request(in_host);
    }
    if let Some(endpoint) = &access.endpoint {
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if in_host => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.clone(),
        };
        // The one that wins over AWS_ENDPOINT_URL_S3
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    client(access)
        .fold(builder, |builder, (key, value)| {
            builder.with_config(AmazonS3ConfigKey::Client(key), value)
        })
        .with_bucket_name(bucket)
        .with_retry(retry)
        .build()
}

fn google(bucket: &str, access: &BucketAccess, retry: RetryConfig) -> Result<GoogleCloudStorage> {
    let mut builder = match &access.service_account {
        None => GoogleCloudStorageBuilder::from_env(),
        Some(file) => {
            GoogleCloudStorageBuilder::new().with_service_account_path(file.to_string_lossy())
        }
    };
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    client(access)
        .fold(builder, |builder, (key, value)| {
            builder.with_config(GoogleConfigKey::Client(key), value)
        })
        .with_bucket_name(bucket)
        .with_retry(retry)
        .build()
}

fn azure(container: &str, access: &BucketAccess, retry: RetryConfig) -> Result<MicrosoftAzure> {
    let mut builder = match &access.azure {
        None => MicrosoftAzureBuilder::from_env(),
        Some(AzureSecret::AccountKey(key)) => {
            MicrosoftAzureBuilder::new().with_access_key(key.expose())
        }
        Some(AzureSecret::SasToken(token)) => {
            let token = token.expose().trim_start_matches('?');
            MicrosoftAzureBuilder::new().with_config(AzureConfigKey::SasKey, token)
        }
    };
    if let Some(account) = &access.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    client(access)
        .fold(builder, |builder, (key, value)| {
            builder.with_config(AzureConfigKey::Client(key), value)
        })
        .with_container_name(container)
        .with_retry(retry)
        .build()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the builders were given may be a secret
        write!(f, "Connection({})", self.objects)
    }
}
