//! Owns: the DAG the dependencies' names describe, as positions. Refuses: names that lead nowhere,
//! names given twice, and circles.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use super::problems::{did_you_mean, listed, quoted, shown, Problems};

/// A longer cycle is shown with its middle left out.
const LONGEST_CYCLE: usize = 20;

/// A step as the graph sees it.
pub(super) struct Node<'a> {
    /// Where the step stands, for messages.
    pub(super) place: &'a str,
    /// Its name.
    pub(super) name: &'a Arc<str>,
    /// The names of the steps it waits for.
    pub(super) dependencies: &'a [String],
}

/// The resolved graph; every position counts in the order of declaration.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    pub(super) positions: HashMap<Arc<str>, usize>,
    pub(super) dependencies: Vec<Vec<usize>>,
    pub(super) dependents: Vec<Vec<usize>>,
    /// Every step after those it depends on; among free ones the first declared comes first.
    pub(super) order: Vec<usize>,
}

impl Graph {
    /// Resolves the names; what is wrong is noted in `problems`.
    pub(super) fn resolve(nodes: &[Node<'_>], problems: &Problems) -> Graph {
        let mut graph = Graph { positions: positions(nodes, problems), ..Graph::default() };
        graph.dependents = vec![Vec::new(); nodes.len()];
        for (position, node) in nodes.iter().enumerate() {
            let dependencies = graph.resolve_one(nodes, node, problems);
            for &dependency in &dependencies {
                graph.dependents[dependency].push(position);
            }
            graph.dependencies.push(dependencies);
        }
        graph.order = graph.sort();
        if graph.order.len() < nodes.len() && problems.is_empty() {
            graph.report_cycle(nodes, problems);
        }
        graph
    }

    fn resolve_one(&self, nodes: &[Node<'_>], node: &Node<'_>, problems: &Problems) -> Vec<usize> {
        let mut seen = HashSet::new();
        let mut dependencies = Vec::new();
        for name in node.dependencies {
            let what = quoted(name);
            if !seen.insert(name.as_str()) {
                problems.add(node.place, || format!("depends on {what} twice; name it once"));
            } else if name.as_str() == &**node.name {
                problems.add(node.place, || format!("depends on itself ({what}); remove that dependency"));
            } else if let Some(&position) = self.positions.get(name.as_str()) {
                dependencies.push(position);
            } else {
                problems.add(node.place, || {
                    let guess = did_you_mean(name, nodes.iter().map(|known| &**known.name));
                    let known = listed(nodes.iter().map(|known| &**known.name));
                    format!("depends on {what}, which is no step;{guess} known steps: {known}")
                });
            }
        }
        dependencies
    }

    /// Kahn's algorithm; a cycle and all that waits for it are left out.
    fn sort(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = self.dependencies.iter().map(Vec::len).collect();
        let free = waiting.iter().enumerate().filter(|(_, count)| **count == 0);
        let mut free: BinaryHeap<_> = free.map(|(position, _)| Reverse(position)).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(Reverse(position)) = free.pop() {
            order.push(position);
            for &dependent in &self.dependents[position] {
                waiting[dependent] -= 1;
                if waiting[dependent] == 0 {
                    free.push(Reverse(dependent));
                }
            }
        }
        order
    }

    /// Each step left out of the order waits for another one left out: following those must end
    /// in a circle.
    fn report_cycle(&self, nodes: &[Node<'_>], problems: &Problems) {
        let sorted: HashSet<usize> = self.order.iter().copied().collect();
        let mut path: Vec<usize> = Vec::new();
        let mut current = (0..nodes.len()).find(|position| !sorted.contains(position));
        while let Some(position) = current {
            if let Some(start) = path.iter().position(|visited| *visited == position) {
                path.drain(..start);
                break;
            }
            path.push(position);
            let mut unsorted = self.dependencies[position].iter().filter(|next| !sorted.contains(next));
            current = unsorted.next().copied();
        }
        let first = path.iter().enumerate().min_by_key(|(_, position)| **position);
        let Some((start, &position)) = first else {
            return;
        };
        path.rotate_left(start);
        path.push(position);
        let mut names: Vec<String> = path.iter().map(|step| shown(nodes[*step].name)).collect();
        if names.len() > LONGEST_CYCLE {
            let left_out = names.len() - LONGEST_CYCLE;
            let middle = LONGEST_CYCLE - 1..names.len() - 1;
            names.splice(middle, [format!("({left_out} more)")]);
        }
        problems.add(nodes[position].place, || {
            format!(
                "waits for itself: `{}` (`->` means depends on); remove one of these dependencies",
                names.join(" -> ")
            )
        });
    }
}

fn positions(nodes: &[Node<'_>], problems: &Problems) -> HashMap<Arc<str>, usize> {
    let mut positions: HashMap<Arc<str>, usize> = HashMap::new();
    for (position, node) in nodes.iter().enumerate() {
        let first = *positions.entry(node.name.clone()).or_insert(position);
        if first != position {
            problems.add(node.place, || {
                let (first, second) = (first + 1, position + 1);
                format!("steps number {first} and {second} have this name; rename one of them")
            });
        }
    }
    positions
}
