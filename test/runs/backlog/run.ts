import { Command, Option } from 'commander'
import { countOption, listOption, numberFrom, toolOptions, usageError } from '../../support/tool-options.js'
import { endOnSignals, sayWithTime } from '../tool.js'
import { type BacklogOptions, runBacklog } from './run-backlog.js'

const command = new Command('npm run test:backlog --')
  .description(
    'A backlog that grows on disk while there is no Kafka, over a kill of the gateway, and drains when Kafka is back:\n' +
      'memory stays bounded, the start is quick, everything comes in order, and the disk is free again. Then the same with\n' +
      'many topics, without and with 100 of them gone.'
  )
  .addOption(new Option('--gb <N>', 'size of the first part; 0: without it').argParser(numberFrom(0)).default(2))
  .addOption(countOption('--value-bytes <N>', 'size of a value', 4_096))
  .addOption(countOption('--topics <N>', 'topics of the second part; 0: without it', 10_000, 0))
  .addOption(listOption('--set <NAME=VALUE>', 'settings of the gateway'))
const values = toolOptions<{
  readonly gb: number
  readonly valueBytes: number
  readonly topics: number
  readonly set: readonly string[]
}>(command)
if (values.gb === 0 && values.topics === 0) usageError(command, '--gb 0 --topics 0 leaves nothing to measure')
endOnSignals()

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const TOPICS_BYTES = 200 * MIB
const GONE = 100
/** What the others lose of their pace to topics that are gone, at most. */
const WANTED_PACE = 0.7

const say = sayWithTime()

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
      `peak RSS ${Math.round(result.peakRssBytes / MIB)} MiB, ${result.segmentsLeft} segments left`
  )
  for (const problem of problems.slice(0, 20)) console.log(`FAILED: ${problem}`)
  failures += problems.length
  return drainedPerSecond
}

const { topics, valueBytes } = values
const bytes = Math.round(values.gb * GIB)
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
