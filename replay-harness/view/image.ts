// The chart as a PNG, for where a page cannot be shown. Letters are drawn with the machine's own fonts; a machine without
// any draws the curves alone.
import { Resvg } from '@resvg/resvg-js';
import { CHART_WIDTH } from './chart.ts';

/** Twice as fine as the screen it was laid out for. */
export const pngOf = (svg: string): Buffer =>
  new Resvg(svg, {
    background: '#ffffff',
    fitTo: { mode: 'width', value: CHART_WIDTH * 2 },
    font: { defaultFontFamily: 'DejaVu Sans', sansSerifFamily: 'DejaVu Sans' },
  })
    .render()
    .asPng();
