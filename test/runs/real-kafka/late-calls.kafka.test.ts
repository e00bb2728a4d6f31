import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { ownerAmong } from '../../../src/deployment/verbs/peer-instances.js'
import { type Direction, HoldingProxy, type ProxiedConnection } from '../../support/holding-proxy.js'
import { freshTopic } from '../../support/target-cluster.js'
import { GatewayProcess } from './gateway-process.js'
import { freePorts } from './ports.js'
import { runningKafka } from './shared-cluster.js'

const BOTH = ['toServer', 'toClient'] as const
/** A client that waits this long for an answer leaves. */
const IMPATIENT_MS = 1_000
/** A gateway that other gateways do not answer goes on by itself within this time. */
const PATIENT_MS = 30_000
/** How long the bytes of late calls have until their effects would be seen. */
const SETTLE_MS = 500

interface Answer {
  readonly status: number
  readonly body: unknown
}

async function ask(
  { url }: GatewayProcess,
  [method, path, body]: Request,
  waitMs = PATIENT_MS
): Promise<Answer | undefined> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  try {
    const answer = await fetch(url + path, { method, ...sent, signal: AbortSignal.timeout(waitMs) })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') return undefined
    throw error
  }
}

/** What a client changes of a consumer instance, and what it changes later. */
interface Change {
  readonly prepare: (path: string) => Request[]
  readonly first: (path: string) => Request
  readonly later: (path: string) => Request
  /** What is asked for at the end, and its answer. */
  readonly shown: (path: string) => Request
  readonly expected: (topic: string) => unknown
}
type Request = readonly [method: string, path: string, body?: unknown]

describe('calls between gateways that arrive late, on real Kafka', function () {
  this.timeout(120_000)
  const topic = freshTopic('late')
  let a: GatewayProcess
  let b: GatewayProcess
  /** Between them: calls of `a`, and calls of `b`. */
  let [toB, toA]: HoldingProxy[] = []
  let ids: string[]
  let groups = 0

  before(async () => {
    const { workspace, bootstrap } = runningKafka()
    const [portA, portB] = (await freePorts(2)) as [number, number]
    toA = await HoldingProxy.start({ port: portA })
    toB = await HoldingProxy.start({ port: portB })
    const start = (listen: number, other: HoldingProxy): Promise<GatewayProcess> => {
      const settings = [
        `peers.addresses=127.0.0.1:${other.port}`,
        `peers.listen=127.0.0.1:${listen}`,
        'peers.token=a secret of more than thirty-two bytes',
        'consumer.sessionTimeoutMs=6000',
        'consumer.start=earliest'
      ]
      return GatewayProcess.start(workspace, bootstrap, ...settings.flatMap(setting => ['--set', setting]))
    }
    ;[a, b] = await Promise.all([start(portA, toB), start(portB, toA)])
    ids = [a, b].map(gateway => /"peer":"(\w+)","msg":"listening for/.exec(gateway.log())![1]!)
    await runningKafka().createTopic(topic, 1)
    const records = Array.from({ length: 100 }, () => ({ topic, partition: 0, data: '' }))
    expect((await ask(a, ['POST', '/kprf/push', { records, wait_for_send: true }]))?.status).to.equal(200)
  })
  /** The gateways know each other. */
  beforeEach(async () => {
    for (const { managementUrl } of [a, b]) {
      while (!/castellan_peers_gateways\S* 1/.test(await (await fetch(`${managementUrl}/metrics`)).text()))
        await pass(50)
    }
  })
  after(async () => {
    for (const gateway of [a, b]) gateway?.process.kill('SIGKILL')
    for (const proxy of [toA, toB]) await proxy?.close()
  })

  /** The path of a new instance `one`, in a group of its own, whose owner is `b`. */
  const pathAtB = (): string => {
    for (;;) {
      const groupId = `${topic}-${++groups}`
      if (ownerAmong(ids, 'default', { groupId, name: 'one' }) === ids[1]) return `/confluent/consumers/${groupId}`
    }
  }
  const create = (path: string): Request => [
    'POST',
    path,
    { name: 'one', format: 'binary', 'auto.commit.enable': 'false' }
  ]
  const instance = (path: string): string => `${path}/instances/one`
  const offsets = (offset: number) => ({ offsets: [{ topic, partition: 0, offset }] })
  const changes: Readonly<Record<string, Change>> = {
    'a commit': {
      prepare: path => [['POST', `${instance(path)}/assignments`, { partitions: [{ topic, partition: 0 }] }]],
      first: path => ['POST', `${instance(path)}/offsets`, offsets(9)],
      later: path => ['POST', `${instance(path)}/offsets`, offsets(49)],
      shown: path => ['GET', `${instance(path)}/offsets?topic=${topic}&partition=0`],
      expected: () => ({ offsets: [{ topic, partition: 0, offset: 50, metadata: '' }] })
    },
    'a subscription': {
      prepare: () => [],
      first: path => ['POST', `${instance(path)}/subscription`, { topics: [`${topic}-1`] }],
      later: path => ['POST', `${instance(path)}/subscription`, { topics: [`${topic}-2`] }],
      shown: path => ['GET', `${instance(path)}/subscription`],
      expected: () => ({ topics: [`${topic}-2`] })
    },
    'a removal': {
      prepare: () => [],
      first: path => ['DELETE', instance(path)],
      later: path => create(path),
      shown: path => ['GET', `${instance(path)}/assignments`],
      expected: () => ({ partitions: [] })
    }
  }

  /** Every instance with its change, when it has been prepared through `a`. */
  const prepared = async (): Promise<[what: string, path: string, change: Change][]> =>
    Promise.all(
      Object.entries(changes).map(async ([what, change]): Promise<[string, string, Change]> => {
        const path = pathAtB()
        for (const request of [create(path), ...change.prepare(path)]) {
          const answer = await ask(a, request)
          expect(answer?.status, `${request}: ${JSON.stringify(answer?.body)}`).to.be.within(200, 299)
        }
        return [what, path, change]
      })
    )

  /** Resolves when the late calls were answered, and what they do was done. */
  const arrive = async (late: ReadonlySet<ProxiedConnection>, release: () => void): Promise<void> => {
    const answered = new Set<ProxiedConnection>()
    toB!.onBytes = (connection, direction) => void (direction === 'toClient' && answered.add(connection))
    release()
    for (const endsAt = performance.now() + 3_000; performance.now() < endsAt; await pass(20)) {
      if ([...late].every(connection => answered.has(connection))) break
    }
    toB!.onBytes = () => undefined
    await pass(SETTLE_MS)
  }
  /** Notes the connections with calls for instances. */
  const noteCalls = (onCall: (connection: ProxiedConnection) => void = () => undefined): Set<ProxiedConnection> => {
    const calls = new Set<ProxiedConnection>()
    toB!.onBytes = (connection, direction, bytes) => {
      if (
        direction !== 'toServer' ||
        !/instance%20(commit|subscribe|remove|create)|\/call\/acks/.test(bytes.toString('latin1'))
      )
        return
      calls.add(connection)
      onCall(connection)
    }
    return calls
  }
  const shown = async (all: Awaited<ReturnType<typeof prepared>>): Promise<void> => {
    const wrong: string[] = []
    for (const [what, path, change] of all) {
      for (const gateway of [a, b]) {
        const answer = await ask(gateway, change.shown(path))
        const [found, expected] = [answer?.body, change.expected(topic)].map(one => JSON.stringify(one))
        if (found !== expected) wrong.push(`${what}: ${answer?.status} ${found} instead of ${expected}`)
      }
    }
    expect(wrong).to.deep.equal([])
  }

  for (const [where, directions] of [
    ['in both directions', BOTH],
    ['in one direction', ['toServer']]
  ] as [string, Direction[]][])
    it(`change nothing that was changed later, when the network between gateways stood still ${where}`, async () => {
      const all = await prepared()
      const calls = noteCalls()
      toB!.hold(...directions)
      if (directions.length > 1) toA!.hold(...directions)
      await Promise.all(
        all.map(async ([what, path, change]) => {
          // `a` answers what it could not pass on. Later a load balancer chooses the other one.
          for (const [at, request] of [
            [a, change.first(path)],
            [b, change.later(path)]
          ] as const) {
            const answer = await ask(at, request)
            expect(answer?.status, `${what}: ${JSON.stringify(answer?.body)}`).to.be.within(200, 299)
          }
        })
      )
      expect(calls.size).to.be.at.least(all.length)
      await arrive(calls, () => [toA, toB].forEach(proxy => void proxy!.release()))
      await shown(all)
    })

  it('change nothing that was changed later, when one of several connections stood still', async () => {
    const all = await prepared()
    const calls = noteCalls(connection => connection.hold(...BOTH))
    await Promise.all(all.map(([, path, change]) => ask(a, change.first(path), IMPATIENT_MS)))
    expect(calls.size).to.equal(all.length)
    toB!.onBytes = () => undefined
    await Promise.all(
      all.map(async ([what, path, change]) => {
        // What the client wanted first has not come: it asks the other gateway, and goes on at either.
        for (const [at, request] of [
          [b, change.first(path)],
          [a, change.later(path)]
        ] as const) {
          const answer = await ask(at, request)
          expect(answer?.status, `${what}: ${JSON.stringify(answer?.body)}`).to.be.within(200, 299)
        }
      })
    )
    await arrive(calls, () => {
      for (const connection of calls) connection.release()
    })
    await shown(all)
  })

  it('acknowledge no message of a topic that was created anew meanwhile', async () => {
    const [orders, group] = [freshTopic('anew'), freshTopic('anew-group')]
    const messages = `/pixy/topics/${orders}`
    const write = async (...values: string[]): Promise<void> => {
      await runningKafka().createTopic(orders, 1)
      const records = values.map(data => ({ topic: orders, partition: 0, data }))
      expect((await ask(b, ['POST', '/kprf/push', { records, wait_for_send: true }]))?.status).to.equal(200)
    }
    const next = async (): Promise<string> => {
      const answer = await ask(b, ['GET', `${messages}/messages?group=${group}&noAck`])
      return String(Buffer.from((answer?.body as { value?: string } | undefined)?.value ?? '', 'base64'))
    }
    const ack = (offset: number) => ask(a, ['POST', `${messages}/acks?group=${group}&partition=0&offset=${offset}`])
    await write('first', 'second')
    expect([await next(), await next()]).to.deep.equal(['first', 'second'])
    expect((await ack(1))?.status).to.equal(200)
    const calls = noteCalls(connection => connection.hold(...BOTH))
    expect((await ack(0))?.status).to.equal(500)
    expect(calls.size).to.equal(1)
    await runningKafka().admin.ask('deleteTopic', orders)
    await write('of the new topic')
    let value = await next()
    for (const endsAt = performance.now() + PATIENT_MS; value === '' && performance.now() < endsAt; )
      value = await next()
    expect(value).to.equal('of the new topic')
    await arrive(calls, () => calls.forEach(connection => void connection.release()))
    await pass(2 * SETTLE_MS)
    const answer = await ask(b, ['GET', `${messages}/offsets?group=${group}`])
    expect(answer?.body).to.have.nested.property('[0].offset', 0)
  })

  it('are answered 503 when their answers were lost: the instance may be created, and may be removed', async () => {
    const [created, removed] = [pathAtB(), pathAtB()]
    expect((await ask(a, create(removed)))?.status).to.equal(200)
    const calls = noteCalls()
    const noted = toB!.onBytes
    const carriedOut = new Set<ProxiedConnection>()
    toB!.onBytes = (connection, direction, bytes) => {
      noted(connection, direction, bytes)
      if (direction !== 'toClient' || !calls.has(connection) || !bytes.includes('"type":"done"')) return
      connection.hold('toClient')
      // From here on `a` finds out that nothing comes from `b` any more.
      if (carriedOut.add(connection).size === 2) toB!.hold('toClient')
    }
    const answers = await Promise.all([ask(a, create(created)), ask(a, ['DELETE', instance(removed)])])
    toB!.release()
    expect(answers.map(answer => answer?.status)).to.deep.equal([503, 503])
    const statusOf = async (path: string) => (await ask(a, ['GET', `${instance(path)}/assignments`]))?.status
    expect([await statusOf(created), await statusOf(removed)]).to.deep.equal([200, 404])
  })
})
