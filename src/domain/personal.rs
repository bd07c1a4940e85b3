//! Columns that name people: they reach a lake only where a job says so.

/// Names of such columns, also behind other words (`session_user_agent`), in whatever spelling of words
/// (`userEmail`, `user-email`, `user.email`). Ids that the tracker makes up
/// (`anonymous_id`, `visitor_id`, `session_id`) name nobody by themselves and are not among them;
/// what lies inside nested values and `properties` is not looked at.
pub const PERSONAL_COLUMNS: [&str; 16] = [
    "address",
    "display_name",
    "email",
    "email_address",
    "first_name",
    "full_name",
    "ip",
    "ip_address",
    "last_name",
    "phone",
    "phone_number",
    "remote_addr",
    "user_agent",
    "user_email",
    "user_name",
    "username",
];

/// Columns that end like one of them and name nobody: the address of a probe that checks uptime.
const NOT_PERSONAL: [&str; 1] = ["probe_ip"];

/// Whether a column names people.
pub fn is_personal(column: &str) -> bool {
    let column = snake_case(column);
    if NOT_PERSONAL.contains(&column.as_str()) {
        return false;
    }
    PERSONAL_COLUMNS.iter().any(|name| {
        let before = column.strip_suffix(name);
        before.is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}

/// `clientIp` and `client.ip` as `client_ip`, `userID` as `user_id`.
fn snake_case(column: &str) -> String {
    let mut words = String::with_capacity(column.len() + 4);
    let mut was_lower = false;
    for letter in column.chars() {
        if letter.is_ascii_uppercase() && was_lower {
            words.push('_');
        }
        was_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        words.push(match letter {
            '-' | '.' | ' ' => '_',
            letter => letter.to_ascii_lowercase(),
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_alone_and_behind_other_words_in_each_spelling() {
        for column in [
            "email",
            "Email",
            "session_user_agent",
            "client_ip",
            "display_name",
            "userEmail",
            "user-email",
            "user.email",
            "clientIp",
            "clientIP",
            "phoneNumber",
            "EMAIL",
        ] {
            assert!(is_personal(column), "{column}");
        }
        for column in [
            "name",
            "path",
            "zip",
            "tooltip",
            "toolTip",
            "probeIp",
            "visitor_id",
            "probe_ip",
            "email_opens",
            "country",
        ] {
            assert!(!is_personal(column), "{column}");
        }
    }
}
