//! Reads Prometheus' text format, and asks the web server over a plain socket.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A sample: its name, its labels, its value.
pub type Sample = (String, BTreeMap<String, String>, f64);

/// One scrape.
pub struct Scrape {
    samples: Vec<Sample>,
    types: Vec<(String, String)>,
}

impl Scrape {
    pub fn parse(text: &str) -> Scrape {
        let mut scrape = Scrape { samples: Vec::new(), types: Vec::new() };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                scrape.types.push((name.into(), kind.into()));
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let pairs = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
                let labels = pairs.map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap();
                    (key.to_owned(), value.trim_matches('"').to_owned())
                });
                scrape.samples.push((name.into(), labels.collect(), value.parse().unwrap()));
            }
        }
        scrape
    }

    /// The sum over all series that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |sample: &&Sample| {
            sample.0 == name && labels.iter().all(|(key, value)| sample.1.get(*key).is_some_and(|given| given == value))
        };
        self.samples.iter().filter(wanted).map(|sample| sample.2).sum()
    }

    /// Whether any series of that name is not zero.
    pub fn any(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.0 == name && sample.2 != 0.0)
    }

    /// The types declared for that name.
    pub fn types(&self, name: &str) -> Vec<&str> {
        self.types.iter().filter(|(known, _)| known == name).map(|(_, kind)| kind.as_str()).collect()
    }

    /// Names declared.
    pub fn families(&self) -> usize {
        self.types.len()
    }

    /// Each set of label names, without `le`, that a metric's samples have.
    pub fn label_names(&self, name: &str) -> BTreeSet<Vec<&str>> {
        let of = |sample: &Sample| {
            sample.0.strip_prefix(name).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        let names = self.samples.iter().filter(|sample| of(sample));
        names.map(|sample| sample.1.keys().map(String::as_str).filter(|key| *key != "le").collect()).collect()
    }
}

/// `GET path`: the status and the body.
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n{token}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// `GET path` of JSON.
pub fn json(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let (status, body) = get(address, path, None);
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}
