import { parseArgs } from 'node:util'
import { runSoak } from './run-soak.js'

/**
 * `node --expose-gc --import tsx test/soak/soak.ts [--seconds 600] [--seed N] [--actors 1000]`: the long soak. Prints its
 * seed first, so that a failure can be repeated; ends with `1 passed, 0 failed` or the reverse.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    actors: { type: 'string', default: '1000' }
  }
})
const seed = Number(values.seed)
console.log(`soak: seed ${seed}, ${values.seconds} s, ${values.actors} actors`)
if (!globalThis.gc) console.log('without --expose-gc the slopes include garbage')
const report = await runSoak({
  seed,
  seconds: Number(values.seconds),
  actors: Number(values.actors),
  onSample: console.log
})
console.log(JSON.stringify(report, null, 2))
const wrong = [
  report.answered !== report.sent && `${report.sent - report.answered} requests were not answered`,
  report.doubled > 0 && `${report.doubled} requests were answered twice`,
  report.cacheMaxBytes > report.cacheBound && 'the cache was larger than its bound',
  report.rssSlopeMbPerMinute > 1 && `RSS grew by ${report.rssSlopeMbPerMinute.toFixed(2)} MB/min`,
  Object.keys(report.faultsFired).length === 0 && 'no fault has fired'
].filter(Boolean)
for (const line of wrong) console.log(`WRONG: ${line}`)
console.log(wrong.length === 0 ? '1 passed, 0 failed' : '0 passed, 1 failed')
process.exit(wrong.length === 0 ? 0 : 1)
