//! From an HTTP method and a raw path to a route: one tree of segments for all templates.
//!
//! Literals win over variables, and one segment over many; where the better branch leads nowhere, the next is tried. A
//! verb is split off the last segment only where a template of that place has it, so that ids may hold colons. Paths are
//! matched as they were sent: percent-escapes are looked at when a variable's value is taken, once. No variable is empty,
//! `**` neither.

use std::collections::HashMap;
use std::fmt;

use http::Method;

use super::rule::Verb;
use super::template::{MAX_SEGMENTS, MAX_VARIABLES, Segment, Template};

/// Finds routes, by their place in the list they were added from.
#[derive(Debug)]
pub(super) struct Router {
    /// The root is the first.
    nodes: Vec<Node>,
    /// Templates without variables, which the tree would find first too: the paths that are asked for most.
    fixed: HashMap<Box<str>, Vec<(Verb, usize)>>,
}

/// Where the variables of a match lie in the path, in the order of the template.
pub(super) type Captures = [(u32, u32); MAX_VARIABLES];

/// What is at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lookup {
    /// A route.
    Found(usize, Captures),
    /// Routes for other methods.
    Other(Allow),
    /// Nothing.
    Nothing,
}

/// The methods that a path takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allow {
    verbs: u8,
    head: bool,
}

#[derive(Debug, Default)]
struct Node {
    literals: Vec<(Box<str>, usize)>,
    one: Option<usize>,
    many: Option<usize>,
    ends: Vec<End>,
}

/// Where templates end: those with one verb, or those without.
#[derive(Debug)]
struct End {
    verb: Box<str>,
    routes: Vec<(Verb, usize)>,
    /// For each route, its variables' first segment and number of segments.
    variables: Vec<Vec<(usize, usize)>>,
    allow: Allow,
}

/// A path, cut at its slashes.
struct Path<'p> {
    text: &'p str,
    /// Where each segment begins, the leading slash not counted in.
    starts: [u32; MAX_SEGMENTS],
    /// How many segments there are, those that `starts` has no room for too.
    count: usize,
}

/// A walk through the tree.
struct Walk<'r, 'p> {
    nodes: &'r [Node],
    path: &'p Path<'p>,
    verb: Option<Verb>,
    head: bool,
    allow: Allow,
}

impl Router {
    /// A router without routes.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], fixed: HashMap::new() }
    }

    /// Adds a route. `unary` says whether HEAD can be answered from a GET.
    pub(super) fn add(&mut self, verb: Verb, template: &Template, route: usize, unary: bool) -> Result<(), usize> {
        let mut at = 0;
        for segment in &template.segments {
            at = self.child(at, segment);
        }
        let ends = &mut self.nodes[at].ends;
        let end = match ends.iter().position(|end| end.verb == template.verb) {
            Some(index) => &mut ends[index],
            None => {
                let (routes, variables) = (Vec::new(), Vec::new());
                ends.push(End { verb: template.verb.clone(), routes, variables, allow: Allow::default() });
                let last = ends.len() - 1;
                &mut ends[last]
            }
        };
        if let Some((_, other)) = end.routes.iter().find(|(other, _)| *other == verb) {
            return Err(*other);
        }
        end.routes.push((verb, route));
        end.variables.push(template.variables.iter().map(|variable| (variable.first, variable.count)).collect());
        end.allow.verbs |= 1 << verb as u8;
        end.allow.head |= unary && verb == Verb::Get;
        if template.segments.iter().all(|segment| matches!(segment, Segment::Literal(_))) {
            self.fixed.entry(template.text.clone()).or_default().push((verb, route));
        }
        Ok(())
    }

    /// What is at this path for this method.
    pub(super) fn find(&self, method: &Method, path: &str) -> Lookup {
        let (verb, head) = (Verb::serving(method), method == Method::HEAD);
        let mut fixed = self.fixed.get(path).filter(|_| !head).into_iter().flatten();
        if let Some((_, route)) = fixed.find(|(other, _)| Some(*other) == verb) {
            return Lookup::Found(*route, Captures::default());
        }
        let Some(path) = Path::cut(path) else { return Lookup::Nothing };
        let mut walk = Walk { nodes: &self.nodes, path: &path, verb, head, allow: Allow::default() };
        match walk.descend(0, 0) {
            Some((route, captures)) => Lookup::Found(route, captures),
            None if walk.allow.verbs == 0 => Lookup::Nothing,
            None => Lookup::Other(walk.allow),
        }
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(text) => match node.literals.iter().find(|(other, _)| other == text) {
                Some((_, child)) => *child,
                None => {
                    node.literals.push((text.clone(), new));
                    new
                }
            },
            Segment::One => *node.one.get_or_insert(new),
            Segment::Many => *node.many.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }
}

impl<'p> Path<'p> {
    fn cut(text: &'p str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        u32::try_from(text.len()).ok()?;
        let mut path = Self { text, starts: [1; MAX_SEGMENTS], count: 1 };
        for (index, _) in rest.bytes().enumerate().filter(|(_, byte)| *byte == b'/') {
            if let Some(start) = path.starts.get_mut(path.count) {
                *start = index as u32 + 2;
            }
            path.count += 1;
        }
        Some(path)
    }

    /// Where a segment begins. One past the last begins past the end, as if a slash were there.
    fn start(&self, index: usize) -> usize {
        if index < self.count { self.starts[index] as usize } else { self.text.len() + 1 }
    }

    fn segment(&self, index: usize) -> &'p str {
        &self.text[self.start(index)..self.start(index + 1) - 1]
    }
}

impl<'r> Walk<'r, '_> {
    /// The route under this node for what the path has from this segment on.
    fn descend(&mut self, node: usize, depth: usize) -> Option<(usize, Captures)> {
        let node = &self.nodes[node];
        if depth < self.path.count.min(MAX_SEGMENTS) {
            // The last of sixteen segments may end where the path goes on; then it is not the last.
            let last = depth + 1 == self.path.count;
            if depth + 1 < MAX_SEGMENTS || last {
                let found = self.through_segment(node, depth, last);
                if found.is_some() {
                    return found;
                }
            }
        }
        let many = node.many?;
        let tail = &self.path.text[self.path.start(depth).min(self.path.text.len())..];
        self.finish(many, tail, depth + 1)
    }

    fn through_segment(&mut self, node: &Node, depth: usize, last: bool) -> Option<(usize, Captures)> {
        let segment = self.path.segment(depth);
        for (literal, child) in &node.literals {
            let found = match segment.strip_prefix(&**literal) {
                Some("") if last => self.end(*child, "", depth + 1),
                Some("") => self.descend(*child, depth + 1),
                Some(rest) if last => match rest.strip_prefix(':') {
                    Some(verb) if !verb.is_empty() => self.end(*child, verb, depth + 1),
                    _ => None,
                },
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        match node.one {
            Some(child) if last => self.finish(child, segment, depth + 1),
            Some(child) if !segment.is_empty() => self.descend(child, depth + 1),
            _ => None,
        }
    }

    /// Ends at a variable: its text may have a verb of this place after it.
    fn finish(&mut self, node: usize, text: &str, depth: usize) -> Option<(usize, Captures)> {
        if text.is_empty() {
            return None;
        }
        let nodes = self.nodes;
        let verb = nodes[node].ends.iter().map(|end| &*end.verb).find(|verb| {
            let before = text.strip_suffix(verb).and_then(|text| text.strip_suffix(':'));
            !verb.is_empty() && before.is_some_and(|before| !before.is_empty() && !before.ends_with('/'))
        });
        self.end(node, verb.unwrap_or_default(), depth)
    }

    fn end(&mut self, node: usize, verb: &str, depth: usize) -> Option<(usize, Captures)> {
        let end = self.nodes[node].ends.iter().find(|end| *end.verb == *verb)?;
        self.allow.verbs |= end.allow.verbs;
        self.allow.head |= end.allow.head;
        if self.head && !end.allow.head {
            return None;
        }
        let index = end.routes.iter().position(|(other, _)| Some(*other) == self.verb)?;
        let verb_length = if verb.is_empty() { 0 } else { verb.len() + 1 };
        let text_end = self.path.text.len() - verb_length;
        let mut captures = Captures::default();
        for (capture, (first, count)) in captures.iter_mut().zip(&end.variables[index]) {
            let start = self.path.start(*first);
            let stop = if first + count == depth { text_end } else { self.path.start(first + count) - 1 };
            *capture = (start as u32, stop.max(start) as u32);
        }
        Some((end.routes[index].1, captures))
    }
}

impl fmt::Display for Allow {
    /// The value of an `Allow` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verb in [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete] {
            if self.verbs & (1 << verb as u8) != 0 {
                write!(f, "{}, ", verb.as_str())?;
                if verb == Verb::Get && self.head {
                    f.write_str("HEAD, ")?;
                }
            }
        }
        f.write_str("OPTIONS")
    }
}
