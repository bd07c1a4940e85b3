//! A digest as blocks of Slack. What comes from data stands in `plain_text` or between backquotes, where
//! Slack reads no markup, and its `<`, `>` and `&` are escaped, so that no path can call `<!channel>`.

use serde_json::{Value, json};

use super::{
    digest::{Digest, List, Site},
    filters::{cut, isolate},
    words::say,
};

/// Source: <https://docs.slack.dev/reference/block-kit/blocks>: blocks of a message.
const MOST_BLOCKS: usize = 50;

/// Letters of a text of a section.
const LONGEST_TEXT: usize = 3000;

/// Up to here a text of lines is filled: some room is left for what closes it.
const FULL_TEXT: usize = 2900;

/// Letters of a header.
const LONGEST_HEADER: usize = 150;

/// Letters of a name in a list.
const LONGEST_NAME: usize = 80;

/// Letters of what stands in the place of a list.
const LONGEST_REASON: usize = 300;

/// Texts of other websites' lines; further lines are counted.
const MOST_TEXTS: usize = 3;

/// The message of a digest: blocks, and a text for notifications and for receivers that know no blocks.
pub fn slack(digest: &Digest, subject: &str) -> Value {
    let mut blocks = vec![
        header(subject),
        context(std::slice::from_ref(&digest.window)),
    ];
    blocks.extend(
        digest
            .incomplete
            .as_deref()
            .map(|why| plain(&format!("⚠ {why}"))),
    );
    let is_bundle = digest.websites.len() + digest.others.len() > 1;
    for site in &digest.websites {
        if is_bundle {
            blocks.extend([json!({ "type": "divider" }), header(&site.name)]);
        }
        blocks.extend(site_blocks(site));
    }
    if !digest.others.is_empty() {
        blocks.extend([json!({ "type": "divider" }), header(&digest.others_title)]);
        blocks.extend(lines(digest));
    }
    blocks.extend(digest.files.iter().map(|file| plain(file)));
    blocks.truncate(MOST_BLOCKS - 1);
    blocks.push(context(&digest.notes));
    let headlines = digest.websites.iter().map(|site| site.headline.as_str());
    let lead = headlines.take(usize::from(!is_bundle));
    let text = [subject].into_iter().chain(lead);
    let text: Vec<&str> = text.filter(|line| !line.is_empty()).collect();
    json!({ "text": escape(&text.join("\n")), "mrkdwn": false, "blocks": blocks })
}

fn site_blocks(site: &Site) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !site.headline.is_empty() {
        blocks.push(plain(&site.headline));
    }
    blocks.extend(site.failed.as_deref().map(plain));
    let kpis: Vec<Value> = each(&site.kpis).map(kpi).collect();
    if !kpis.is_empty() {
        blocks.push(json!({ "type": "section", "fields": kpis }));
    }
    blocks.extend(titled(&site.moved_title, each(&site.moved).map(moved)));
    blocks.extend(site.lists.iter().filter_map(list));
    blocks.extend(titled(&site.health_title, each(&site.health).map(sign)));
    blocks
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn kpi(kpi: &Value) -> Value {
    let said = [text(&kpi["change"]["text"]), text(&kpi["verdict"])].into_iter();
    let said: Vec<&str> = said.filter(|words| !words.is_empty()).collect();
    let (label, value) = (text(&kpi["label"]), escape(text(&kpi["value"])));
    let words = format!("*{label}*\n{value}\n{}", escape(&said.join(" · ")));
    json!({ "type": "mrkdwn", "text": words.trim_end() })
}

fn moved(moved: &Value) -> String {
    let badge = match text(&moved["badge"]) {
        "" => String::new(),
        badge => format!(", {badge}"),
    };
    let (label, change) = (text(&moved["label"]), text(&moved["change"]["text"]));
    format!(
        "{label} {}: {}{badge}",
        code(text(&moved["name"])),
        escape(change)
    )
}

fn list(list: &List) -> Option<Value> {
    let row = |row: &Value| {
        let change = &row["change"];
        let change = [text(&change["arrow"]), text(&change["short"])].join(" ");
        let value = text(&row["shown"]);
        let line = format!(
            "{value}  {}  {}",
            code(text(&row["name"])),
            escape(change.trim())
        );
        line.trim_end().to_owned()
    };
    let instead = list.instead.iter();
    let instead = instead.map(|why| escape(&cut(&isolate(why), LONGEST_REASON)));
    titled(&list.title, instead.chain(each(&list.rows).map(row)))
}

fn sign(sign: &Value) -> String {
    let said = [text(&sign["change"]["text"]), text(&sign["verdict"])];
    let said = said.into_iter().find(|words| !words.is_empty());
    let value = escape(text(&sign["value"]));
    let line = format!(
        "{}: {value}  {}",
        text(&sign["label"]),
        escape(said.unwrap_or_default())
    );
    line.trim_end().to_owned()
}

/// A section of lines under a title; lines beyond its room are left out.
fn titled(title: &str, lines: impl Iterator<Item = String>) -> Option<Value> {
    // The job's own queries have its names for titles, which are plain words
    let mut all = format!("*{}*", escape(title));
    let empty = all.len();
    for line in lines {
        if all.chars().count() + line.chars().count() >= FULL_TEXT {
            break;
        }
        all += "\n• ";
        all += &line;
    }
    (all.len() > empty)
        .then(|| json!({ "type": "section", "text": { "type": "mrkdwn", "text": all } }))
}

/// The other websites as plain texts, as many as a few sections hold.
fn lines(digest: &Digest) -> Vec<Value> {
    let mut texts = vec![String::new()];
    let mut left = digest.others.len();
    for line in &digest.others {
        let line = cut(line, LONGEST_NAME * 2);
        let last = texts.last_mut().expect("there is one from the start");
        let has_room = last.chars().count() + line.chars().count() < FULL_TEXT;
        match (has_room, texts.len()) {
            (true, _) => {
                let last = texts.last_mut().expect("there is one from the start");
                last.push_str(&line);
                last.push('\n');
            }
            (false, count) if count < MOST_TEXTS => texts.push(line + "\n"),
            (false, _) => break,
        }
        left -= 1;
    }
    if left > 0 {
        let last = texts.last_mut().expect("there is one from the start");
        last.push_str(&say(digest.lang, "and_more", &[("n", &left.to_string())]));
    }
    let filled = texts.iter().map(|text| text.trim_end());
    filled.filter(|text| !text.is_empty()).map(plain).collect()
}

fn header(words: &str) -> Value {
    let words = cut(words, LONGEST_HEADER);
    json!({ "type": "header", "text": { "type": "plain_text", "text": words, "emoji": false } })
}

fn plain(words: &str) -> Value {
    let words = cut(words, LONGEST_TEXT);
    json!({ "type": "section", "text": { "type": "plain_text", "text": words, "emoji": false } })
}

fn context(lines: &[String]) -> Value {
    let plain = |line: &String| json!({ "type": "plain_text", "text": cut(line, LONGEST_TEXT), "emoji": false });
    json!({ "type": "context", "elements": lines.iter().map(plain).collect::<Vec<_>>() })
}

/// A name as code: one line, in which no sign means anything.
fn code(name: &str) -> String {
    let name = cut(&isolate(name), LONGEST_NAME).replace('`', "'");
    format!("`{}`", escape(&name))
}

/// Source: <https://docs.slack.dev/messaging/formatting-message-text>, "Escaping text".
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}
