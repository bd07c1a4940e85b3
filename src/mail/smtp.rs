//! A mail server: its URL, and connections to it.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use lettre::{
    Message as Mime,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        extension::ClientId,
    },
};
use url::Url;

use super::{
    Failure,
    session::{Age, Outcome, Sent, hand_over},
};

/// The longest wait for one answer. Source: RFC 5321, 4.5.3.2, asks for 5 minutes at most commands.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The longest wait for the answer to a whole message. Source: RFC 5321, 4.5.3.2.6: an early end makes doubles.
const TIMEOUT_OF_MESSAGE: Duration = Duration::from_secs(600);

/// How long a server may take to say goodbye.
const LEAVE: Duration = Duration::from_secs(5);

/// How long a server may be silent. lettre waits for ever, once it is connected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// After a command.
    pub(super) answer: Duration,
    /// After a whole message.
    pub(super) message: Duration,
}

/// A mail server and how to talk to it.
pub struct Server {
    host: String,
    port: u16,
    security: Security,
    login: Option<Credentials>,
    patience: Patience,
    /// Connections between two messages.
    idle: Mutex<Vec<Idle>>,
}

/// A connection that waits for a message.
struct Idle {
    connection: AsyncSmtpConnection,
    age: Age,
}

/// When a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// From the first byte (`smtps://`).
    Implicit,
    /// After STARTTLS, or not at all.
    Required,
    /// After STARTTLS, where the server offers it.
    Opportunistic,
    /// Never.
    None,
}

pub(super) type Failed = (Failure, String);

impl Server {
    /// Reads `smtp://user:password@host:port?tls=required|opportunistic|none` or `smtps://…`. Where
    /// there is a password for another machine, `smtp://` requires STARTTLS unless `tls` says otherwise.
    /// `timeout` is how many seconds the server may be silent.
    pub(super) fn from_url(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let host = url.host_str().ok_or("it names no host")?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let ip = host.parse::<IpAddr>();
        let is_here = ip.map_or(host == "localhost", |ip| ip.is_loopback());
        let tls = url.query_pairs().find(|(key, _)| key == "tls");
        let tls = tls.map(|(_, value)| value.into_owned());
        let patience = patience(&url)?;
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) => return Err("it has a user without a password".to_owned()),
            (user, Some(password)) => Some(Credentials::new(decode(user)?, decode(password)?)),
        };
        let security = match (url.scheme(), tls.as_deref()) {
            ("smtps", _) => Security::Implicit,
            (_, Some("required")) => Security::Required,
            (_, Some("opportunistic")) => Security::Opportunistic,
            (_, Some("none")) => Security::None,
            (_, Some(other)) => {
                return Err(format!(
                    "`tls={other}` is none of required, opportunistic, none"
                ));
            }
            (_, None) if login.is_some() && !is_here => Security::Required,
            (_, None) => Security::Opportunistic,
        };
        let port = match (url.port(), security, &login) {
            (Some(port), _, _) => port,
            (None, Security::Implicit, _) => 465,
            (None, Security::Required, _) | (None, _, Some(_)) => 587,
            (None, _, None) => 25,
        };
        Ok(Self {
            host,
            port,
            security,
            login,
            patience,
            idle: Mutex::default(),
        })
    }

    /// Hands a message over to the server; the places of the recipients that were refused, where at
    /// least one was not; with `partly` also those that were refused for now. The connection of the last
    /// message is used again, as long as it lasts.
    pub(super) async fn send(&self, mime: &Mime, partly: bool) -> Outcome {
        let idle = self.idle().pop();
        if let Some(idle) = idle {
            let sent = hand_over(idle.connection, mime, self.patience, idle.age, partly).await;
            if !sent.is_stale() {
                return self.keep(sent);
            }
            // It ended while nobody used it, surely before this message: a new one
        }
        let connection = self.connect().await?;
        self.keep(hand_over(connection, mime, self.patience, Age::New, partly).await)
    }

    /// Connects and logs in, unless a connection waits for the next message.
    pub(super) async fn ready(&self) -> Result<(), Failed> {
        if self.idle().is_empty() {
            let connection = self.connect().await?;
            self.idle().push(Idle {
                connection,
                age: Age::Waited,
            });
        }
        Ok(())
    }

    /// Whether a connection waits for the next message.
    pub(super) fn is_ready(&self) -> bool {
        !self.idle().is_empty()
    }

    /// Takes leave of the server.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for idle in idle {
            leave(idle.connection, self.patience).await;
        }
    }

    fn keep(&self, sent: Sent) -> Outcome {
        let (connection, result) = sent.into_parts();
        self.idle().extend(connection.map(|connection| Idle {
            connection,
            age: Age::Used,
        }));
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().expect("nothing panics while it is held")
    }

    /// Connects and logs in, and sends nothing.
    pub(super) async fn probe(&self) -> Result<(), Failed> {
        leave(self.connect().await?, self.patience).await;
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failed> {
        let name = ClientId::default();
        let address = (self.host.as_str(), self.port);
        let tls = || TlsParameters::new(self.host.clone()).map_err(|e| self.unusable("TLS", &e));
        let implicit = match self.security {
            Security::Implicit => Some(tls()?),
            _ => None,
        };
        let answer = self.patience.answer;
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(answer), &name, implicit, None);
        let connected = self.in_time("the greeting", connecting).await?;
        let mut connection = connected.map_err(|error| self.unreachable(&error))?;
        let offers = connection.can_starttls();
        match self.security {
            Security::Required | Security::Opportunistic if offers => {
                let upgrading = connection.starttls(tls()?, &name);
                let upgraded = self.in_time("STARTTLS", upgrading).await?;
                upgraded.map_err(|e| self.unusable("STARTTLS", &e))?;
            }
            Security::Required => {
                let why = format!(
                    "the mail server {}:{} offers no encryption (STARTTLS): use smtps://, or add ?tls=none to `mail.url`",
                    self.host, self.port
                );
                return Err((Failure::Settings, why));
            }
            Security::Implicit | Security::Opportunistic | Security::None => {}
        }
        if let Some(login) = &self.login {
            let kinds = [Mechanism::Plain, Mechanism::Login];
            let done = self.in_time("the login", connection.auth(&kinds, login));
            done.await?
                .map_err(|error| self.unusable("the login", &error))?;
        }
        Ok(connection)
    }

    /// Of a server that falls silent before a message, nothing is known but that it got none.
    async fn in_time<T>(&self, step: &str, asked: impl Future<Output = T>) -> Result<T, Failed> {
        let answer = self.patience.answer;
        tokio::time::timeout(answer, asked).await.map_err(|_| {
            let why = format!(
                "the mail server {}:{} did not answer at {step} within {} s",
                self.host,
                self.port,
                answer.as_secs()
            );
            (Failure::NotYet, why)
        })
    }

    fn unreachable(&self, error: &Error) -> Failed {
        if error.is_tls() || is_certificate(error) {
            return self.unusable("TLS", error);
        }
        let why = format!(
            "the mail server {}:{} cannot be reached: {}",
            self.host,
            self.port,
            chain(error)
        );
        (Failure::NotYet, why)
    }

    /// A step before the message failed: for good, unless the server says that it passes, or is gone.
    fn unusable(&self, step: &str, error: &Error) -> Failed {
        let is_wrong = error.is_permanent() || error.is_client() || error.is_tls();
        let failure = if is_wrong || is_certificate(error) {
            Failure::Settings
        } else {
            Failure::NotYet
        };
        let why = format!(
            "{step} failed at the mail server {}:{}: {}; check `mail.url`",
            self.host,
            self.port,
            chain(error)
        );
        (failure, why)
    }
}

/// Every message is the server's already: how the connection ends changes nothing.
async fn leave(mut connection: AsyncSmtpConnection, patience: Patience) {
    let most = patience.answer.min(LEAVE);
    let _ = tokio::time::timeout(most, connection.quit()).await;
}

/// Ends a connection that is of no more use.
pub(super) async fn abort(mut connection: AsyncSmtpConnection, patience: Patience) {
    let most = patience.answer.min(LEAVE);
    let _ = tokio::time::timeout(most, connection.abort()).await;
}

fn patience(url: &Url) -> Result<Patience, String> {
    let Some((_, text)) = url.query_pairs().find(|(key, _)| key == "timeout") else {
        return Ok(Patience {
            answer: TIMEOUT,
            message: TIMEOUT_OF_MESSAGE,
        });
    };
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (1..=3600).contains(seconds));
    let seconds =
        seconds.ok_or_else(|| format!("`timeout={text}` is no number of seconds, 1 to 3600"))?;
    Ok(Patience {
        answer: Duration::from_secs(seconds),
        message: Duration::from_secs(seconds),
    })
}

/// lettre reports a certificate that is not trusted as a connection that failed.
fn is_certificate(error: &Error) -> bool {
    chain(error).to_lowercase().contains("certificate")
}

pub(super) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn decode(text: &str) -> Result<String, String> {
    let pair = format!("x={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    let (_, value) = decoded.ok_or("its user or password cannot be read")?;
    Ok(value.into_owned())
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        Server::from_url(url).unwrap()
    }

    #[test]
    fn a_password_for_another_machine_is_never_sent_in_the_clear_by_itself() {
        for (url, port, security) in [
            ("smtp://ann:x@mail.example.org", 587, Security::Required),
            ("smtp://ann:x@127.0.0.1", 587, Security::Opportunistic),
            ("smtp://relay.example.org", 25, Security::Opportunistic),
            ("smtps://ann:x@mail.example.org", 465, Security::Implicit),
            (
                "smtp://ann:x@mail.example.org:2525?tls=none",
                2525,
                Security::None,
            ),
        ] {
            let server = server(url);
            assert_eq!((server.port, server.security), (port, security), "{url}");
        }
    }

    #[test]
    fn a_password_may_hold_any_letter_and_is_not_printed() {
        let server = server("smtp://ann%40x:p%2F+%C3%BC@mail.example.org");
        let expected = Credentials::new("ann@x".to_owned(), "p/+ü".to_owned());
        assert_eq!(server.login, Some(expected));
        assert!(!format!("{server:?}").contains("ann"));
    }

    #[test]
    fn a_url_that_cannot_be_used_says_why() {
        for (url, why) in [
            ("smtp://ann@mail.example.org", "without a password"),
            ("smtp://mail.example.org?tls=maybe", "`tls=maybe`"),
            ("smtp://mail.example.org?timeout=0", "`timeout=0`"),
        ] {
            assert!(Server::from_url(url).unwrap_err().contains(why), "{url}");
        }
    }
}
