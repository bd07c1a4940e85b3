//! Every word that the embedded templates and the functions of templates write, in each language.
//!
//! Another language is a column here, and its numbers and days in `lang.rs`. `{name}` is replaced by
//! what the caller gives under that name.

use std::collections::BTreeSet;

use super::lang::Lang;

/// Key, and the words in the order of `LANGUAGES`.
#[rustfmt::skip]
const WORDS: &[(&str, [&str; 3])] = &[
    ("tag", ["en", "de", "fr"]),
    // How much
    ("count_visitors", ["{n} visitors", "{n} Besucher", "{n} visiteurs"]),
    ("count_visitors_one", ["{n} visitor", "{n} Besucher", "{n} visiteur"]),
    ("count_pageviews", ["{n} page views", "{n} Seitenaufrufe", "{n} pages vues"]),
    ("count_pageviews_one", ["{n} page view", "{n} Seitenaufruf", "{n} page vue"]),
    ("visitors", ["Visitors", "Besucher", "Visiteurs"]),
    ("pageviews", ["Page views", "Seitenaufrufe", "Pages vues"]),
    ("sessions", ["Sessions", "Sitzungen", "Sessions"]),
    ("bounce_rate", ["Bounce rate", "Absprungrate", "Taux de rebond"]),
    ("session_duration", ["Session duration", "Sitzungsdauer", "Durée de session"]),
    ("median_session_duration", ["Median session", "Sitzung (Median)", "Session médiane"]),
    ("avg_session_duration", ["Average session", "Sitzung (Mittel)", "Session moyenne"]),
    // How it changed
    ("up", ["up {n}", "plus {n}", "en hausse de {n}"]),
    ("down", ["down {n}", "minus {n}", "en baisse de {n}"]),
    ("same", ["no change", "unverändert", "inchangé"]),
    ("points", ["{n} points", "{n} Punkte", "{n} points"]),
    ("from_none", ["new: {n} from none", "neu: {n}, vorher keine", "nouveau : {n}, aucun avant"]),
    ("new", ["new", "neu", "nouveau"]),
    ("better", ["better", "besser", "mieux"]),
    ("worse", ["worse", "schlechter", "moins bien"]),
    ("new_in_top", ["new in the top", "neu in der Liste", "nouveau dans la liste"]),
    ("gone", ["gone from the top", "nicht mehr in der Liste", "sorti de la liste"]),
    // The window before, as it stands in a sentence
    ("before_day", ["the day before", "dem Tag davor", "à la veille"]),
    ("before_week", ["the week before", "der Woche davor", "à la semaine précédente"]),
    ("before_month", ["the month before", "dem Monat davor", "au mois précédent"]),
    ("before_days", ["the {n} days before", "den {n} Tagen davor", "aux {n} jours précédents"]),
    ("before_year", ["the same days last year", "denselben Tagen des Vorjahrs", "aux mêmes jours de l’an passé"]),
    // Legends of a chart
    ("now_day", ["This day", "Dieser Tag", "Ce jour"]),
    ("now_week", ["This week", "Diese Woche", "Cette semaine"]),
    ("now_month", ["This month", "Dieser Monat", "Ce mois"]),
    ("now_days", ["These days", "Diese Tage", "Ces jours"]),
    ("then_day", ["Day before", "Tag davor", "Veille"]),
    ("then_week", ["Week before", "Woche davor", "Semaine précédente"]),
    ("then_month", ["Month before", "Monat davor", "Mois précédent"]),
    ("then_days", ["Days before", "Tage davor", "Jours précédents"]),
    ("then_year", ["Last year", "Vorjahr", "L’an passé"]),
    // Sentences
    ("headline", ["{count}, {change} on {before}.", "{count}, {change} gegenüber {before}.", "{count}, {change} par rapport {before}."]),
    ("headline_gain", ["{count}, {change} on {before}; most of it from {driver}.", "{count}, {change} gegenüber {before}; das meiste davon über {driver}.", "{count}, {change} par rapport {before} ; l’essentiel vient de {driver}."]),
    ("headline_loss", ["{count}, {change} on {before}; most of the loss is from {driver}.", "{count}, {change} gegenüber {before}; das meiste davon fehlt von {driver}.", "{count}, {change} par rapport {before} ; l’essentiel de la baisse vient de {driver}."]),
    ("headline_same", ["{count}, as many as in {before}.", "{count}, unverändert gegenüber {before}.", "{count}, inchangé par rapport {before}."]),
    ("headline_from_none", ["{count}, from none in {before}.", "{count}; vorher waren es keine.", "{count} ; aucun auparavant."]),
    ("headline_first", ["{count}, with nothing to compare them with yet.", "{count}; zu vergleichen gibt es noch nichts.", "{count} ; rien à comparer pour l’instant."]),
    ("headline_plain", ["{count}.", "{count}.", "{count}."]),
    ("headline_zero", ["No visitors in these days.", "Keine Besucher an diesen Tagen.", "Aucun visiteur ces jours-ci."]),
    ("headline_zero_after", ["No visitors in these days; there were {n} before.", "Keine Besucher an diesen Tagen; davor waren es {n}.", "Aucun visiteur ces jours-ci ; il y en avait {n} auparavant."]),
    ("headline_failed", ["The numbers of this report could not be fetched.", "Die Zahlen dieses Berichts waren nicht zu bekommen.", "Les chiffres de ce rapport n’ont pas pu être obtenus."]),
    // Subjects
    ("subject_week", ["{site}: {count} last week", "{site}: {count} letzte Woche", "{site} : {count} la semaine dernière"]),
    ("subject_days", ["{site}: {count}, {label}", "{site}: {count}, {label}", "{site} : {count}, {label}"]),
    ("subject_quiet_week", ["{site}: quiet week ({count})", "{site}: ruhige Woche ({count})", "{site} : semaine calme ({count})"]),
    ("subject_quiet_days", ["{site}: quiet days ({count}), {label}", "{site}: ruhige Tage ({count}), {label}", "{site} : jours calmes ({count}), {label}"]),
    ("subject_bundle", ["{n} websites: {label}", "{n} Websites: {label}", "{n} sites : {label}"]),
    ("no_change_short", ["no change", "unverändert", "inchangé"]),
    ("no_numbers", ["no numbers", "keine Zahlen", "aucun chiffre"]),
    ("incomplete", ["[incomplete]", "[unvollständig]", "[incomplet]"]),
    // Sections
    ("a_day_visitors", ["Visitors a day", "Besucher am Tag", "Visiteurs par jour"]),
    ("a_day_pageviews", ["Page views a day", "Seitenaufrufe am Tag", "Pages vues par jour"]),
    ("day", ["Day", "Tag", "Jour"]),
    ("moved", ["What moved", "Was sich bewegt hat", "Ce qui a bougé"]),
    ("nothing_moved", ["Nothing stands out.", "Nichts fällt auf.", "Rien de notable."]),
    ("kind_page", ["Page", "Seite", "Page"]),
    ("kind_source", ["Source", "Quelle", "Source"]),
    ("kind_country", ["Country", "Land", "Pays"]),
    ("kind_device", ["Device", "Gerät", "Appareil"]),
    ("moved_from_to", ["from {before} to {now}", "von {before} auf {now}", "de {before} à {now}"]),
    ("top_pages", ["Top pages", "Meistbesuchte Seiten", "Pages les plus vues"]),
    ("top_sources", ["Top sources", "Wichtigste Quellen", "Principales sources"]),
    ("top_countries", ["Top countries", "Wichtigste Länder", "Principaux pays"]),
    ("devices", ["Devices", "Geräte", "Appareils"]),
    ("events", ["Events", "Ereignisse", "Événements"]),
    ("goals", ["Goals", "Ziele", "Objectifs"]),
    ("times", ["Times", "Anzahl", "Nombre"]),
    ("health", ["Health", "Zustand", "Santé"]),
    ("errors", ["JavaScript errors", "JavaScript-Fehler", "Erreurs JavaScript"]),
    ("needs_work", ["needs work", "verbesserungswürdig", "à améliorer"]),
    ("poor", ["poor", "schlecht", "mauvais"]),
    ("share", ["Share", "Anteil", "Part"]),
    ("change", ["Change", "Änderung", "Évolution"]),
    ("nothing", ["nothing in these days", "nichts an diesen Tagen", "rien ces jours-ci"]),
    ("failed", ["This section could not be fetched: {why}", "Dieser Teil war nicht zu bekommen: {why}", "Cette partie n’a pas pu être obtenue : {why}"]),
    ("is_incomplete", ["This report is incomplete; what is missing: {names}.", "Dieser Bericht ist unvollständig; es fehlt: {names}.", "Ce rapport est incomplet ; il manque : {names}."]),
    ("file_elsewhere", ["{name} is too large for a mail ({rows} rows). It lies here:", "{name} ist zu groß für eine Mail ({rows} Zeilen). Sie liegt hier:", "{name} est trop volumineux pour un e-mail ({rows} lignes). Il se trouve ici :"]),
    ("other_sites", ["The other websites", "Die übrigen Websites", "Les autres sites"]),
    ("direct", ["Direct", "Direkt", "Direct"]),
    ("own_pages", ["{domain} (own pages)", "{domain} (eigene Seiten)", "{domain} (pages du site)"]),
    ("unnamed", ["(none)", "(ohne)", "(aucun)"]),
    ("and_more", ["and {n} more", "und {n} weitere", "et {n} autres"]),
    // The end
    ("days_of", ["{zone} days", "Tage in {zone}", "jours {zone}"]),
    ("window", ["{start} to {end}, both inclusive, in {zone} days", "{start} bis {end}, beide eingeschlossen, Tage in {zone}", "du {start} au {end} inclus, jours {zone}"]),
    ("window_utc", ["in UTC: {from} to {to}", "in UTC: {from} bis {to}", "en UTC : de {from} à {to}"]),
    ("compared_with", ["Compared with {label}.", "Verglichen mit {label}.", "Comparé à {label}."]),
    ("as_of", ["Data as of {at}.", "Stand der Daten: {at}.", "Données au {at}."]),
    ("why", ["You get this because you are a recipient of the report “{report}” of the job “{job}” (run {run}).", "Sie bekommen dies als Empfänger des Berichts „{report}“ der Aufgabe „{job}“ (Lauf {run}).", "Vous recevez ce message en tant que destinataire du rapport « {report} » de la tâche « {job} » (exécution {run})."]),
    ("unsubscribe", ["Unsubscribe", "Abmelden", "Se désabonner"]),
];

/// The words of a key.
///
/// # Errors
/// There is no such key.
pub(super) fn words(lang: Lang, key: &str) -> Result<&'static str, String> {
    let found = WORDS.iter().find(|(name, _)| *name == key);
    found.map(|(_, words)| words[lang as usize]).ok_or_else(|| {
        let keys: Vec<_> = WORDS.iter().map(|(name, _)| *name).collect();
        format!("there are no words `{key}`: use one of {}", keys.join(", "))
    })
}

/// The words of a key that is ours, with their places filled.
pub(super) fn say(lang: Lang, key: &str, values: &[(&str, &str)]) -> String {
    fill(
        words(lang, key).expect("the key is in the table: a test reads them all"),
        values,
    )
}

/// The names of the places in words.
pub(super) fn places(words: &str) -> BTreeSet<&str> {
    words
        .split('{')
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0))
        .collect()
}

/// Puts values into their places. A value that holds a place of its own stays as it is.
pub(super) fn fill(words: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = words;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, tail) = after.split_once('}').unwrap_or((after, ""));
        if let Some((_, value)) = values.iter().find(|(key, _)| *key == name) {
            out.push_str(value);
        } else {
            out.extend(["{", name, "}"]);
        }
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_every_word_with_no_place_of_its_own() {
        for (key, columns) in WORDS {
            for (words, lang) in columns.iter().zip(super::super::lang::LANGUAGES) {
                assert!(!words.is_empty(), "{key} {lang}");
                assert!(places(words).is_subset(&places(columns[0])), "{key} {lang}");
            }
        }
        let keys: BTreeSet<_> = WORDS.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), WORDS.len(), "no key twice");
    }

    #[test]
    fn values_go_into_their_places_and_are_not_read_again() {
        let text = fill("{a} and {b}, {c}", &[("a", "{b}"), ("b", "2")]);
        assert_eq!(text, "{b} and 2, {c}");
        assert!(words(Lang::En, "hello").unwrap_err().contains("`hello`"));
    }
}
