//! A table of handles to the series of one metric, each found at its first use.

use std::sync::OnceLock;

use prometheus::core::{MetricVec, MetricVecBuilder};

/// The series of one metric, by place.
pub(super) struct Grid<V: Series> {
    vec: V,
    cells: Box<[OnceLock<V::Handle>]>,
}

/// A metric with labels.
pub(super) trait Series {
    /// One of its series.
    type Handle;

    /// The series of these labels. Takes a lock.
    fn series(&self, labels: &[&str]) -> Self::Handle;
}

impl<V: Series> Grid<V> {
    /// A table with this many places.
    pub(super) fn new(vec: V, places: usize) -> Self {
        Self { vec, cells: (0..places).map(|_| OnceLock::new()).collect() }
    }

    /// The handle at a place. The labels are asked for at its first use only.
    pub(super) fn at<const N: usize>(&self, place: usize, labels: impl FnOnce() -> [&'static str; N]) -> &V::Handle {
        self.cells[place].get_or_init(|| self.vec.series(&labels()))
    }
}

impl<B: MetricVecBuilder> Series for MetricVec<B> {
    type Handle = B::M;

    fn series(&self, labels: &[&str]) -> Self::Handle {
        self.with_label_values(labels)
    }
}
