//! How values fall into buckets, and how far a bucket is from the values in it.
//!
//! | layout | buckets | relative error | index costs |
//! |---|---|---|---|
//! | explicit | the `le` bounds given | none stated | 32 comparisons or a search |
//! | log-linear | octaves in 2^p parts (HdrHistogram) | 2^-(p+1): 3.1 % for p = 4 | a shift |
//! | logarithmic | bounds gamma^n (DDSketch) | alpha, as chosen: 1 % | a logarithm |
//!
//! Every bucket is open below and closed above, as `le` wants it. The first takes everything down
//! to zero and the last everything up to infinity; there the relative error does not hold.
//!
//! Sources: G. Tene, HdrHistogram; Masson, Rim, Lee, "DDSketch: A Fast and Fully-Mergeable Quantile
//! Sketch with Relative-Error Guarantees" (VLDB 2019).

use crate::error::Kind;

/// The buckets of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets(Layout);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    Explicit(Box<[f64]>),
    /// Bounds from 2^`lowest` to 2^`highest` in steps of 1/2^`parts_log2` octaves' parts.
    LogLinear {
        lowest: i32,
        highest: i32,
        parts_log2: u32,
    },
    /// Bounds gamma^n for n from `first` to `last`.
    Logarithmic {
        alpha: f64,
        /// The logarithm of gamma = (1 + alpha) / (1 - alpha).
        ln_gamma: f64,
        first: i32,
        last: i32,
    },
}

impl Buckets {
    /// Makes buckets with these finite upper bounds, ascending; +Inf is added.
    pub fn explicit(bounds: &[f64]) -> Self {
        Self(Layout::Explicit(bounds.into()))
    }

    /// Makes log-linear buckets from `min` to `max` with each octave cut into 16 equal parts: a
    /// quantile is at most 3.125 % off. The range is widened to powers of two.
    pub fn log_linear(min: f64, max: f64) -> Self {
        let exponent = |value: f64| if value.is_finite() { value.log2() } else { f64::NAN };
        // NaN becomes 0 and what is too wide is found by `check`.
        let (lowest, highest) = (exponent(min).floor() as i32, exponent(max).ceil() as i32);
        Self(Layout::LogLinear { lowest, highest, parts_log2: PARTS_LOG2 })
    }

    /// Log-linear buckets for times in seconds, from 1 us to 128 s: 434 buckets.
    pub fn seconds() -> Self {
        Self::log_linear(1e-6, 128.0)
    }

    pub(crate) fn into_layout(self) -> Layout {
        self.0
    }
}

impl From<&[f64]> for Buckets {
    fn from(bounds: &[f64]) -> Self {
        Self::explicit(bounds)
    }
}

impl From<&Vec<f64>> for Buckets {
    fn from(bounds: &Vec<f64>) -> Self {
        Self::explicit(bounds)
    }
}

impl<const N: usize> From<&[f64; N]> for Buckets {
    fn from(bounds: &[f64; N]) -> Self {
        Self::explicit(bounds)
    }
}

impl Layout {
    /// DDSketch buckets with relative error `alpha` for values from `min` to `max`.
    pub(crate) fn logarithmic(alpha: f64, min: f64, max: f64) -> Self {
        let ln_gamma = ((1.0 + alpha) / (1.0 - alpha)).ln();
        let first = (min.ln() / ln_gamma).floor() as i32;
        Self::Logarithmic { alpha, ln_gamma, first, last: (max.ln() / ln_gamma).ceil() as i32 }
    }

    /// Checks what a caller chose for the metric `name`.
    pub(crate) fn check(&self, name: &str) -> Result<(), Kind> {
        let reason = match self {
            Self::Explicit(bounds) => check_bounds(bounds),
            Self::LogLinear { lowest, highest, .. } if lowest >= highest => {
                Some("the greatest value is more than the least, and both are above zero")
            }
            Self::LogLinear { lowest, highest, .. } if *lowest < -60 || *highest > 60 => {
                Some("log-linear buckets go from 2^-60 to 2^60")
            }
            Self::Logarithmic { alpha, .. } if !(1e-3..=0.2).contains(alpha) => {
                Some("the relative error is from 0.001 to 0.2")
            }
            Self::Logarithmic { first, last, .. } if first >= last || last - first > 8192 => {
                Some("the greatest value is more than the least, with at most 8192 buckets between")
            }
            Self::LogLinear { .. } | Self::Logarithmic { .. } => None,
        };
        match reason {
            Some(reason) => Err(Kind::Bounds { name: name.to_owned(), reason }),
            None => Ok(()),
        }
    }

    /// Returns the number of buckets, the first and the infinite one included.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Explicit(bounds) => bounds.len() + 1,
            Self::LogLinear { lowest, highest, parts_log2 } => {
                ((highest - lowest) as usize * (1 << parts_log2)) + 2
            }
            Self::Logarithmic { first, last, .. } => (last - first) as usize + 2,
        }
    }

    /// Returns the bucket of a value that is finite and not negative.
    #[inline]
    pub(crate) fn index(&self, value: f64) -> usize {
        match self {
            Self::Explicit(bounds) if bounds.len() <= COMPARE_ALL_MAX => {
                // A few comparisons without a branch are quicker than halving.
                bounds.iter().map(|bound| usize::from(*bound < value)).sum()
            }
            Self::Explicit(bounds) => bounds.partition_point(|bound| *bound < value),
            Self::LogLinear { lowest, highest, parts_log2 } => {
                // The bits of an f64 above the mantissa's lower part count the parts of octaves;
                // one less in the last place closes the bucket above.
                let parts = (value.to_bits().saturating_sub(1) >> (52 - parts_log2)) as i64;
                let before = i64::from(lowest + 1023) << parts_log2;
                let last = i64::from((highest - lowest) << parts_log2) + 1;
                (parts - before + 1).clamp(0, last) as usize
            }
            Self::Logarithmic { ln_gamma, first, last, .. } => {
                let n = (value.ln() / ln_gamma).ceil();
                // Zero is minus infinity, which `as` makes the least number.
                ((n as i32).clamp(*first, last + 1) - first) as usize
            }
        }
    }

    /// Returns the upper bound of a bucket; infinite for the last.
    pub(crate) fn upper(&self, index: usize) -> f64 {
        if index + 1 >= self.len() {
            return f64::INFINITY;
        }
        match self {
            Self::Explicit(bounds) => bounds[index],
            Self::LogLinear { lowest, parts_log2, .. } => {
                let octave = (index >> parts_log2) as i32;
                let part = (index & ((1 << parts_log2) - 1)) as f64;
                (lowest + octave).exp2_f64() * (1.0 + part / f64::from(1 << parts_log2))
            }
            Self::Logarithmic { ln_gamma, first, .. } => {
                (f64::from(first + index as i32) * ln_gamma).exp()
            }
        }
    }

    /// Returns the value that stands for all in a bucket; `above` is how far up in it, 0 to 1.
    pub(crate) fn representative(&self, index: usize, above: f64) -> f64 {
        let (lower, upper) = (self.lower(index), self.upper(index));
        if upper.is_infinite() {
            return lower;
        }
        match self {
            Self::Explicit(_) => lower + (upper - lower) * above,
            Self::LogLinear { .. } => f64::midpoint(lower, upper),
            Self::Logarithmic { .. } if index == 0 => f64::midpoint(lower, upper),
            Self::Logarithmic { .. } => 2.0 * lower * upper / (lower + upper),
        }
    }

    /// Returns the stated relative error of a quantile, where there is one.
    pub(crate) fn relative_error(&self) -> Option<f64> {
        match self {
            Self::Explicit(_) => None,
            Self::LogLinear { parts_log2, .. } => Some(0.5 / f64::from(1 << parts_log2)),
            Self::Logarithmic { alpha, .. } => Some(*alpha),
        }
    }

    /// Returns the buckets after which a classic `le` is written: all explicit ones, and of the
    /// others those at powers of two, which keeps the text short and the counts exact.
    pub(crate) fn le_step(&self) -> usize {
        match self {
            Self::LogLinear { parts_log2, .. } => 1 << parts_log2,
            Self::Explicit(_) | Self::Logarithmic { .. } => 1,
        }
    }

    fn lower(&self, index: usize) -> f64 {
        if index == 0 { 0.0 } else { self.upper(index - 1) }
    }
}

/// Two to a whole power that is within the range of an `f64`.
pub(crate) trait Exp2 {
    fn exp2_f64(self) -> f64;
}

impl Exp2 for i32 {
    fn exp2_f64(self) -> f64 {
        f64::from_bits(((self + 1023) as u64) << 52)
    }
}

fn check_bounds(bounds: &[f64]) -> Option<&'static str> {
    if bounds.is_empty() {
        Some("there is none")
    } else if bounds.len() > BOUNDS_MAX {
        Some("there are more than 1000")
    } else if !bounds.iter().all(|bound| bound.is_finite()) {
        Some("each is a finite number; the +Inf bucket is added")
    } else if bounds.iter().any(|bound| *bound < 0.0) {
        Some("none is negative, as no value is")
    } else if !bounds.is_sorted_by(|a, b| a < b) {
        Some("each is greater than the one before")
    } else {
        None
    }
}

const PARTS_LOG2: u32 = 4;
const BOUNDS_MAX: usize = 1000;
const COMPARE_ALL_MAX: usize = 32;

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn holds(layout: &Layout, value: f64) {
        let index = layout.index(value);
        let lower = if index == 0 { -1.0 } else { layout.upper(index - 1) };
        // A logarithm is off by some units in the last place at a bound.
        let slack = if matches!(layout, Layout::Logarithmic { .. }) { 1.0 + 1e-12 } else { 1.0 };
        assert!(lower < value * slack && value <= layout.upper(index) * slack, "{value} {index}");
        if let Some(error) = layout.relative_error()
            && index > 0
            && index + 1 < layout.len()
        {
            let off = (layout.representative(index, 0.5) - value).abs() / value;
            assert!(off <= error * (1.0 + 1e-9), "{value}: {off}");
        }
    }

    #[test]
    fn bounds_belong_to_the_bucket_below_them() {
        for layout in [
            Buckets::explicit(&[0.5, 1.0, 2.0]).into_layout(),
            Buckets::log_linear(0.25, 8.0).into_layout(),
        ] {
            for index in 0..layout.len() - 1 {
                let bound = layout.upper(index);
                assert_eq!(layout.index(bound), index, "{bound}");
                assert_eq!(layout.index(bound.next_up()), index + 1, "{bound}");
            }
            assert_eq!((layout.index(0.0), layout.index(f64::MAX)), (0, layout.len() - 1));
        }
    }

    #[test]
    fn ranges_are_widened_to_powers_of_two() {
        let layout = Buckets::seconds().into_layout();
        assert_eq!((layout.upper(0), layout.len()), ((-20).exp2_f64(), 27 * 16 + 2));
        assert_eq!(layout.upper(layout.len() - 2), 128.0);
        for (min, max) in [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (2.0, 1.0), (1.0, f64::MAX)] {
            assert!(Buckets::log_linear(min, max).into_layout().check("a").is_err(), "{min} {max}");
        }
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_within_the_stated_error(
            exponent in -25.0..10.0f64,
            alpha in 0.001..0.2f64,
        ) {
            let value = exponent.exp2();
            holds(&Buckets::seconds().into_layout(), value);
            holds(&Layout::logarithmic(alpha, 1e-6, 100.0), value);
            holds(&Buckets::explicit(&[1e-5, 1e-3, 0.1, 3.0]).into_layout(), value);
        }
    }
}
