//! Whom a report goes to: mail addresses as the job spells them, and labels of channels.

use lettre::message::Mailbox;

/// The recipients of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressees {
    /// The same for every website, at least one.
    All(Vec<String>),
    /// By website.
    ByWebsite {
        /// Patterns of ids or domains, each with its recipients.
        lists: Vec<(String, Vec<String>)>,
        /// Of websites that no pattern matches; `None`: there must be none.
        default: Option<Vec<String>>,
    },
}

/// The address alone, in lower case: what makes two recipients the same one. `None`: it is none.
pub fn address_of(text: &str) -> Option<String> {
    let mailbox = text.parse::<Mailbox>().ok()?;
    Some(mailbox.email.to_string().to_lowercase())
}

/// What the ledger knows a recipient by: the address, or a channel's label.
pub fn identity(recipient: &str) -> String {
    address_of(recipient).unwrap_or_else(|| recipient.trim().to_lowercase())
}

/// Whom one message goes to: one recipient, or with `together` all of `to`, `cc` and `bcc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients {
    /// At least one, as the job spells them.
    pub to: Vec<String>,
    /// Copies that everybody sees.
    pub cc: Vec<String>,
    /// Copies that nobody else sees.
    pub bcc: Vec<String>,
}

impl Addressees {
    /// Every recipient, as often as it is named.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let (plain, lists, default) = match self {
            Self::All(list) => (list.as_slice(), [].as_slice(), None),
            Self::ByWebsite { lists, default } => {
                ([].as_slice(), lists.as_slice(), default.as_ref())
            }
        };
        let of_lists = lists.iter().flat_map(|(_, list)| list);
        let all = plain
            .iter()
            .chain(of_lists)
            .chain(default.into_iter().flatten());
        all.map(String::as_str)
    }
}

impl Recipients {
    /// A message of one's own.
    pub fn one(address: &str) -> Self {
        Self {
            to: vec![address.to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
        }
    }

    /// Everybody who gets the message.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.to, &self.cc, &self.bcc];
        lists.into_iter().flatten().map(String::as_str)
    }

    /// Everybody, for people; of `bcc` too, so never in the message itself.
    pub fn in_words(&self) -> String {
        self.all().collect::<Vec<_>>().join(", ")
    }
}
