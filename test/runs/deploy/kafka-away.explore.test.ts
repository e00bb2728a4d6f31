import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'
import { FrontProxy, isInstalled } from '../../http/engine/proxies.js'
import { KafkaCluster } from '../real-kafka/cluster.js'
import { freePorts } from '../real-kafka/ports.js'
import { ask, haproxy, kindOf, nginx, type Ports } from './two-gateways.js'

const AWAY_MS = Number(process.env.AWAY_MS ?? 60_000)
const BEFORE_AND_AFTER_MS = 5_000
const CLIENTS = 16
const PAUSE_MS = 20
/** For a client that waits until the log of a gateway has synced its record, on a busy machine. */
const PATIENCE_MS = 120_000

/** What clients saw of one route. */
interface Seen {
  /** Values of records that were answered as accepted. */
  readonly accepted: string[]
  /** By answer: how often. */
  readonly refused: Map<string, number>
  slowestMs: number
}

describe('two gateways while all brokers of real Kafka are away for a minute', function () {
  this.timeout(AWAY_MS + 300_000)
  const children = new Children()
  let kafka: KafkaCluster
  let ports: Ports[]
  before(async () => {
    kafka = await KafkaCluster.start()
  })
  after(() => kafka.stop())
  beforeEach(async () => {
    const free = await freePorts(4)
    ports = [0, 1].map(index => ({ port: free[2 * index]!, management: free[2 * index + 1]! }))
    const gateways = await Promise.all(
      ports.map(({ port, management }) =>
        Gateway.start(children, [
          '--brokers',
          kafka.bootstrap,
          '--port',
          `${port}`,
          '--management-port',
          `${management}`
        ])
      )
    )
    for (const gateway of gateways) await gateway.until(200)
  })
  afterEach(() => children.stopAll())

  /** Clients of a route that keep their connections, until the signal fires. */
  async function load(socketPath: string, path: string, count: number, isOver: AbortSignal): Promise<Seen> {
    const agent = new Agent({ keepAlive: true, maxSockets: count })
    const seen: Seen = { accepted: [], refused: new Map(), slowestMs: 0 }
    const client = async (name: number): Promise<void> => {
      for (let turn = 0; !isOver.aborted; turn++, await sleep(PAUSE_MS)) {
        const [value, startedAt] = [`${name}-${turn}`, performance.now()]
        const answer = await ask(agent, socketPath, 'POST', `${path}/${name}`, value)
        seen.slowestMs = Math.max(seen.slowestMs, performance.now() - startedAt)
        if (/^2\d\d /.test(answer)) seen.accepted.push(value)
        else seen.refused.set(answer, (seen.refused.get(answer) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: count }, (_, name) => client(name)))
    agent.destroy()
    return seen
  }

  for (const name of ['haproxy', 'nginx'] as const) {
    it(`behind ${name}: a durable route takes every record and keeps it once; a route that waits for Kafka refuses`, async function () {
      const kind = kindOf(name)
      if (!isInstalled(kind)) return this.skip()
      const topic = `away-${name}`
      await kafka.createTopic(topic, 4)
      await kafka.createTopic(`${topic}-sync`, 4)
      const config = (folder: string): string => (name === 'nginx' ? nginx : haproxy)(folder, ports)
      const proxy = await FrontProxy.start({ ...kind, config }, new URL('http://x'))
      try {
        const socketPath = proxy.url.slice('unix:'.length)
        const over = new AbortController()
        const running = Promise.all([
          load(socketPath, `/arion/async/${topic}`, CLIENTS, over.signal),
          load(socketPath, `/arion/sync/${topic}-sync`, 2, over.signal)
        ])
        await sleep(BEFORE_AND_AFTER_MS)
        await Promise.all(kafka.nodeIds.map(node => kafka.signal(node, 'SIGKILL')))
        const wentAt = performance.now()
        await sleep(AWAY_MS)
        for (const node of kafka.nodeIds) kafka.startNode(node)
        await kafka.healed(topic)
        const awayMs = performance.now() - wentAt
        await sleep(BEFORE_AND_AFTER_MS)
        over.abort()
        const [durable, waiting] = await running
        const values = async (): Promise<string[]> => {
          const reader = children.start(['read', topic, '--brokers', kafka.bootstrap])
          await reader.exit()
          return reader.lines
        }
        const endedAt = performance.now()
        let records = await values()
        while (records.length < durable.accepted.length && performance.now() - endedAt < PATIENCE_MS)
          records = await values()
        const refused = [...waiting.refused].map(([answer, count]) => `${count} x ${answer.slice(0, 200)}`)
        console.log(
          `      away ${Math.round(awayMs)} ms; durable: ${durable.accepted.length} accepted, slowest ${Math.round(durable.slowestMs)} ms, ` +
            `all in Kafka ${Math.round(performance.now() - endedAt)} ms after the load\n` +
            `      sync: ${waiting.accepted.length} accepted, slowest ${Math.round(waiting.slowestMs)} ms, refused:\n        ${refused.join('\n        ')}`
        )
        expect(Object.fromEntries(durable.refused), 'refused by the durable route').to.deep.equal({})
        expect(records.sort(), 'records in Kafka').to.deep.equal([...durable.accepted].sort())
        expect(waiting.accepted, 'accepted by the route that waits').to.not.be.empty
      } finally {
        await proxy.stop()
      }
    })
  }
})
