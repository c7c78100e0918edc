//! The stored results: tables that compare figures with a base, and curves.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::Result;

/// The results of one or several runs on one machine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Facts about the machine.
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) tables: Vec<Table>,
    pub(crate) curves: Vec<Curve>,
}

/// One figure of several programs. The first row is the base of the ratios.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) id: String,
    pub(crate) title: String,
    /// What is measured, in a sentence or two.
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) rows: Vec<Row>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) who: String,
    pub(crate) median: u64,
    pub(crate) lowest: u64,
    pub(crate) highest: u64,
    /// The value that one in a hundred exceeds.
    pub(crate) p99: u64,
    pub(crate) count: u64,
    /// The ratio to the base of the same round.
    pub(crate) ratio: Option<Spread>,
    /// The target for the ratio, or for the value if there is no ratio.
    pub(crate) target: Option<f64>,
}

/// The median, lowest and highest value of the rounds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    Count,
}

/// Values against a number, such as the number of waiters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) across: String,
    pub(crate) up: String,
    /// The name and points of each line.
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// A program, and a function that measures it once and returns some values.
pub(crate) struct Subject<'a> {
    pub(crate) who: String,
    pub(crate) target: Option<f64>,
    pub(crate) measure: Box<dyn FnMut() -> Result<Vec<u64>> + 'a>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        who: impl Into<String>,
        target: Option<f64>,
        measure: impl FnMut() -> Result<Vec<u64>> + 'a,
    ) -> Self {
        Self {
            who: who.into(),
            target,
            measure: Box::new(measure),
        }
    }
}

impl Table {
    pub(crate) fn new(id: &str, title: &str, what: &str, unit: Unit) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            what: what.to_owned(),
            unit,
            rows: Vec::new(),
        }
    }

    /// Measures all subjects in turn, this many times, so that other load on the machine affects
    /// all of them.
    pub(crate) fn measured(
        mut self,
        rounds: usize,
        mut subjects: Vec<Subject<'_>>,
    ) -> Result<Self> {
        let mut values = vec![Vec::new(); subjects.len()];
        for round in 0..rounds {
            eprintln!("{}: round {} of {rounds}", self.title, round + 1);
            for (subject, values) in subjects.iter_mut().zip(&mut values) {
                let measured = (subject.measure)();
                let measured = measured.map_err(|error| format!("{}: {error}", subject.who))?;
                values.push(measured);
            }
        }
        let base: Vec<u64> = values
            .first()
            .into_iter()
            .flatten()
            .map(|round| median(round))
            .collect::<Result<_>>()?;
        for (subject, rounds) in subjects.into_iter().zip(values) {
            // There is no ratio to zero.
            let has_ratio = !self.rows.is_empty() && !base.contains(&0);
            let ratio = has_ratio.then(|| ratio(&rounds, &base)).transpose()?;
            self.rows.push(Row::new(
                subject.who,
                &rounds.concat(),
                ratio,
                subject.target,
            )?);
        }
        Ok(self)
    }
}

impl Row {
    pub(crate) fn new(
        who: String,
        values: &[u64],
        ratio: Option<Spread>,
        target: Option<f64>,
    ) -> Result<Self> {
        let values = histogram(values)?;
        Ok(Self {
            who,
            median: values.value_at_quantile(0.5),
            lowest: values.min(),
            highest: values.max(),
            p99: values.value_at_quantile(0.99),
            count: values.len(),
            ratio,
            target,
        })
    }
}

impl Results {
    /// Adds a table, or replaces its earlier version.
    pub(crate) fn take(&mut self, table: Table) {
        put(&mut self.tables, table, |table| &table.id);
    }

    pub(crate) fn take_curve(&mut self, curve: Curve) {
        put(&mut self.curves, curve, |curve| &curve.id);
    }
}

fn put<T>(all: &mut Vec<T>, new: T, id: impl Fn(&T) -> &String) {
    match all.iter_mut().find(|old| id(old) == id(&new)) {
        Some(old) => *old = new,
        None => all.push(new),
    }
}

fn histogram(values: &[u64]) -> Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    for value in values {
        histogram.record(*value)?;
    }
    Ok(histogram)
}

pub(crate) fn median(values: &[u64]) -> Result<u64> {
    if values.is_empty() {
        return Err("nothing was measured".into());
    }
    Ok(histogram(values)?.value_at_quantile(0.5))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "times and sizes that are far below 2^52"
)]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// The ratios of the rounds' medians to the base's.
fn ratio(rounds: &[Vec<u64>], base: &[u64]) -> Result<Spread> {
    let mut ratios = Vec::new();
    for (round, base) in rounds.iter().zip(base) {
        ratios.push(float(median(round)?) / float(*base));
    }
    ratios.sort_by(f64::total_cmp);
    let last = ratios.len().saturating_sub(1);
    Ok(Spread {
        median: ratios[last / 2],
        lowest: ratios[0],
        highest: ratios[last],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_each_round_and_its_own_base() {
        let rounds = |values: [u64; 3]| {
            let mut values = values.into_iter();
            move || Ok(vec![values.next().unwrap(); 5])
        };
        let subjects = vec![
            Subject::new("base", None, rounds([100, 200, 400])),
            Subject::new("other", Some(2.0), rounds([200, 400, 1200])),
        ];
        let table = Table::new("t", "T", "", Unit::Count).measured(3, subjects);
        let table = table.unwrap();
        assert!(table.rows[0].ratio.is_none());
        let ratio = table.rows[1].ratio.unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 0.02;
        assert!(close(ratio.median, 2.0) && close(ratio.lowest, 2.0) && close(ratio.highest, 3.0));
        assert_eq!(table.rows[1].count, 15);
    }

    #[test]
    fn a_table_that_is_measured_anew_takes_the_place_of_its_earlier_self() {
        let table = |title: &str| Table::new("t", title, "", Unit::Count);
        let mut results = Results::default();
        results.take(table("first"));
        results.take(Table::new("u", "other", "", Unit::Count));
        results.take(table("second"));
        let titles: Vec<_> = results.tables.iter().map(|it| &*it.title).collect();
        assert_eq!(titles, ["second", "other"]);
    }
}
