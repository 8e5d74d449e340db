//! `AND`, `OR`, `NOT` and parentheses over tests of any form: built without recursion, whatever the text nests.

/// Tests joined by `AND`, `OR` and `NOT`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree<T> {
    /// A test.
    Test(T),
    /// All of them; none: true.
    And(Vec<Tree<T>>),
    /// One of them at least; none: false.
    Or(Vec<Tree<T>>),
    /// Not this.
    Not(Box<Tree<T>>),
}

impl<T> Tree<T> {
    /// Do the tests hold together? Asks for no more of them than it must.
    pub(crate) fn holds(&self, test: &mut impl FnMut(&T) -> bool) -> bool {
        match self {
            Self::Test(inner) => test(inner),
            Self::And(parts) => parts.iter().all(|part| part.holds(test)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(test)),
            Self::Not(inner) => !inner.holds(test),
        }
    }

    /// The same tree over other tests.
    pub(crate) fn map<U>(self, map: &mut impl FnMut(T) -> U) -> Tree<U> {
        match self {
            Self::Test(inner) => Tree::Test(map(inner)),
            Self::And(parts) => Tree::And(parts.into_iter().map(|part| part.map(map)).collect()),
            Self::Or(parts) => Tree::Or(parts.into_iter().map(|part| part.map(map)).collect()),
            Self::Not(inner) => Tree::Not(Box::new(inner.map(map))),
        }
    }

    /// Every test, from left to right.
    pub(crate) fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a T)) {
        match self {
            Self::Test(inner) => visit(inner),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(visit)),
            Self::Not(inner) => inner.visit(visit),
        }
    }

    /// What must all be true: the parts of an `AND`, or this.
    pub(crate) fn conjuncts(&self) -> &[Self] {
        match self {
            Self::And(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }
}

/// For each token that is an opening parenthesis the number of the one that closes it; for all others `usize::MAX`.
pub(crate) fn closing_parentheses<'t>(tokens: impl ExactSizeIterator<Item = &'t str>) -> Vec<usize> {
    let mut closing = vec![usize::MAX; tokens.len()];
    let mut open = Vec::new();
    for (index, token) in tokens.enumerate() {
        match token {
            "(" => open.push(index),
            ")" => {
                if let Some(start) = open.pop() {
                    closing[start] = index;
                }
            }
            _ => {}
        }
    }
    closing
}

/// What waits for its right side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    Open,
    Or,
    And,
    Not,
}

/// Builds a [`Tree`] from left to right. The caller says what it reads; between two operands there must be one operator, which is its to check.
#[derive(Debug)]
pub(crate) struct Builder<T> {
    pending: Vec<Pending>,
    done: Vec<Tree<T>>,
    open: usize,
    operators: usize,
}

impl<T> Default for Builder<T> {
    fn default() -> Self {
        Self { pending: Vec::new(), done: Vec::new(), open: 0, operators: 0 }
    }
}

impl<T> Builder<T> {
    /// `(`
    pub(crate) fn open(&mut self) {
        self.open += 1;
        self.pending.push(Pending::Open);
    }

    /// `)`: false if there is none to close.
    #[must_use]
    pub(crate) fn close(&mut self) -> bool {
        if self.open == 0 {
            return false;
        }
        self.reduce(Pending::Or);
        self.open -= 1;
        self.pending.pop();
        true
    }

    /// `NOT`
    pub(crate) fn not(&mut self) {
        self.operators += 1;
        self.pending.push(Pending::Not);
    }

    /// `AND`
    pub(crate) fn and(&mut self) {
        self.operators += 1;
        self.reduce(Pending::And);
        self.pending.push(Pending::And);
    }

    /// `OR`
    pub(crate) fn or(&mut self) {
        self.operators += 1;
        self.reduce(Pending::Or);
        self.pending.push(Pending::Or);
    }

    /// A test.
    pub(crate) fn test(&mut self, test: T) {
        self.done.push(Tree::Test(test));
    }

    /// How many of `AND`, `OR` and `NOT` there were.
    pub(crate) fn operators(&self) -> usize {
        self.operators
    }

    /// Is a parenthesis open?
    pub(crate) fn is_open(&self) -> bool {
        self.open > 0
    }

    /// The tree; `None` if something is missing.
    pub(crate) fn finish(mut self) -> Option<Tree<T>> {
        if self.open > 0 {
            return None;
        }
        self.reduce(Pending::Or);
        self.done.pop().filter(|_| self.done.is_empty())
    }

    /// Joins what binds as much as this or more.
    fn reduce(&mut self, least: Pending) {
        while let Some(top) = self.pending.last().copied()
            && top >= least
        {
            self.pending.pop();
            let Some(right) = self.done.pop() else { return };
            let joined = match top {
                Pending::Not => Tree::Not(Box::new(right)),
                Pending::Open => return,
                Pending::And | Pending::Or => {
                    let Some(left) = self.done.pop() else { return };
                    join(top == Pending::And, left, right)
                }
            };
            self.done.push(joined);
        }
    }
}

/// One level for `a AND b AND c`, however it is put into parentheses: some clients nest a level a condition.
fn join<T>(and: bool, left: Tree<T>, right: Tree<T>) -> Tree<T> {
    let parts = |tree| match tree {
        Tree::And(parts) if and => parts,
        Tree::Or(parts) if !and => parts,
        other => vec![other],
    };
    let mut all = parts(left);
    all.extend(parts(right));
    if and { Tree::And(all) } else { Tree::Or(all) }
}
