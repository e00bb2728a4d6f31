import { setFlagsFromString } from 'node:v8'

/** Of what was in use after the last collection. V8's own choice is up to 300. */
const GROWTH_PERCENT = 100

/**
 * From now on V8 collects garbage when the heap of this process has doubled, rather than when it is four times as large. What
 * is on its way from the log to Kafka lives long enough to leave V8's young generation, and while a backlog for 10,000
 * topics drains, the garbage of it would take most of the memory of the process. Costs some CPU time in such work, and none
 * where little lives that long.
 */
export function boundHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
