//! Names that people and visitors choose: whatever they hold, the mail is readable and they are text.

use std::fs;

use serde_json::json;

use super::{
    super::{Digest, Template, slack},
    check, golden, list, normal, render,
};

#[test]
fn names_from_the_right_pictures_and_long_paths_keep_the_layout() {
    let mut context = normal();
    context["website"]["name"] = json!("متجر أكمي 🎉");
    let long = format!(
        "/blog/{}/the-end?utm={}",
        "very-long-".repeat(60),
        "x".repeat(900)
    );
    let q = &mut context["q"];
    q["pages"] = list(
        "name",
        &[("/مرحبا/عالم", 300), (&long, 200), ("/🚀/launch", 100)],
        &[(&long, 20)],
    );
    let mail = check("names", "weekly", &context);
    assert!(
        mail.subject
            .starts_with("\u{2068}متجر أكمي 🎉\u{2069}: 1,219"),
        "{}",
        mail.subject
    );
    assert!(mail.html.contains("<bdi>متجر أكمي 🎉</bdi>") && mail.html.contains("…"));
    assert!(
        !mail.html.contains(&format!(">{long}<")),
        "the path is cut where it is shown"
    );
    assert!(
        mail.html.contains("/the-end?utm=xxx"),
        "and whole in its link"
    );
}

#[test]
fn a_chart_has_ranks_for_the_names_that_its_font_lacks_and_the_mail_has_the_names() {
    let mut context = normal();
    let names = [
        ("/價格/專業版", 300),
        ("/pricing", 210),
        ("/مرحبا/عالم", 180),
        ("🚀", 90),
        ("/o\u{30b}/b<b>", 40),
    ];
    context["q"]["pages"] = list("name", &names, &[]);
    let project = tempfile::tempdir().unwrap();
    let own = project.path().join("weekly");
    fs::create_dir(&own).unwrap();
    fs::write(
        own.join("body.html"),
        "{% extends \"weekly/body.html\" %}{% block main %}<tr><td>{{ bar_chart(rows=top(query=q.pages), title=\"Pages\") }}</td></tr>{% endblock %}",
    )
    .unwrap();
    let template = Template::load(project.path(), "weekly").unwrap();
    let mail = template.render(&context).unwrap();
    golden("scripts.png", &mail.images[0].png);
    let key = "1. <bdi>/價格/專業版</bdi><br>3. <bdi>/مرحبا/عالم</bdi><br>4. <bdi>🚀</bdi><br>5. <bdi>/o\u{30b}/b&lt;b&gt;</bdi></div>";
    assert!(mail.html.contains(key), "{}", mail.html);
    assert!(
        mail.images[0]
            .alt
            .starts_with("Pages: 1. /價格/專業版 300, /pricing 210, 3. /مرحبا/عالم 180, 4. 🚀 90")
    );
}

#[test]
fn marks_that_turn_text_around_are_no_part_of_a_name() {
    let mut context = normal();
    let turned = |name: &str| format!("\u{202e}{name}\u{2067}\u{202b}");
    context["website"]["name"] = json!(turned("Acme"));
    let q = &mut context["q"];
    let page = turned("/pricing");
    q["pages"] = list("name", &[(&page, 300)], &[(&page, 3)]);
    let source = format!("https://{}", turned("hn.test"));
    q["traffic"] = list("source", &[(&source, 900)], &[("https://", 3)]);
    q["events"] = list("name", &[(&turned("signup"), 42)], &[]);
    q["countries"]["failed"] = json!(turned("timeout"));
    let mail = render("weekly", &context);
    let digest = Digest::of(&context);
    let message = slack(&digest, &mail.subject).to_string();
    let digest = serde_json::to_string(&digest).unwrap();
    let is_turning = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    for part in [
        &mail.subject,
        &mail.preheader,
        &mail.html,
        &mail.text,
        &message,
        &digest,
    ] {
        assert!(!part.contains(is_turning), "{part}");
        assert!(part.contains("Acme") || part.contains("hn.test"), "{part}");
    }
    assert!(mail.html.contains("<title>Acme</title>"));
    assert!(
        mail.images
            .iter()
            .all(|image| !image.alt.contains(is_turning))
    );
}

#[test]
fn what_visitors_send_is_text_and_never_markup_or_a_header() {
    let mut context = normal();
    context["website"]["name"] = json!("<script>alert(1)</script>\r\nBcc: all@evil.test");
    let q = &mut context["q"];
    let path = "/x\"><script>alert(2)</script>";
    q["pages"] = list("name", &[(path, 300), ("{{ 7 * 7 }}", 90)], &[(path, 3)]);
    q["traffic"] = list(
        "source",
        &[("https://<img src=x onerror=alert(3)>", 900)],
        &[("https://", 3)],
    );
    let mail = check("script", "weekly", &context);
    assert_eq!(
        mail.subject,
        "<script>alert(1)</script> Bcc: all@evil.test: 1,219 visitors last week (+14%)"
    );
    assert!(mail.html.contains("&lt;script&gt;alert(2)") && !mail.html.contains("<img src=x"));
    assert!(mail.html.contains("{{ 7 * 7 }}"), "data are no template");
    assert!(
        mail.text.lines().next().unwrap().contains("Bcc"),
        "the name is one line of the text part"
    );
}

#[test]
fn what_a_channel_could_take_for_markup_is_a_name_in_it() {
    let mut context = normal();
    context["website"]["name"] = json!("*Acme* _&_ `y` <!channel> <https://evil.test|here> :x:");
    let path = "/*bold*_it_~x~`code`<!here>&amp;:tada:";
    context["q"]["pages"] = list("name", &[(path, 300), ("/b", 90)], &[(path, 3)]);
    context["q"]["blog_posts"] = list("path", &[("/blog/_a_", 12)], &[]);
    let mail = check("markup", "weekly", &context);
    let message = slack(&Digest::of(&context), &mail.subject).to_string();
    assert!(
        message.contains("`/*bold*_it_~x~'code'&lt;!here&gt;&amp;amp;:tada:`"),
        "{message}"
    );
    assert!(
        message.contains("*blog_posts*\\n• 12  `/blog/_a_`"),
        "{message}"
    );
    let calls = message.matches("<!channel>").count();
    let plain = message.matches("\"plain_text\",\"text\":\"*Acme*").count();
    assert_eq!((calls, plain), (1, 1), "{message}");
}
