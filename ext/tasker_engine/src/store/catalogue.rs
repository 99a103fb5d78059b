//! Owns: the templates this process knows, by number and by name. Shared by the store, which needs
//! them to load graphs, and by submission, which needs them to check requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::interrupt::lock;
use crate::template::Template;

/// A template with its number in the store.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The store's number.
    pub id: i64,
    /// The template.
    pub template: Arc<Template>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<i64, Arc<Template>>,
    by_name: HashMap<(Arc<str>, Arc<str>), Vec<Stored>>,
}

/// Every template this process has registered or read.
#[derive(Default)]
pub struct Catalogue(Mutex<Known>);

impl Catalogue {
    /// Adds a template. The one added last is its name's latest.
    pub fn add(&self, id: i64, template: Arc<Template>) {
        let mut known = lock(&self.0);
        known.by_id.insert(id, Arc::clone(&template));
        let key = (Arc::clone(&template.namespace), Arc::clone(&template.name));
        let versions = known.by_name.entry(key).or_default();
        versions.retain(|stored| stored.id != id);
        versions.push(Stored { id, template });
    }

    /// The template of that number.
    pub fn get(&self, id: i64) -> Option<Arc<Template>> {
        lock(&self.0).by_id.get(&id).cloned()
    }

    /// The latest template of that name, or the latest of that version.
    pub fn find(&self, namespace: &str, name: &str, version: Option<&str>) -> Option<Stored> {
        let known = lock(&self.0);
        let versions = known.by_name.get(&(Arc::from(namespace), Arc::from(name)))?;
        versions.iter().rev().find(|stored| version.is_none_or(|version| *stored.template.version == *version)).cloned()
    }

    /// `namespace/name` of every template, sorted, for error messages.
    pub fn names(&self) -> Vec<String> {
        let known = lock(&self.0);
        let mut names: Vec<String> =
            known.by_name.keys().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        names.sort();
        names
    }
}
