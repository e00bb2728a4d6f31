import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { type Direction, HoldingProxy, type ProxiedConnection } from '../../support/holding-proxy.js'
import { freshTopic } from '../../support/target-cluster.js'
import { GatewayProcess } from './gateway-process.js'
import { runningKafka } from './shared-cluster.js'

const CREATE_TOPICS = 19
const DELETE_TOPICS = 20
const PATIENT_MS = 30_000

describe('changes of topics whose bytes stand still on their way to real Kafka', function () {
  this.timeout(120_000)
  let gateway: GatewayProcess
  let proxies: HoldingProxy[] = []
  let topics: string
  /** Requests of each kind that were sent. */
  let sent: number[]

  before(async () => {
    const { workspace, ports } = runningKafka()
    proxies = await Promise.all(
      ports.map(({ proxied: port }) => HoldingProxy.start({ port }, { host: '127.0.0.2', port }))
    )
    const brokers = ports.map(({ proxied }) => `127.0.0.2:${proxied}`).join(',')
    const settings = ['apis.confluent.administration=everywhere', 'advanced.router.callTimeoutMs=1500']
    gateway = await GatewayProcess.start(workspace, brokers, ...settings.flatMap(setting => ['--set', setting]))
    const clusters = (await ask('GET', '/confluent/v3/clusters')).body as { data: { cluster_id: string }[] }
    topics = `/confluent/v3/clusters/${clusters.data[0]!.cluster_id}/topics`
  })
  after(async () => {
    gateway?.process.kill('SIGKILL')
    for (const proxy of proxies) await proxy.close()
  })

  const ask = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const json =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const answer = await fetch(gateway.url + path, { method, ...json, signal: AbortSignal.timeout(PATIENT_MS) })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
  }
  const create = (topic: string) =>
    ask('POST', topics, { topic_name: topic, partitions_count: 1, replication_factor: runningKafka().ports.length })
  const statusOf = async (topic: string): Promise<number> => (await ask('GET', `${topics}/${topic}`)).status

  /** The first request with this key stands still, or its answer. */
  const hold = (key: number, direction: Direction): ProxiedConnection[] => {
    const held: ProxiedConnection[] = []
    sent = []
    for (const proxy of proxies) {
      proxy.onBytes = (connection, towards, bytes) => {
        if (towards !== 'toServer' || bytes.length < 6 || bytes.readInt16BE(4) !== key) return
        sent.push(key)
        if (sent.length > 1) return
        held.push(connection)
        connection.hold(direction)
      }
    }
    return held
  }
  /** Resolves when Kafka has answered what arrives now. */
  const arrive = async ([late]: readonly ProxiedConnection[]): Promise<void> => {
    let isAnswered = false
    for (const proxy of proxies) {
      proxy.onBytes = (connection, direction) => void (isAnswered ||= connection === late && direction === 'toClient')
    }
    late!.release()
    for (const endsAt = performance.now() + 5_000; !isAnswered && performance.now() < endsAt; ) await pass(20)
    expect(isAnswered).to.equal(true)
    // Brokers learn of it one after another.
    await pass(1_000)
  }

  it('delete no topic that was created anew, and none of its acknowledged records', async () => {
    const topic = freshTopic('late')
    expect((await create(topic)).status).to.equal(201)
    const held = hold(DELETE_TOPICS, 'toServer')
    expect((await ask('DELETE', `${topics}/${topic}`)).status).to.equal(204)
    expect((await create(topic)).status).to.equal(201)
    const records = [{ topic, partition: 0, data: 'acknowledged' }]
    expect((await ask('POST', '/kprf/push', { records, wait_for_send: true })).status).to.equal(200)
    await arrive(held)
    expect(await statusOf(topic)).to.equal(200)
    const log = (await ask('GET', `/confluent/topics/${topic}/partitions/0/offsets`)).body
    expect(log).to.include({ beginning_offset: 0, end_offset: 1 })
  })

  it('are sent once where they create a topic, and are in doubt', async () => {
    const topic = freshTopic('late')
    const held = hold(CREATE_TOPICS, 'toServer')
    const { status } = await create(topic)
    expect([status, sent.length]).to.deep.equal([500, 1])
    await arrive(held)
  })

  it('are answered as made where only their answer stood still', async () => {
    const topic = freshTopic('late')
    const held = hold(CREATE_TOPICS, 'toClient')
    const { status } = await create(topic)
    expect([status, sent.length, held.length]).to.deep.equal([201, 1, 1])
    expect(await statusOf(topic)).to.equal(200)
    held[0]!.release()
  })
})
