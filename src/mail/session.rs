//! SMTP, command by command: only so is it known whether a message was handed over when a
//! connection breaks. lettre's transport does not tell at which command that happened.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lettre::{
    Message as Mime,
    transport::smtp::{
        Error,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt, Rset},
        extension::{Extension, MailBodyParameter, MailParameter},
    },
};

use super::{
    Failure,
    smtp::{Failed, Patience, abort, chain},
};

/// "Service not available, closing transmission channel." Source: RFC 5321, 4.2.3.
const CLOSING: u16 = 421;

/// A recipient that was not taken, by place: for good or for now, and why.
pub(super) type NotTaken = (usize, Failed);

/// The recipients that were not taken; or why the message was not sent.
pub(super) type Outcome = Result<Vec<NotTaken>, Failed>;

/// How the commands of one message ended.
pub(super) enum Sent {
    /// The server said yes or no to it; the connection is good for another message.
    Answered(Box<AsyncSmtpConnection>, Outcome),
    /// The connection is of no more use.
    Ended(Failed),
    /// A connection that was used before was of no more use, before the server had anything of it.
    Stale(Failed),
}

impl Sent {
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Stale(_))
    }

    /// The connection for the next message, and what came of this one.
    pub(super) fn into_parts(self) -> (Option<AsyncSmtpConnection>, Outcome) {
        match self {
            Self::Answered(connection, result) => (Some(*connection), result),
            Self::Ended(failed) | Self::Stale(failed) => (None, Err(failed)),
        }
    }
}

/// What ended the commands of one message early.
enum Stop {
    /// An answer of the server, or a broken connection; before or after it had the whole message.
    Command(Error),
    /// No answer for so long, before the server had the whole message.
    Silent(Duration),
    /// The server lacks something.
    Lacks(&'static str),
    /// No recipient was taken; each answer in words.
    Nobody(Failure, String),
    /// The connection broke, or stood still, after the message's end was on its way; why in words.
    Lost(String),
}

/// What a connection has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It was made for this message.
    New,
    /// It was made before this message, and has carried none.
    Waited,
    /// It has carried others.
    Used,
}

/// Hands a message over. Until its last byte is sent, the server has nothing.
pub(super) async fn hand_over(
    mut connection: AsyncSmtpConnection,
    mime: &Mime,
    patience: Patience,
    age: Age,
    partly: bool,
) -> Sent {
    let stop = match commands(&mut connection, mime, patience, partly).await {
        Ok(refused) => return Sent::Answered(Box::new(connection), Ok(refused)),
        Err(stop) => stop,
    };
    let ends = stop.ends_connection();
    // Some servers take only so many messages over one connection, and say so in many ways; what one
    // answers to the first is about that
    let is_stale = match age {
        Age::New => false,
        Age::Waited => ends && stop.may_be_the_connection(),
        Age::Used => stop.may_be_the_connection(),
    };
    let failed = stop.into_failed();
    if ends || is_stale {
        abort(connection, patience).await;
        return if is_stale {
            Sent::Stale(failed)
        } else {
            Sent::Ended(failed)
        };
    }
    // What was begun for this message must not be part of the next one
    if ask(&mut connection, Rset, patience).await.is_ok() {
        return Sent::Answered(Box::new(connection), Err(failed));
    }
    abort(connection, patience).await;
    Sent::Ended(failed)
}

/// One command and its answer.
async fn ask(
    connection: &mut AsyncSmtpConnection,
    command: impl Display,
    patience: Patience,
) -> Result<(), Stop> {
    let answered = tokio::time::timeout(patience.answer, connection.command(command)).await;
    let answered = answered.map_err(|_| Stop::Silent(patience.answer))?;
    answered.map(drop).map_err(Stop::Command)
}

async fn commands(
    connection: &mut AsyncSmtpConnection,
    mime: &Mime,
    patience: Patience,
    partly: bool,
) -> Result<Vec<NotTaken>, Stop> {
    let bytes = mime.formatted();
    let envelope = mime.envelope();
    let options = options(connection, mime, &bytes)?;
    let sender = Mail::new(envelope.from().cloned(), options);
    ask(connection, sender, patience).await?;
    let mut refused = Vec::new();
    for (place, recipient) in envelope.to().iter().enumerate() {
        let recipient = Rcpt::new(recipient.clone(), Vec::new());
        match ask(connection, recipient, patience).await {
            Ok(()) => {}
            Err(Stop::Command(error)) if is_answer(&error) && !closes(&error) => {
                refused.push((place, (failure_of(error.is_transient()), not_taken(&error))));
            }
            Err(stop) => return Err(stop),
        }
    }
    // With several recipients a passing refusal of one holds the message back for all, unless it is
    // the last time: nobody has it yet, and all can have it a little later
    let passes = refused.iter().any(|(_, (f, _))| *f == Failure::NotYet);
    if refused.len() == envelope.to().len() || (passes && !partly) {
        return Err(nobody(mime, refused, passes));
    }
    ask(connection, Data, patience).await?;
    content(connection, &bytes, patience).await?;
    Ok(refused)
}

/// No recipient gets it; of several each that was not taken is named.
fn nobody(mime: &Mime, refused: Vec<NotTaken>, passes: bool) -> Stop {
    let all = mime.envelope().to();
    let answer = |(place, (_, why)): NotTaken| match all.len() {
        1 => why,
        _ => format!("{}: {why}", all[place]),
    };
    let answers: Vec<String> = refused.into_iter().map(answer).collect();
    Stop::Nobody(failure_of(passes), answers.join("; "))
}

fn failure_of(passes: bool) -> Failure {
    if passes {
        Failure::NotYet
    } else {
        Failure::Refused
    }
}

/// The message itself. The end of it is asked for only after all of it was written.
async fn content(
    connection: &mut AsyncSmtpConnection,
    bytes: &[u8],
    patience: Patience,
) -> Result<(), Stop> {
    let is_written = AtomicBool::new(false);
    let mut parts = std::iter::once(bytes);
    let parts = std::iter::from_fn(|| {
        let part = parts.next();
        is_written.store(part.is_none(), Ordering::Relaxed);
        part
    });
    let handed = connection.message_iter(parts);
    match tokio::time::timeout(patience.message, handed).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if is_answer(&error) || !is_written.load(Ordering::Relaxed) => {
            Err(Stop::Command(error))
        }
        Ok(Err(error)) => Err(Stop::Lost(chain(&error))),
        Err(_) if is_written.load(Ordering::Relaxed) => {
            Err(Stop::Lost(silent_for(patience.message)))
        }
        Err(_) => Err(Stop::Silent(patience.message)),
    }
}

/// What the server must be able to do for this message.
fn options(
    connection: &AsyncSmtpConnection,
    mime: &Mime,
    bytes: &[u8],
) -> Result<Vec<MailParameter>, Stop> {
    let supports = |extension| connection.server_info().supports_feature(extension);
    let envelope = mime.envelope();
    let mut addresses = envelope.to().iter().chain(envelope.from());
    let mut options = Vec::new();
    if addresses.any(|address| !address.to_string().is_ascii()) {
        if !supports(Extension::SmtpUtfEight) {
            return Err(Stop::Lacks(
                "the mail server takes no addresses with letters beyond ASCII",
            ));
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !bytes.is_ascii() && supports(Extension::EightBitMime) {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(options)
}

impl Stop {
    /// Whether the connection is broken, or the server ends it.
    fn ends_connection(&self) -> bool {
        match self {
            Self::Command(error) => !is_answer(error) || closes(error),
            Self::Silent(_) | Self::Lost(_) => true,
            Self::Lacks(_) | Self::Nobody(..) => false,
        }
    }

    /// Whether a new connection might do, and the server surely has nothing.
    fn may_be_the_connection(&self) -> bool {
        match self {
            Self::Command(error) => !error.is_permanent(),
            Self::Silent(_) => true,
            _ => false,
        }
    }

    fn into_failed(self) -> Failed {
        match self {
            Self::Command(error) if error.is_permanent() => (Failure::Refused, not_taken(&error)),
            Self::Command(error) => (Failure::NotYet, not_taken(&error)),
            Self::Silent(time) => (Failure::NotYet, silent_for(time)),
            Self::Lacks(what) => (Failure::Refused, what.to_owned()),
            Self::Nobody(failure, why) => (failure, why),
            Self::Lost(why) => {
                let why =
                    format!("the connection was lost after the message was handed over: {why}");
                (Failure::Unknown, why)
            }
        }
    }
}

/// Whether the server answered, with a no.
fn is_answer(error: &Error) -> bool {
    error.is_permanent() || error.is_transient()
}

fn closes(error: &Error) -> bool {
    error
        .status()
        .is_some_and(|code| u16::from(code) == CLOSING)
}

fn silent_for(time: Duration) -> String {
    format!("the mail server did not answer within {} s", time.as_secs())
}

fn not_taken(error: &Error) -> String {
    format!("the mail server did not take it: {}", chain(error))
}
