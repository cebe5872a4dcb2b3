//! The middle of some values, and how sure it is.

/// Returns the middle value, the mean of the two middle ones for an even count.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return values.get(middle).copied();
    }
    Some(f64::midpoint(*values.get(middle.checked_sub(1)?)?, *values.get(middle)?))
}

/// Returns the interval that holds the median of what these values are a sample of, 19 times in
/// 20 or more, whatever their distribution; `None` for fewer than 6.
///
/// It is made of two of the values: how many lie below the true median is a binomial number, and
/// as many are left out at each end as that number falls short of once in 40 times or less.
pub(crate) fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let count = values.len();
    // The probability of exactly `below` values, and of as many or fewer.
    let mut exactly = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut at_most, mut below) = (exactly, 0);
    while at_most <= 0.025 && below < count {
        exactly *= (count - below) as f64 / (below + 1) as f64;
        below += 1;
        at_most += exactly;
    }
    // One less was still rare enough.
    let left_out = below.checked_sub(1)?;
    Some((*values.get(left_out)?, *values.get(count - 1 - left_out)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn an_interval_leaves_out_as_many_at_each_end_as_chance_does() {
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[1.0, 2.0, 3.0, 4.0, 5.0]), None);
        assert_eq!(interval(&[6.0, 2.0, 3.0, 4.0, 5.0, 1.0]), Some((1.0, 6.0)));
        // Of 50 values the 18th and the 33rd: fewer than 18 lie below once in 61 times.
        let many: Vec<f64> = (1..=50).map(f64::from).collect();
        assert_eq!(interval(&many), Some((18.0, 33.0)));
    }
}
