import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { Kafka, logLevel } from 'kafkajs'
import { freePorts } from '../real-kafka/ports.js'
import { SeededRandom } from '../support/random.js'
import { freshTopic } from '../support/target-cluster.js'
import { endOnSignals, sayWithTime } from '../support/tool.js'
import { countOption, seedOption, toolOptions } from '../support/tool-options.js'
import { CLUSTERS, type ClusterName, clusterOf } from './clusters.js'
import { Gateway } from './gateway.js'

const PARTITIONS = 12
const CLIENTS = 64
const RETRY_MS = 20
/** How often the present state is told. */
const SAY_MS = 10_000

const values = toolOptions<{ readonly on: ClusterName; readonly records: number; readonly seed: number }>(
  new Command('npm run test:acks --')
    .description(
      "Records are written through Kafka-Pixy's API, and read by one group, each request at one of two gateways by lot, as behind\n" +
        'a load balancer: a record that one of them has given out is acknowledged at either. Each record has to be given out.'
    )
    .addOption(new Option('--on <WHERE>', 'the embedded broker, or real Kafka').choices(CLUSTERS).default('embedded'))
    .addOption(countOption('--records <N>', 'records that are written', 1_000_000))
    .addOption(seedOption())
)
endOnSignals()

interface Given {
  readonly partition: number
  readonly offset: number
}

const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })

function ask(method: string, url: string, body?: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'text/plain', 'content-length': body.length }
    const sent = request(url, { method, agent, headers }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => (text += piece))
      response.on('end', () => resolve({ status: response.statusCode!, text }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

const say = sayWithTime()
const { records, seed } = values
const random = new SeededRandom(seed)
const cluster = await clusterOf(values.on)
const { bootstrap } = cluster.target
const topic = freshTopic('acks')
const group = `${topic}-group`
await cluster.target.createTopic(topic, PARTITIONS)
const directory = mkdtempSync(join(tmpdir(), 'castellan-acks-'))
const peers = (await freePorts(2)).map(port => `127.0.0.1:${port}`)
const gateways: Gateway[] = []
for (const [at, listen] of peers.entries()) {
  const own = join(directory, String(at))
  mkdirSync(own)
  const flags = [
    `peers.addresses=${peers.join(',')}`,
    `peers.listen=${listen}`,
    'peers.token=a secret of more than thirty-two bytes',
    'consumer.start=earliest',
    'consumer.longPollMs=200'
  ]
  gateways.push(await Gateway.make({ directory: own, bootstrap, flags }))
}
await Promise.all(gateways.map(gateway => gateway.start()))
const path = (rest: string): string => `${random.pick(gateways).url}/pixy/topics/${topic}/${rest}`

say(`${values.on}, seed ${seed}: ${records} records`)
let written = 0
await Promise.all(
  Array.from({ length: CLIENTS }, async () => {
    while (written < records) {
      const number = ++written
      const { status } = await ask('POST', path('messages'), String(number))
      if (status !== 200) throw new Error(`record ${number} was answered ${status}`)
    }
  })
)
say(`${written} records written`)

const admin = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
await admin.connect()
/** By partition and offset, how often a record was given out. */
const seen = Array.from({ length: PARTITIONS }, () => new Map<number, number>())
let distinct = 0
let given = 0
let elsewhere = 0
let refused = 0
const telling = setInterval(() => say(`${distinct} of ${records} given out`), SAY_MS)
await Promise.all(
  Array.from({ length: CLIENTS }, async () => {
    let at = random.between(0, 1)
    while (distinct < records) {
      const from = gateways[at]!
      const { status, text } = await ask('GET', `${from.url}/pixy/topics/${topic}/messages?group=${group}&noAck`)
      if (status !== 200) {
        at = 1 - at
        await sleep(RETRY_MS)
        continue
      }
      const { partition, offset } = JSON.parse(text) as Given
      const times = seen[partition]!.get(offset) ?? 0
      seen[partition]!.set(offset, times + 1)
      if (times === 0) distinct++
      given++
      const to = random.pick(gateways)
      if (to !== from) elsewhere++
      const ack = `${to.url}/pixy/topics/${topic}/acks?group=${group}&partition=${partition}&offset=${offset}`
      if ((await ask('POST', ack)).status !== 200) refused++
      if (random.next() < 0.1) at = 1 - at
    }
  })
)
clearInterval(telling)
const lag = async (): Promise<number> => {
  const ends = await admin.fetchTopicOffsets(topic)
  const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
  const committed = new Map(found!.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
  return ends.reduce((sum, { partition, high }) => sum + Number(high) - Math.max(0, committed.get(partition) ?? 0), 0)
}
let left = await lag()
for (let looks = 0; left > 0 && looks < 100; looks++) {
  await sleep(100)
  left = await lag()
}
await admin.disconnect()
say(
  `${distinct} of ${records} records were given out, ${given - distinct} of them again; ${elsewhere} acknowledged at the other gateway, ` +
    `${refused} acknowledgements refused; the group's lag is ${left}`
)
const codes = await Promise.all(gateways.map(gateway => gateway.stop()))
await cluster.close()
agent.destroy()
rmSync(directory, { recursive: true, force: true })
const isFine = distinct === records && codes.every(code => code === 0)
console.log(isFine ? 'OK' : `FAILED (seed ${seed})`)
process.exit(isFine ? 0 : 1)
