import { expect } from 'chai'
import type { App } from '../../src/server/app/app.js'
import { call } from '../support/access.js'
import { startTestApp } from '../support/app-under-test.js'
import { PeerAddress } from '../support/peer-address.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

const V2 = 'application/vnd.kafka.v2+json'
const JSON_RECORDS = 'application/vnd.kafka.json.v2+json'

interface Seen {
  readonly status: number
  readonly body: unknown
}

describe('confluent: consumer instances of gateways that know each other', function () {
  this.timeout(120_000)
  let cluster: TargetCluster
  let addresses: PeerAddress[]
  let apps: App[]
  let topic: string
  let group: string
  before(async () => (cluster = await targetCluster()))
  after(async () => await cluster.close())
  beforeEach(async () => {
    addresses = await Promise.all([new PeerAddress().open(), new PeerAddress().open()])
    apps = []
    for (const address of addresses) {
      const app = await startTestApp(cluster.bootstrap, {
        'advanced.apis.confluent.consumers.maxWaitMs': '2000',
        'peers.addresses': addresses.map(({ text }) => text).join(','),
        'peers.listen': '127.0.0.1:0',
        'peers.token': 'a secret of more than thirty-two bytes'
      })
      apps.push(app)
      address.target = app.peersAddress
    }
    topic = freshTopic('orders')
    group = freshTopic('billing')
    await cluster.createTopic(topic, 1)
    await known()
  })
  afterEach(async () => {
    await Promise.all(apps.map(app => app.stop()))
    for (const address of addresses) address.close()
  })

  const ask = async (at: number, method: string, path: string, body?: object): Promise<Seen> => {
    const text = body && JSON.stringify(body)
    const headers: Record<string, string> = text
      ? { 'content-type': V2, 'content-length': String(text.length) }
      : { accept: path.includes('/records') ? JSON_RECORDS : V2 }
    const url = `${apps[at]!.urls.shared}/confluent${path}`
    const answer = await call(url, { method, headers, ...(text && { body: text }) })
    return { status: answer.status, body: answer.body === '' ? undefined : JSON.parse(answer.body) }
  }
  const instance = (): string => `/consumers/${group}/instances/a`
  const produce = async (...values: string[]): Promise<void> => {
    const body = JSON.stringify({ records: values.map(value => ({ value })) })
    const headers = { 'content-type': JSON_RECORDS }
    const url = `${apps[0]!.urls.shared}/confluent/topics/${topic}`
    expect((await call(url, { method: 'POST', headers, body })).status).to.equal(200)
  }
  const create = async (): Promise<void> => {
    const settings = { name: 'a', format: 'json', 'auto.offset.reset': 'earliest', 'auto.commit.enable': false }
    expect((await ask(0, 'POST', `/consumers/${group}`, settings)).status).to.equal(200)
  }
  /** Until both have found each other, each takes the instances over that it is asked for. */
  const known = async (): Promise<void> => {
    for (const app of apps)
      while (!/^castellan_peers_gateways 1$/m.test((await call(`${app.urls.management}/metrics`)).body))
        await new Promise(resolve => setTimeout(resolve, 50))
  }
  const values = async (at: number): Promise<unknown[]> => {
    for (;;) {
      const { status, body } = await ask(at, 'GET', `${instance()}/records`)
      expect(status, JSON.stringify(body)).to.equal(200)
      const records = body as { readonly value: unknown }[]
      if (records.length > 0) return records.map(({ value }) => value)
    }
  }

  it('are served by each of them: created at one, subscribed, read and committed at the other', async () => {
    await create()
    expect((await ask(1, 'POST', `/consumers/${group}`, { name: 'a' })).status).to.equal(409)
    expect((await ask(1, 'POST', `${instance()}/subscription`, { topics: [topic] })).status).to.equal(204)
    expect((await ask(0, 'GET', `${instance()}/subscription`)).body).to.deep.equal({ topics: [topic] })
    await produce('one')
    expect(await values(1)).to.deep.equal(['one'])
    await produce('two')
    expect(await values(0)).to.deep.equal(['two'])
    expect((await ask(1, 'POST', `${instance()}/offsets`)).status).to.equal(200)
    const partitions = { partitions: [{ topic, partition: 0 }] }
    expect((await ask(0, 'GET', `${instance()}/offsets`, partitions)).body).to.deep.equal({
      offsets: [{ topic, partition: 0, offset: 2, metadata: '' }]
    })
    const position = { offsets: [{ topic, partition: 0, offset: 1 }] }
    expect((await ask(1, 'POST', `${instance()}/positions`, position)).status).to.equal(204)
    expect(await values(1)).to.deep.equal(['two'])
    expect((await ask(1, 'DELETE', instance())).status).to.equal(204)
    expect((await ask(0, 'DELETE', instance())).status).to.equal(404)
  })

  it('are read again where a client has left the other one in a read', async () => {
    await create()
    await ask(0, 'POST', `${instance()}/assignments`, { partitions: [{ topic, partition: 0 }] })
    const leave = new AbortController()
    const headers = { accept: JSON_RECORDS }
    const left = fetch(`${apps[1]!.urls.shared}/confluent${instance()}/records`, { headers, signal: leave.signal })
    setTimeout(() => leave.abort(), 200)
    await left.catch(() => undefined)
    await produce('kept')
    expect(await values(0)).to.deep.equal(['kept'])
  })

  /** Asks until the gateway has noticed that the other one is gone. Never is the instance unknown. */
  const askLong = async (at: number, method: string, path: string, body?: object): Promise<Seen> => {
    for (;;) {
      const seen = await ask(at, method, path, body)
      expect(seen.status, JSON.stringify(seen.body)).not.to.equal(404)
      if (seen.status < 500) return seen
    }
  }

  it('go on at another one when the one that has them ends', async () => {
    await create()
    await ask(0, 'POST', `${instance()}/subscription`, { topics: [topic] })
    await produce('a', 'b')
    expect(await values(0)).to.deep.equal(['a', 'b'])
    expect((await ask(0, 'POST', `${instance()}/offsets`)).status).to.equal(200)
    const url = `${apps[1]!.urls.shared}/confluent/topics/${topic}`
    await apps[0]!.stop()
    expect(await askLong(1, 'GET', `${instance()}/subscription`)).to.deep.include({ body: { topics: [topic] } })
    const body = JSON.stringify({ records: [{ value: 'c' }] })
    await call(url, { method: 'POST', headers: { 'content-type': JSON_RECORDS }, body })
    expect(await values(1)).to.deep.equal(['c'])
    expect((await ask(1, 'POST', `/consumers/${group}`, { name: 'a' })).status).to.equal(409)
    expect((await ask(1, 'DELETE', instance())).status).to.equal(204)
    expect((await ask(1, 'GET', `${instance()}/subscription`)).status).to.equal(404)
  })

  it('go on at another one when theirs cannot be reached, and are then served by that one for both', async () => {
    await create()
    await ask(0, 'POST', `${instance()}/subscription`, { topics: [topic] })
    await produce('a')
    expect(await values(0)).to.deep.equal(['a'])
    const [address] = addresses
    const { target } = address!
    address!.cut()
    await askLong(1, 'GET', `${instance()}/subscription`)
    await produce('b')
    expect((await values(1)).at(-1)).to.equal('b')
    address!.target = target
    await produce('c')
    // The first gateway learns by this commit that it has lost the instance.
    const late = { offsets: [{ topic, partition: 0, offset: 0 }] }
    expect((await ask(0, 'POST', `${instance()}/offsets`, late)).status).to.equal(200)
    expect((await values(0)).at(-1)).to.equal('c')
    const asked = { partitions: [{ topic, partition: 0 }] }
    expect((await ask(1, 'GET', `${instance()}/offsets`, asked)).body).to.deep.include({
      offsets: [{ topic, partition: 0, offset: 1, metadata: '' }]
    })
  })

  it('go on at another one when theirs hangs, although calls to it are open', async () => {
    await create()
    await ask(0, 'POST', `${instance()}/subscription`, { topics: [topic] })
    await produce('a')
    expect(await values(0)).to.deep.equal(['a'])
    addresses[0]!.silence()
    // Long before its own time limit, which is that of a verb, a call to a gateway that is gone ends.
    const answers = await Promise.all([1, 2, 3].map(() => ask(1, 'GET', `${instance()}/subscription`)))
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200])
    await produce('b')
    expect((await values(1)).at(-1)).to.equal('b')
  })
})
