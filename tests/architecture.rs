//! Guards the floors of the house: no module imports from above or from a neighbour.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The floors, lowest first. Modules of one floor do not import each other, except within L1.
const FLOORS: [&[&str]; 7] = [
    &["clock", "secret"],
    &["domain"],
    &["plan", "table"],
    &[
        "config", "api", "export", "report", "mail", "notify", "store",
    ],
    &["engine"],
    &["web", "sandbox"],
    &["cli"],
];

/// An independent stand-in of the API: it may know the clock and secrets only.
const SANDBOX_MAY_IMPORT: [&str; 2] = ["clock", "secret"];

/// What L1 must not use: no async, no I/O, no arrow.
const NOT_IN_DOMAIN: [&str; 6] = ["tokio", "arrow", "reqwest", "sqlx", "std::fs", "std::net"];

fn source_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

fn module_of(file: &Path, src: &Path) -> String {
    let relative = file.strip_prefix(src).unwrap();
    let first = relative.components().next().unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Top-level modules that a source text names as `crate::x` or in `use crate::{x, y::z}`.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |s: &str| -> String {
        s.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in list.char_indices() {
                if start && depth == 0 && (c.is_alphabetic()) {
                    found.insert(word(&list[i..]));
                    start = false;
                }
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    _ => {}
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found
}

#[test]
fn no_module_imports_from_above_or_from_a_neighbour() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in source_files(&src) {
        let module = module_of(&file, &src);
        if module == "main" || module == "lib" {
            continue;
        }
        let shown = file.strip_prefix(&src).unwrap().display().to_string();
        let Some(floor) = floor_of(&module) else {
            wrong.push(format!("{shown}: `{module}` stands on no floor"));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for import in imports(&text) {
            let Some(other) = floor_of(&import) else {
                continue; // an item of a macro or of a doc text
            };
            if import != module && other >= floor {
                wrong.push(format!("{shown}: imports `{import}`"));
            }
            if module == "sandbox"
                && import != module
                && !SANDBOX_MAY_IMPORT.contains(&import.as_str())
            {
                wrong.push(format!("{shown}: the sandbox must not know `{import}`"));
            }
        }
        for forbidden in NOT_IN_DOMAIN {
            if module == "domain" && text.contains(&format!("{forbidden}::")) {
                wrong.push(format!("{shown}: the domain must not use `{forbidden}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_of_the_house_lists_modules_in_floor_order() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let floors: Vec<usize> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|name| floor_of(name.trim_end_matches(';')).expect("a module of the map has a floor"))
        .collect();
    assert!(!floors.is_empty());
    assert!(floors.is_sorted(), "{floors:?}");
}

#[test]
fn the_guard_sees_each_way_to_write_an_import() {
    let text = "use crate::{clock::Clock, domain::{job, run}, store};\nlet x = crate::api::f();";
    let expected = ["api", "clock", "domain", "store"];
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), expected);
}
