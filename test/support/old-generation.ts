import { getHeapSpaceStatistics } from 'node:v8'
import { collectGarbage } from './held-bytes.js'

const collectNew = (): void => (collectGarbage as (options: object) => void)({ type: 'minor' })

const oldBytes = (): number =>
  getHeapSpaceStatistics().reduce(
    (sum, { space_name, space_used_size }) => (space_name.startsWith('new_') ? sum : sum + space_used_size),
    0
  )

/** Bytes by which V8's old generation grows in a run: what is freed only when the whole heap is collected. */
export function grownOldBytes(run: () => void): number {
  for (const _ of [1, 2]) collectGarbage()
  const before = oldBytes()
  run()
  for (const _ of [1, 2]) collectNew()
  return oldBytes() - before
}
