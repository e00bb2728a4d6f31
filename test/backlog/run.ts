import { parseArgs } from 'node:util'
import { type BacklogOptions, runBacklog } from './run-backlog.js'

/**
 * A backlog that grows on disk while there is no Kafka, over a kill of the gateway, and drains when Kafka is back:
 * memory stays bounded, the start is quick, everything comes in order, and the disk is free again. Then the same with
 * 10,000 topics, without and with 100 of them gone.
 *
 *   npm run test:backlog
 *   npm run test:backlog -- --gb 10 --topics 0
 *   npm run test:backlog -- --gb 0 --set wal.readAheadBytes=33554432
 */
const { values } = parseArgs({
  options: {
    /** Of the first part; 0: without it. */
    gb: { type: 'string', default: '2' },
    'value-bytes': { type: 'string', default: '4096' },
    /** Of the second part; 0: without it. */
    topics: { type: 'string', default: '10000' },
    /** Further settings of the gateway: `NAME=VALUE`. */
    set: { type: 'string', multiple: true, default: [] }
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const TOPICS_BYTES = 200 * MIB
const GONE = 100
/** What the others lose of their pace to topics that are gone, at most. */
const WANTED_PACE = 0.7

const startedAt = performance.now()
const say = (line: string): void =>
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${line}`)

let failures = 0

/** Returns records per second. */
async function measure(name: string, options: Omit<BacklogOptions, 'say' | 'settings'>): Promise<number> {
  say(`${name}: ${options.bytes / MIB} MiB in values of ${options.valueBytes} bytes, ${options.topics} topics`)
  const { records, restartMs, drainedPerSecond, problems, ...result } = await runBacklog({
    ...options,
    settings: values.set,
    say
  })
  say(
    `${name}: ${records} records, ready after ${restartMs.toFixed(0)} ms, drained at ${drainedPerSecond.toFixed(0)} records/s, ` +
      `peak RSS ${Math.round(result.peakRssBytes / MIB)} MiB, ${result.slabsLeft} slabs left`
  )
  for (const problem of problems.slice(0, 20)) console.log(`FAILED: ${problem}`)
  failures += problems.length
  return drainedPerSecond
}

const valueBytes = Number(values['value-bytes'])
const topics = Number(values.topics)
const bytes = Math.round(Number(values.gb) * GIB)
if (bytes > 0) await measure('backlog', { bytes, valueBytes, topics: 8, goneTopics: 0 })
if (topics > 0) {
  const many = { bytes: TOPICS_BYTES, valueBytes: 1_024, topics }
  const undisturbed = await measure('many topics', { ...many, goneTopics: 0 })
  const disturbed = await measure(`${GONE} of them gone`, { ...many, goneTopics: Math.min(GONE, topics - 1) })
  if (disturbed < undisturbed * WANTED_PACE) {
    console.log(
      `FAILED: ${disturbed.toFixed(0)} records/s beside topics that are gone, ${undisturbed.toFixed(0)} without`
    )
    failures++
  }
}
console.log(failures === 0 ? 'OK' : `FAILED: ${failures} problems`)
process.exit(failures === 0 ? 0 : 1)
