// The measured course of a replay as one picture: throughput and memory over time, and where the time went. Drawn here, as
// SVG: nobody who looks at it runs or fetches anything.
import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Measured } from '../measures.ts';

use([BarChart, LineChart, GridComponent, TitleComponent, SVGRenderer]);

export const CHART_WIDTH = 960;
const PANEL_HEIGHT = 260;
const PANELS = 3;
const FONT = 'DejaVu Sans, Verdana, sans-serif';
const COLOURS = ['#2b6cb0', '#b7791f', '#4a5568'] as const;

/** An SVG document, `CHART_WIDTH` wide. */
export const chartOf = (measured: Measured): string => {
  const chart = init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: CHART_WIDTH,
    height: PANEL_HEIGHT * PANELS,
  });
  try {
    chart.setOption(optionOf(measured));
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
};

const optionOf = (measured: Measured) => {
  const stages = Object.entries(measured.stages).filter(([, seconds]) => seconds >= 0.001);
  const time = (index: number) => ({ type: 'value', gridIndex: index, max: measured.seconds, name: 's' });
  return {
    animation: false,
    textStyle: { fontFamily: FONT },
    title: ['Facts per second', 'Memory, MiB', 'Seconds by stage'].map((text, index) => ({
      text,
      left: 16,
      top: index * PANEL_HEIGHT + 10,
      textStyle: { fontSize: 15, fontFamily: FONT },
    })),
    grid: [0, 1, 2].map((index) => ({
      left: index === 2 ? 200 : 90,
      right: 60,
      top: index * PANEL_HEIGHT + 50,
      height: PANEL_HEIGHT - 90,
    })),
    xAxis: [time(0), time(1), { type: 'value', gridIndex: 2, name: 's' }],
    yAxis: [
      { type: 'value', gridIndex: 0 },
      { type: 'value', gridIndex: 1 },
      { type: 'category', gridIndex: 2, inverse: true, data: stages.map(([stage]) => stage) },
    ],
    series: [
      line(0, ratesOf(measured)),
      line(
        1,
        measured.samples.map(({ at, rssMiB }) => [at, rssMiB]),
      ),
      {
        type: 'bar',
        xAxisIndex: 2,
        yAxisIndex: 2,
        itemStyle: { color: COLOURS[2] },
        data: stages.map(([, seconds]) => seconds),
      },
    ],
  };
};

const line = (index: 0 | 1, data: readonly (readonly number[])[]) => ({
  type: 'line',
  xAxisIndex: index,
  yAxisIndex: index,
  showSymbol: data.length === 1,
  lineStyle: { color: COLOURS[index], width: 1.5 },
  areaStyle: { color: COLOURS[index], opacity: 0.12 },
  data,
});

/** Between one sample and the next. */
const ratesOf = ({ samples }: Measured): readonly (readonly number[])[] =>
  samples.flatMap(({ at, facts }, index) => {
    const before = samples[index - 1];
    return before && at > before.at ? [[at, (facts - before.facts) / (at - before.at)]] : [];
  });
