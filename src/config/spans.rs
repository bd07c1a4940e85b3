//! Where things stand in the text: a tree built from the parser's events, looked up by JSON pointer.

use std::{collections::HashMap, ops::Range};

use saphyr_parser::{Event, Parser, Span};

use super::finding::Finding;

/// Deeper nesting is refused before anything else reads the text.
const MAX_DEPTH: usize = 64;

/// More values than any settings have: aliases cannot be used to fill the memory.
const MAX_NODES: usize = 100_000;

/// What of a mapping's entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// The key.
    Key,
    /// The value.
    Value,
    /// A mapping as a whole: its first key, or the key that owns it.
    Head,
}

#[derive(Debug, Clone)]
enum Kind {
    Leaf,
    Sequence(Vec<usize>),
    Mapping(Vec<Entry>),
    Alias(usize),
}

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    place: Range<usize>,
    value: usize,
}

/// Places in a text, in bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    nodes: Vec<(Range<usize>, Kind)>,
}

/// A container whose end has not come yet, with a key that waits for its value.
struct Open {
    node: usize,
    key: Option<(String, Range<usize>)>,
}

impl Index {
    /// Reads the events of `text`. The findings are what no parser after it may see (`fatal`) and
    /// what it would pass over in silence, such as keys that are set twice.
    pub(super) fn build(text: &str) -> (Self, Vec<Finding>, bool) {
        let mut builder = Builder::new(text);
        let mut fatal = false;
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => {
                    if let Err(finding) = builder.event(event, span) {
                        builder.findings.push(*finding);
                        fatal = true;
                        break;
                    }
                }
                Err(error) => {
                    let at = builder.byte(error.marker().index());
                    let message = format!("this is no YAML: {}", error.info());
                    builder
                        .findings
                        .push(Finding::in_text(at..at, message, None));
                    fatal = true;
                    break;
                }
            }
        }
        (builder.index, builder.findings, fatal)
    }

    /// The place of the key or the value at a JSON pointer, or `None` where the text has none.
    pub(super) fn find(&self, pointer: &str, at: At) -> Option<Range<usize>> {
        let (mut node, mut place) = (0, self.nodes.first()?.0.clone());
        for segment in segments(pointer) {
            node = self.target(node);
            (node, place) = match &self.nodes[node].1 {
                Kind::Sequence(list) => {
                    let child = *list.get(segment.parse::<usize>().ok()?)?;
                    (child, self.nodes[child].0.clone())
                }
                Kind::Mapping(entries) => {
                    // The last one wins, as in the parser
                    let entry = entries.iter().rev().find(|e| e.key == segment)?;
                    let value = self.nodes[entry.value].0.clone();
                    let place = if at == At::Value {
                        value
                    } else {
                        entry.place.clone()
                    };
                    (entry.value, place)
                }
                Kind::Leaf | Kind::Alias(_) => return None,
            };
        }
        if at == At::Head && ends_in_number(pointer) {
            return Some(self.first_key(node).unwrap_or(place));
        }
        Some(place)
    }

    /// The place of the nearest parent that the text has.
    pub(super) fn find_nearest(&self, pointer: &str, at: At) -> Range<usize> {
        let mut pointer = pointer;
        let mut at = at;
        loop {
            if let Some(place) = self.find(pointer, at) {
                return place;
            }
            let Some((parent, _)) = pointer.rsplit_once('/') else {
                return 0..0;
            };
            pointer = parent;
            at = At::Head;
        }
    }

    /// Places of all scalars whose pointer passes the test.
    pub(super) fn scalars(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut open = vec![(0, String::new())];
        while let Some((node, pointer)) = open.pop() {
            match self.nodes.get(node) {
                Some((place, Kind::Leaf)) if wanted(&pointer) => found.push(place.clone()),
                Some((_, Kind::Sequence(list))) => open.extend(
                    list.iter()
                        .enumerate()
                        .map(|(n, child)| (*child, format!("{pointer}/{n}"))),
                ),
                Some((_, Kind::Mapping(entries))) => open.extend(
                    entries
                        .iter()
                        .map(|e| (e.value, format!("{pointer}/{}", escape(&e.key)))),
                ),
                _ => {}
            }
        }
        found
    }

    fn target(&self, mut node: usize) -> usize {
        // An alias names an earlier node, so this ends
        while let Kind::Alias(to) = self.nodes[node].1 {
            node = to;
        }
        node
    }

    fn first_key(&self, node: usize) -> Option<Range<usize>> {
        match &self.nodes[self.target(node)].1 {
            Kind::Mapping(entries) => entries.first().map(|e| e.place.clone()),
            _ => None,
        }
    }
}

struct Builder {
    /// Where each character begins: the parser counts characters.
    bytes: Vec<usize>,
    index: Index,
    open: Vec<Open>,
    anchors: HashMap<usize, usize>,
    documents: usize,
    findings: Vec<Finding>,
}

impl Builder {
    fn new(text: &str) -> Self {
        let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        bytes.push(text.len());
        Self {
            bytes,
            index: Index::default(),
            open: Vec::new(),
            anchors: HashMap::new(),
            documents: 0,
            findings: Vec::new(),
        }
    }

    fn byte(&self, character: usize) -> usize {
        self.bytes[character.min(self.bytes.len() - 1)]
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Finding>> {
        let place = self.byte(span.start.index())..self.byte(span.end.index());
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.node(place, Kind::Leaf, anchor, Some(text.into_owned()))
            }
            Event::SequenceStart(anchor, _) => {
                self.node(place, Kind::Sequence(Vec::new()), anchor, None)
            }
            Event::MappingStart(anchor, _) => {
                self.node(place, Kind::Mapping(Vec::new()), anchor, None)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).copied() {
                Some(to) => self.node(place, Kind::Alias(to), 0, None),
                None => Err(Box::new(Finding::in_text(
                    place,
                    "this alias names nothing",
                    None,
                ))),
            },
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let range = &mut self.index.nodes[open.node].0;
                    range.end = place.end.max(range.start);
                }
                Ok(())
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents < 2 {
                    return Ok(());
                }
                let hint = "put each job into a file of its own";
                Err(Box::new(Finding::in_text(
                    place,
                    "a second document begins here, and one file holds one",
                    Some(hint.to_owned()),
                )))
            }
            _ => Ok(()),
        }
    }

    fn node(
        &mut self,
        place: Range<usize>,
        kind: Kind,
        anchor: usize,
        text: Option<String>,
    ) -> Result<(), Box<Finding>> {
        let id = self.index.nodes.len();
        if id >= MAX_NODES || self.open.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} levels or {MAX_NODES} values");
            return Err(Box::new(Finding::in_text(place, message, None)));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        let opens = matches!(kind, Kind::Sequence(_) | Kind::Mapping(_));
        self.index.nodes.push((place.clone(), kind));
        if let Some(parent) = self.open.last_mut() {
            match &mut self.index.nodes[parent.node].1 {
                Kind::Sequence(list) => list.push(id),
                Kind::Mapping(entries) => match parent.key.take() {
                    None => parent.key = Some((text.unwrap_or_default(), place)),
                    Some((key, place)) => {
                        if entries.iter().any(|e| e.key == key) {
                            let hint = "remove one of the two".to_owned();
                            let message = format!("`{key}` is set twice");
                            self.findings.push(Finding::in_text(
                                place.clone(),
                                message,
                                Some(hint),
                            ));
                        }
                        entries.push(Entry {
                            key,
                            place,
                            value: id,
                        });
                    }
                },
                Kind::Leaf | Kind::Alias(_) => {}
            }
        }
        if opens {
            self.open.push(Open {
                node: id,
                key: None,
            });
        }
        Ok(())
    }
}

/// The parts of a JSON pointer, unescaped.
fn segments(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer
        .split('/')
        .skip(1)
        .map(|s| s.replace("~1", "/").replace("~0", "~"))
}

/// A key as a part of a JSON pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn ends_in_number(pointer: &str) -> bool {
    match pointer.rsplit_once('/') {
        Some((_, last)) => last.parse::<usize>().is_ok(),
        None => true,
    }
}
