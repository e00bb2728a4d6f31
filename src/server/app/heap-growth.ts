import { setFlagsFromString } from 'node:v8'

/** Of what was in use after the last collection. V8's own choice is up to 300. */
const GROWTH_PERCENT = 100

/**
 * From now on V8 collects garbage when the heap of this process has doubled, rather than when it is four times as large. What
 * waits for Kafka or for a client lives long enough to leave V8's young generation, and the garbage of it would take most of
 * the memory of the process: 100 MB while 256 clients write or read, more while a backlog for 10,000 topics drains. Costs
 * some CPU time where much lives that long, and none that can be measured where little does.
 */
export function boundHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
