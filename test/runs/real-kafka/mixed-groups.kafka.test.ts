import { type ChildProcess, spawn } from 'node:child_process'
import { expect } from 'chai'
import { GroupInstance } from '../../support/group-instance.js'
import { freshTopic } from '../../support/target-cluster.js'
import { javaArguments, kafkaClasspath } from './jars.js'
import { tools } from './java-tools.js'
import { runningKafka } from './shared-cluster.js'

const PARTITIONS = 6

/** A consumer of another client, which writes a line for each record. */
class ForeignConsumer {
  readonly values: string[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  constructor(command: string, args: readonly string[], toValue: (line: string) => string | undefined) {
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    this.#ended = new Promise(resolve => this.#child.once('close', () => resolve()))
    let rest = ''
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const value of lines.map(toValue)) if (value !== undefined) this.values.push(value)
    })
  }

  /** As by Ctrl-C: it commits and leaves. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#ended
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** The value of a record that Kafka's verifiable consumer tells, as JSON. */
function valueOfJson(line: string): string | undefined {
  if (!line.includes('"record_data"')) return undefined
  return (JSON.parse(line) as { value: string }).value
}

describe('a group shared with kafka-clients and kcat', function () {
  this.timeout(180_000)
  const consumers: ForeignConsumer[] = []
  const instances: GroupInstance[] = []
  afterEach(async () => {
    for (const consumer of consumers.splice(0)) consumer.kill()
    await Promise.all(instances.splice(0).map(instance => instance.stop()))
  })

  it('rebalances and splits the partitions, and nothing is lost', async () => {
    const { bootstrap } = runningKafka()
    const [topic, group] = [freshTopic('mixed'), freshTopic('mixed-group')]
    await runningKafka().createTopic(topic, PARTITIONS)
    const classpath = await kafkaClasspath()
    const ours = await GroupInstance.start(bootstrap, { start: 'earliest', revocationMs: 1_000 })
    instances.push(ours)
    const produced: string[] = []
    const produceRound = async (name: string): Promise<void> => {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const values = Array.from({ length: 20 }, (_, at) => `${name}-${partition}-${at}`)
        await ours.produce(topic, partition, values)
        produced.push(...values)
      }
    }
    const seen: string[] = []
    const stop = new AbortController()
    const reading = (async () => {
      for await (const message of ours.castellan.consume({ group, topics: topic, signal: stop.signal })) {
        seen.push(String(message.value))
        message.ack()
      }
    })()
    const until = async (what: string, holds: () => boolean): Promise<void> => {
      for (const endsAt = Date.now() + 60_000; !holds(); ) {
        if (Date.now() > endsAt) throw new Error(`never: ${what}`)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }
    const all = (): Set<string> => new Set([...seen, ...consumers.flatMap(({ values }) => values)])

    await produceRound('alone')
    await until('we have all', () => seen.length >= produced.length)

    const latest = [
      '-X',
      'auto.offset.reset=earliest',
      '-X',
      'session.timeout.ms=6000',
      '-X',
      'heartbeat.interval.ms=500'
    ]
    const kcat = new ForeignConsumer(
      'kcat',
      ['-b', bootstrap, '-G', group, '-q', '-u', '-f', '%s\n', ...latest, topic],
      line => line
    )
    const range = 'org.apache.kafka.clients.consumer.RangeAssignor'
    const options = ['--bootstrap-server', bootstrap, '--topic', topic, '--group-id', group, '--verbose']
    const java = new ForeignConsumer(
      'java',
      [...javaArguments(classpath, 192), tools.verifiableConsumer, ...options, '--assignment-strategy', range],
      valueOfJson
    )
    consumers.push(kcat, java)
    for (let round = 0; kcat.values.length === 0 || java.values.length === 0; round++) {
      if (round > 60) throw new Error('the others never got a partition')
      await produceRound(`shared${round}`)
      await new Promise(resolve => setTimeout(resolve, 500))
    }
    await until('all is read', () => all().size === produced.length)
    const before = seen.length
    await produceRound('together')
    await until('all is read', () => all().size === produced.length)
    // A third each.
    expect(seen.length - before).to.be.within(20, 60)

    await Promise.all([kcat.stop(), java.stop()])
    const alone = seen.length
    await produceRound('alone again')
    await until('we have all that came since', () => seen.length >= alone + 6 * 20)
    expect(all().size).to.equal(produced.length)
    const handled = seen.length + kcat.values.length + java.values.length
    console.log(`      ${produced.length} records, ${handled - produced.length} of them twice`)
    stop.abort()
    await reading
  })
})
