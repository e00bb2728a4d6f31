import type { VNode } from 'preact'
import { html } from './html.js'

const WIDTH = 120
const HEIGHT = 24

export interface SparklineProps {
  readonly values: readonly number[]
  /** For readers who do not see it. */
  readonly label: string
}

/** The course of a number, the newest at the right. */
export function Sparkline({ values, label }: SparklineProps): VNode {
  const top = Math.max(...values, Number.MIN_VALUE)
  const step = WIDTH / Math.max(1, values.length - 1)
  const points = values.map((value, index) => {
    const y = HEIGHT - 2 - (value / top) * (HEIGHT - 4)
    return `${(index * step).toFixed(1)},${y.toFixed(1)}`
  })
  const line = points.join(' ')
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${label}>
    <line class="base" x1="0" x2=${WIDTH} y1=${HEIGHT - 1} y2=${HEIGHT - 1} />
    ${values.length > 1 && html`<polygon class="area" points="0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}" />`}
    ${values.length > 1 && html`<polyline class="line" points=${line} />`}
  </svg>`
}
