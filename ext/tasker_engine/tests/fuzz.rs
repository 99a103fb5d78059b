//! The fuzz targets without libFuzzer: texts of the corpus, cut, joined and bent at random, for a few seconds each.
//! FUZZ_SECONDS says how many (5), FUZZ_SEED which ones (0 is any).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::panic::{catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Longer texts are cut.
const LONGEST: usize = 64 << 10;
/// What parsers find interesting.
const PIECES: &[&str] = &[
    "\0",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "é",
    "😀",
    "\\",
    "\"",
    "'",
    "\n",
    "\r\n",
    "\t",
    "  ",
    "%00",
    "%",
    "-",
    "--",
    ":",
    "?",
    "&",
    "=",
    "@",
    "/",
    "//",
    "#",
    "*a",
    "&a ",
    "<<: ",
    "!!str ",
    "| ",
    "> ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551616",
    "-9223372036854775809",
    ".inf",
    ".nan",
    "\\ud800",
    "\\u0000",
    "$ref",
    "0",
    "f",
    "00",
    "ff",
];

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A place of the text that is not inside a character.
fn place(rng: &mut SmallRng, text: &str) -> usize {
    let at = rng.random_range(0..=text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn bend(rng: &mut SmallRng, text: &mut String, corpus: &[Vec<u8>]) {
    let (from, to) = (place(rng, text), place(rng, text));
    let (from, to) = (from.min(to), from.max(to));
    match rng.random_range(0..6) {
        0 => text.insert_str(from, PIECES.choose(rng).unwrap()),
        1 => text.replace_range(from..to, PIECES.choose(rng).unwrap()),
        2 => text.replace_range(from..to, ""),
        3 => text.insert_str(to, &text[from..to].repeat(rng.random_range(1..4))),
        4 => {
            let other = String::from_utf8_lossy(corpus.choose(rng).unwrap());
            let (start, end) = (place(rng, &other), place(rng, &other));
            text.replace_range(from..to, &other[start.min(end)..start.max(end)]);
        }
        _ => {
            let character = char::from(rng.random_range(0..128u8));
            text.insert(from, character);
        }
    }
    text.truncate(place_before(text, LONGEST));
}

fn place_before(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn fuzz(target: &str) {
    let run = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let seed = match env("FUZZ_SEED", 0) {
        0 => rand::random(),
        seed => seed,
    };
    let (mut rng, corpus) = (SmallRng::seed_from_u64(seed), corpus(target));
    corpus.iter().for_each(|text| run(text));
    let (began, mut texts) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(env("FUZZ_SECONDS", 5)) {
        let mut text = String::from_utf8_lossy(corpus.choose(&mut rng).unwrap()).into_owned();
        for _ in 0..rng.random_range(1..6) {
            bend(&mut rng, &mut text, &corpus);
        }
        if let Err(panic) = catch_unwind(|| run(text.as_bytes())) {
            let file = std::env::temp_dir().join(format!("fuzz-{target}-{seed}"));
            std::fs::write(&file, &text).unwrap();
            eprintln!("{target}: seed {seed}; the text is in {}; put it into the corpus: {text:?}", file.display());
            resume_unwind(panic);
        }
        texts += 1;
    }
    println!("{target}: {texts} texts, seed {seed}");
}

#[test]
fn templates_are_read_or_refused() {
    fuzz("template");
}

#[test]
fn a_traceparent_is_read_or_ignored() {
    fuzz("traceparent");
}

#[test]
fn connection_strings_are_read_or_refused_and_keep_their_password() {
    fuzz("connection_string");
}

#[test]
fn what_comes_back_with_a_completion_is_read_or_refused() {
    fuzz("completion");
}
