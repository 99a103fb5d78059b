//! Owns: the templates this process knows, by number and by name. Shared by the store, which needs
//! them to load graphs, and by submission, which needs them to check requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use super::Observer;
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

/// The templates of one name, the latest last: first those read from the store, by number, then those
/// registered in this process, by when they were.
#[derive(Default)]
struct Versions {
    read: BTreeMap<i64, Arc<Template>>,
    registered: Vec<Stored>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<i64, Arc<Template>>,
    by_name: HashMap<(Arc<str>, Arc<str>), Versions>,
}

impl Known {
    fn versions(&mut self, template: &Template) -> &mut Versions {
        self.by_name.entry((Arc::clone(&template.namespace), Arc::clone(&template.name))).or_default()
    }
}

/// Every template this process has registered or read.
pub struct Catalogue {
    known: Mutex<Known>,
    observer: Arc<dyn Observer>,
}

impl Default for Catalogue {
    fn default() -> Catalogue {
        Catalogue::new(Arc::new(()))
    }
}

impl Catalogue {
    /// None yet. `observer` is told of every look, and of what a store that is opened with it has to say.
    pub fn new(observer: Arc<dyn Observer>) -> Catalogue {
        Catalogue { known: Mutex::default(), observer }
    }

    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.observer)
    }

    /// Adds a template that this process registers. The one registered last is its name's latest.
    pub fn add(&self, id: i64, template: Arc<Template>) {
        let mut known = lock(&self.known);
        known.by_id.insert(id, Arc::clone(&template));
        let versions = known.versions(&template);
        versions.registered.retain(|stored| stored.id != id);
        versions.registered.push(Stored { id, template });
    }

    /// Adds a template that was found in the store. It is never later than one registered here: an old
    /// task that is carried out does not bring its version back.
    pub fn add_read(&self, id: i64, template: Arc<Template>) {
        let mut known = lock(&self.known);
        known.by_id.insert(id, Arc::clone(&template));
        known.versions(&template).read.insert(id, template);
    }

    /// Whether this process has registered a template of that name itself.
    pub fn is_registered(&self, namespace: &str, name: &str) -> bool {
        let known = lock(&self.known);
        let versions = known.by_name.get(&(Arc::from(namespace), Arc::from(name)));
        versions.is_some_and(|versions| !versions.registered.is_empty())
    }

    /// The template of that number. A miss is read, and added.
    pub fn get(&self, id: i64) -> Option<Arc<Template>> {
        let found = lock(&self.known).by_id.get(&id).cloned();
        self.observer.template(found.is_some());
        found
    }

    /// The latest template of that name, or the latest of that version.
    pub fn find(&self, namespace: &str, name: &str, version: Option<&str>) -> Option<Stored> {
        let known = lock(&self.known);
        let versions = known.by_name.get(&(Arc::from(namespace), Arc::from(name)))?;
        let read = versions.read.iter().map(|(&id, template)| Stored { id, template: Arc::clone(template) });
        let mut latest_first = versions.registered.iter().rev().cloned().chain(read.rev());
        latest_first.find(|stored| version.is_none_or(|version| *stored.template.version == *version))
    }

    /// `namespace/name` of every template, sorted, for error messages.
    pub fn names(&self) -> Vec<String> {
        let known = lock(&self.known);
        let mut names: Vec<String> =
            known.by_name.keys().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        names.sort();
        names
    }
}
