import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { makeToken } from '../../support/access.js'
import { type PeerAddress, peerSettings } from '../../support/peer-address.js'
import { onCluster } from '../../support/stage.js'
import { pauseAll, resumeAll } from '../../support/target-cluster.js'

const HEADER = 'x-castellan-receipt'

describe('receipts', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let folder: string
  let app: App | undefined
  beforeEach(() => {
    folder = stage.folder()
  })

  const start = async (settings: Readonly<Record<string, string>> = {}): Promise<App> => {
    app = await stage.app({
      'wal.directory': join(folder, 'wal'),
      'apis.kprf.durability': 'disk',
      'apis.kafboy.durability': 'disk',
      'apis.kafka-pixy.durability': 'disk',
      'apis.confluent.durability': 'disk',
      'apis.strimzi.durability': 'disk',
      ...settings
    })
    return app
  }
  const post = (url: string, type: string, body: string, headers: Readonly<Record<string, string>> = {}) =>
    fetch(url, { method: 'POST', headers: { 'content-type': type, ...headers }, body })
  const receiptOf = (response: Response): string => {
    const receipt = response.headers.get(HEADER)
    expect(receipt, `${response.status}`).to.match(/^[\w-]{36,}$/)
    return receipt!
  }

  it('come with every answer of a durable route of every API, and are answered on every port', async () => {
    const { urls } = await start({ 'apis.arion.port': '0', 'apis.kprf.port': '0' })
    const topic = await stage.topic('receipts')
    const records = JSON.stringify({ records: [{ key: 'k', value: 'v' }] })
    const v3 = JSON.stringify({ value: { type: 'STRING', data: 'v' } })
    const { shared } = urls
    const cases: [name: string, path: string, type: string, body: string][] = [
      ['arion', `/arion/async/${topic}`, 'text/plain', 'v'],
      ['arion', `/arion/sync/${topic}`, 'text/plain', 'v'],
      ['kprf', '/kprf/push', 'application/json', JSON.stringify({ records: [{ topic, data: 'v' }] })],
      ['kafboy', `/kafboy/async/${topic}`, 'application/json', '{"v":1}'],
      ['kafka-pixy', `/pixy/topics/${topic}/messages?key=k`, 'text/plain', 'v'],
      ['confluent', `/confluent/topics/${topic}`, 'application/vnd.kafka.json.v2+json', records],
      ['confluent', `/confluent/v3/clusters/c1/topics/${topic}/records`, 'application/json', v3],
      ['strimzi', `/strimzi/topics/${topic}`, 'application/vnd.kafka.json.v2+json', records]
    ]
    let offset = 0
    for (const [name, path, type, body] of cases) {
      const answered = await post(new URL(path, shared).href, type, body)
      const id = receiptOf(answered)
      for (const base of [shared, ...urls.apis.values()]) {
        const asked = await fetch(new URL(`/receipts/${id}?wait=30s`, base))
        expect([name, asked.status, asked.headers.get('cache-control')]).to.deep.equal([name, 200, 'no-store'])
        const { records: states, ...rest } = (await asked.json()) as { records: { timestamp: number }[] }
        expect(rest).to.deep.equal({ receipt: id, settled: true, count: 1 })
        expect({ ...states[0], timestamp: 0 }).to.deep.equal({
          index: 0,
          state: 'inKafka',
          topic,
          partition: 0,
          offset,
          timestamp: 0
        })
      }
      offset++
    }
  })

  it('tell for each record of a request that Kafka has it, after a restart as well', async () => {
    const { urls } = await start()
    const [topic, illegal] = [await stage.topic('receipts', 2), 'not a legal name']
    const body = [topic, illegal, topic].map((name, nth) => ({ topic: name, data: String(nth) }))
    const pushed = await post(`${urls.shared}/kprf/push`, 'application/json', JSON.stringify({ records: body }))
    const id = receiptOf(pushed)
    const before = await fetch(`${urls.shared}/receipts/${id}?wait=30s`)
    const stateOf = async (response: Response): Promise<string[]> =>
      ((await response.json()) as { records: { state: string }[] }).records.map(({ state }) => state)
    expect(await stateOf(before)).to.deep.equal(['inKafka', 'refused', 'inKafka'])
    await app!.stop()
    const again = await start()
    expect(await stateOf(await fetch(`${again.urls.shared}/receipts/${id}`))).to.deep.equal([
      'inKafka',
      'refused',
      'inKafka'
    ])
  })

  it('are answered to the client that sent the records only', async () => {
    const [ann, bob] = [makeToken(), makeToken()]
    const tokens = [
      { principal: 'ann', sha256: ann.sha256 },
      { principal: 'bob', sha256: bob.sha256 }
    ]
    const rules = [{ principals: ['*'], operations: ['produce'], topics: ['*'] }]
    const { urls } = await start({ 'auth.tokens': JSON.stringify(tokens), 'access.rules': JSON.stringify(rules) })
    const topic = await stage.topic('receipts')
    const as = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` })
    const id = receiptOf(await post(`${urls.shared}/arion/sync/${topic}`, 'text/plain', 'v', as(ann)))
    const asked = (headers: Readonly<Record<string, string>>) => fetch(`${urls.shared}/receipts/${id}`, { headers })
    expect((await asked(as(ann))).status).to.equal(200)
    const [ofBob, invented] = await Promise.all([
      asked(as(bob)),
      fetch(`${urls.shared}/receipts/${'A'.repeat(38)}`, { headers: as(bob) })
    ])
    expect([ofBob.status, await ofBob.text()]).to.deep.equal([404, await invented.text()])
    expect((await asked({})).status).to.equal(401)
  })

  it('are the answer to a synchronous request whose client prefers not to wait, while Kafka is away', async () => {
    const { urls } = await start({ 'apis.arion.syncTimeoutMs': '60000' })
    const topic = await stage.topic('receipts')
    const sync = `${urls.shared}/arion/sync/${topic}`
    expect((await post(sync, 'text/plain', 'v', { prefer: 'respond-async, wait=60' })).status).to.equal(201)
    expect((await post(sync, 'text/plain', 'v', { prefer: 'return=minimal' })).status).to.equal(201)
    await pauseAll(stage.cluster)
    try {
      for (const prefer of ['respond-async', 'handling=lenient, Respond-Async; wait=0', 'wait=1, respond-async']) {
        const early = await post(sync, 'text/plain', 'v', { prefer })
        const id = receiptOf(early)
        const { headers } = early
        expect([early.status, headers.get('location'), headers.get('preference-applied')]).to.deep.equal([
          202,
          `/receipts/${id}`,
          'respond-async'
        ])
        expect(headers.get('x-castellan-persisted')).to.equal('pending')
        const { records } = (await (await fetch(`${urls.shared}/receipts/${id}`)).json()) as { records: object[] }
        expect(records[0]).to.include({ state: 'waiting', topic })
      }
    } finally {
      await resumeAll(stage.cluster)
    }
    const memory = { records: [{ topic, data: 'v' }], wait_for_send: true }
    const pushed = await post(`${urls.shared}/kprf/push`, 'application/json', JSON.stringify(memory), {
      prefer: 'respond-async'
    })
    expect([pushed.status, pushed.headers.get('preference-applied')]).to.deep.equal([200, null])
  })

  it('refuse what nobody has given, and questions that cannot be read', async () => {
    const { urls } = await start()
    const topic = await stage.topic('receipts')
    const id = receiptOf(await post(`${urls.shared}/arion/sync/${topic}`, 'text/plain', 'v'))
    const statusOf = async (path: string): Promise<number> => (await fetch(`${urls.shared}/receipts/${path}`)).status
    for (const path of ['x', `${id}x`, 'A'.repeat(38), 'A'.repeat(3_000), '%00', '%zz', `${id}/x`, ''])
      expect(await statusOf(path), path).to.equal(404)
    for (const query of ['wait=x', 'wait=-1', 'wait=6m', 'wait=', 'wait=1&wait=2', 'from=-1', 'from=x'])
      expect(await statusOf(`${id}?${query}`), query).to.equal(400)
    expect(await statusOf(`${id}?wait=500ms&from=7`)).to.equal(200)
  })

  it('can only be read', async () => {
    const { urls } = await start()
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const refused = await fetch(`${urls.shared}/receipts/x`, { method, ...(method !== 'DELETE' && { body: '{' }) })
      expect([method, refused.status, refused.headers.get('allow')]).to.deep.equal([method, 405, 'GET, HEAD'])
      expect(await refused.json()).to.include({ error: 'method not allowed' })
    }
  })

  it('are said to be switched off where they are', async () => {
    const { urls } = await start({ 'receipts.maxBytes': '0' })
    const asked = await fetch(`${urls.shared}/receipts/x`)
    expect(asked.status).to.equal(404)
    expect(await asked.json()).to.deep.equal({
      error: 'unknown receipt',
      message: 'receipts are switched off (receipts.maxBytes: 0)'
    })
  })

  it('have a secret that only its owner can read, and are not shown in the logs', async () => {
    const accessLog = join(folder, 'access.log')
    const { urls } = await start({ 'http.accessLog.target': accessLog })
    const topic = await stage.topic('receipts')
    const id = receiptOf(await post(`${urls.shared}/arion/sync/${topic}`, 'text/plain', 'v'))
    await fetch(`${urls.shared}/receipts/${id}`)
    await app!.stop()
    const text = readFileSync(accessLog, 'utf8')
    expect(text).to.include('"route":"/receipts/:id"').and.not.include(id)
    const secret = statSync(join(folder, 'wal', 'RECEIPT-KEY'))
    expect((secret.mode & 0o777).toString(8)).to.equal('600')
  })
})

describe('receipts of gateways that know each other', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let folder: string
  let apps: App[]
  let addresses: PeerAddress[]
  beforeEach(async () => {
    folder = stage.folder()
    addresses = await stage.peers()
    apps = []
    for (const nth of addresses.keys()) await start(nth)
  })

  async function start(nth: number): Promise<void> {
    apps[nth] = await stage.app({
      'wal.directory': join(folder, String(nth)),
      ...peerSettings(addresses)
    })
    addresses[nth]!.target = apps[nth]!.peersAddress
  }
  const ask = async (nth: number, id: string): Promise<{ status: number; states: string[] }> => {
    const { status, body } = await fetch(`${apps[nth]!.urls.shared}/receipts/${id}?wait=30s`).then(async response => ({
      status: response.status,
      body: (await response.json()) as { records?: { state: string }[] }
    }))
    return { status, states: (body.records ?? []).map(({ state }) => state) }
  }
  /** The gateways may not have found each other yet. */
  const askUntil = async (nth: number, id: string, status: number): Promise<string[]> => {
    for (;;) {
      const found = await ask(nth, id)
      if (found.status === status) return found.states
      expect(found.status).to.be.oneOf([200, 503])
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  it('are answered by each of them, and are 503 while the one that gave it is away', async () => {
    const topic = await stage.topic('receipts')
    const produced = async (path: string): Promise<string> => {
      const url = `${apps[0]!.urls.shared}${path}`
      const headers = { 'content-type': 'application/json' }
      const body = path.startsWith('/kprf') ? JSON.stringify({ records: [{ topic, data: 'v' }] }) : 'v'
      return (await fetch(url, { method: 'POST', headers, body })).headers.get(HEADER)!
    }
    const onDisk = await produced(`/arion/async/${topic}`)
    const inMemory = await produced('/kprf/push')
    for (const id of [onDisk, inMemory]) {
      expect(await askUntil(0, id, 200)).to.deep.equal(['inKafka'])
      expect(await askUntil(1, id, 200)).to.deep.equal(['inKafka'])
    }
    const forged = onDisk.slice(0, -2) + (onDisk.at(-2) === 'A' ? 'B' : 'A') + onDisk.at(-1)
    expect((await ask(1, forged)).status).to.equal(404)
    await apps[0]!.stop()
    expect(await askUntil(1, onDisk, 503)).to.deep.equal([])
    expect(await askUntil(1, inMemory, 503)).to.deep.equal([])
    await start(0)
    expect(await askUntil(1, onDisk, 200)).to.deep.equal(['inKafka'])
  })
})
