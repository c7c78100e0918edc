//! Draws the pictures, with plotters.

use plotters::prelude::*;

use crate::{
    Result,
    render::amount,
    results::{Curve, Table, float},
};

const SIZE: (u32, u32) = (760, 420);
const FONT: (&str, u32) = ("sans-serif", 14);

/// Draws values against a number, both on logarithmic scales.
pub(crate) fn lines(curve: &Curve) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let points = curve.lines.iter().flat_map(|(_, points)| points);
        let (mut across, mut up, mut low) = (2.0_f64, 1.0_f64, f64::MAX);
        for (x, y) in points {
            across = across.max(*x);
            up = up.max(*y);
            low = low.min(*y);
        }
        let mut chart = ChartBuilder::on(&root)
            .caption(&curve.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(
                (1.8..across * 1.1).log_scale(),
                (low * 0.7..up * 1.4).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_desc(&curve.across)
            .y_desc(&curve.up)
            .label_style(FONT)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| {
                if *y < 10.0 {
                    format!("{y:.1}")
                } else {
                    format!("{y:.0}")
                }
            })
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (number, (name, points)) in curve.lines.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
            chart.draw_series(line)?.label(name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
            });
        }
        chart
            .configure_series_labels()
            .label_font(FONT)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
        root.present()?;
    }
    Ok(svg + "\n")
}

/// Draws the medians of a table as bars with their values.
pub(crate) fn bars(table: &Table) -> Result<String> {
    let rows = i32::try_from(table.rows.len())?;
    let most = table.rows.iter().map(|row| row.median).max().unwrap_or(1);
    let mut svg = String::new();
    {
        let size = (SIZE.0, 60 + 24 * u32::try_from(rows)?);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(&table.title, ("sans-serif", 18))
            .margin(10)
            .build_cartesian_2d(-0.6..1.25, (0..rows).into_segmented())?;
        for (number, row) in (0..rows).zip(&table.rows) {
            let place = rows - 1 - number;
            let value = float(row.median) / float(most);
            let color = if number == 0 {
                RGBColor(150, 150, 150)
            } else {
                RGBColor(60, 110, 180)
            };
            let (bottom, top) = (SegmentValue::Exact(place), SegmentValue::Exact(place + 1));
            let mut bar = Rectangle::new([(0.0, bottom), (value, top)], color.filled());
            bar.set_margin(3, 3, 0, 0);
            chart.draw_series([bar])?;
            let middle = SegmentValue::CenterOf(place);
            let name = row.who.replace('`', "");
            let style = FONT.into_font().color(&BLACK);
            let at = |x: f64| (x, middle.clone());
            chart.draw_series([Text::new(name, at(-0.6), style.clone())])?;
            chart.draw_series([Text::new(
                amount(row.median, table.unit),
                at(value + 0.01),
                style,
            )])?;
        }
        root.present()?;
    }
    Ok(svg + "\n")
}
