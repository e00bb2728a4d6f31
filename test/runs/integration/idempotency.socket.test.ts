import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { makeToken } from '../../support/access.js'
import { checkRows } from '../../support/rows.js'
import { onBroker } from '../../support/stage.js'

interface Sent {
  readonly path: string
  readonly type?: string
  readonly body: string
}

interface Seen {
  readonly receipt: string | null
  readonly status: number
  readonly body: string
  readonly persisted: string | null
  readonly reach: string | null
  readonly replayed: string | null
}

interface StatusOfLog {
  readonly log: { readonly deadLetters: number }
}

const JSON_TYPE = 'application/json'
const RECORDS = 'application/vnd.kafka.json.v2+json'
const v3 = (topic: string): string => `/confluent/v3/clusters/c1/topics/${topic}/records`
const data = (value: string): string => `{"value":{"type":"STRING","data":"${value}"}}`

/** A request of each route that produces, for one record. */
const routes: Readonly<Record<string, (topic: string, value: string) => Sent>> = {
  'kprf, sync': (topic, value) => ({
    path: '/kprf/push',
    type: JSON_TYPE,
    body: JSON.stringify({ records: [{ topic, data: value }], wait_for_send: true })
  }),
  'kprf, async': (topic, value) => ({
    path: '/kprf/push',
    type: JSON_TYPE,
    body: JSON.stringify({ records: [{ topic, data: value }], wait_for_send: false })
  }),
  'kafboy, sync': (topic, value) => ({ path: `/kafboy/sync/${topic}`, type: JSON_TYPE, body: `{"v":"${value}"}` }),
  'kafboy, async': (topic, value) => ({ path: `/kafboy/async/${topic}`, type: JSON_TYPE, body: `{"v":"${value}"}` }),
  'kafboy, batch': (topic, value) => ({
    path: `/kafboy/batch/async/${topic}`,
    type: JSON_TYPE,
    body: `{"v":"${value}"}`
  }),
  'arion, sync': (topic, value) => ({ path: `/arion/sync/${topic}/k`, body: value }),
  'arion, async': (topic, value) => ({ path: `/arion/async/${topic}`, body: value }),
  'kafka-pixy, sync': (topic, value) => ({
    path: `/pixy/topics/${topic}/messages?sync`,
    type: 'text/plain',
    body: value
  }),
  'kafka-pixy, async': (topic, value) => ({
    path: `/pixy/topics/${topic}/messages`,
    type: 'text/plain',
    body: value
  }),
  'confluent, v2': (topic, value) => ({
    path: `/confluent/topics/${topic}`,
    type: RECORDS,
    body: `{"records":[{"value":"${value}"}]}`
  }),
  'confluent, v3': (topic, value) => ({ path: v3(topic), type: JSON_TYPE, body: data(value) }),
  'confluent, v3 batch': (topic, value) => ({
    path: `${v3(topic)}:batch`,
    type: JSON_TYPE,
    body: `{"entries":[{"id":"1",${data(value).slice(1)}]}`
  }),
  'cloudevents, sync': (topic, value) => ({
    path: `/events/${topic}`,
    type: 'application/cloudevents+json',
    body: JSON.stringify({ specversion: '1.0', id: value, source: '/test', type: 'test', data: value })
  }),
  'strimzi, sync': (topic, value) => ({
    path: `/strimzi/topics/${topic}`,
    type: RECORDS,
    body: `{"records":[{"value":"${value}"}]}`
  }),
  'strimzi, async': (topic, value) => ({
    path: `/strimzi/topics/${topic}?async=true`,
    type: RECORDS,
    body: `{"records":[{"value":"${value}"}]}`
  })
}

const durabilityOf = (durability: string): Record<string, string> =>
  Object.fromEntries(
    ['kprf', 'kafboy', 'arion', 'kafka-pixy', 'confluent', 'strimzi', 'cloudevents'].map(api => [
      `apis.${api}.durability`,
      durability
    ])
  )

describe('Idempotency-Key', function () {
  this.timeout(120_000)
  const stage = onBroker()
  let folder: string
  let app: App | undefined
  before(() => {
    folder = stage.folder()
  })

  const start = async (settings: Record<string, string>): Promise<void> => {
    app = await stage.app({ 'delivery.createTopics': 'false', ...settings })
  }
  const send = async (
    { path, type, body }: Sent,
    key?: string,
    headers: Record<string, string> = {}
  ): Promise<Seen> => {
    const answer = await fetch(`${app!.urls.shared}${path}`, {
      method: 'POST',
      body,
      headers: {
        ...(type !== undefined && { 'content-type': type }),
        ...(key !== undefined && { 'idempotency-key': key }),
        ...headers
      }
    })
    return {
      receipt: answer.headers.get('x-castellan-receipt'),
      status: answer.status,
      body: await answer.text(),
      persisted: answer.headers.get('x-castellan-persisted'),
      reach: answer.headers.get('x-castellan-idempotency'),
      replayed: answer.headers.get('idempotent-replayed')
    }
  }
  /** Resolves when the partition has so many records, and no other one comes within some ticks. */
  const written = async (topic: string, count: number): Promise<void> => {
    const giveUpAt = performance.now() + 30_000
    while (stage.cluster.highWatermark(topic, 0) < count && performance.now() < giveUpAt) {
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    // A second record would come before this one.
    await send(routes['arion, sync']!(topic, 'last'))
    expect(stage.cluster.highWatermark(topic, 0)).to.equal(count + 1)
  }

  for (const durability of ['memory', 'disk'] as const) {
    describe(durability, () => {
      before(() =>
        start({
          ...durabilityOf(durability),
          'wal.directory': join(folder, `${durability}-${randomUUID()}`)
        })
      )
      after(() => app?.stop())

      it('on each route a request that comes again gets the same answer, and no second record', () =>
        checkRows(Object.entries(routes), async ([, route]) => {
          const topic = await stage.topic('again')
          const key = randomUUID()
          const first = await send(route(topic, 'a'), key)
          expect(first).to.include({ reach: 'gateway', replayed: null })
          expect(first.status, first.body).to.be.within(200, 299)
          const second = await send(route(topic, 'a'), `"${key}"`)
          expect(second).to.deep.equal({ ...first, replayed: 'true' })
          await written(topic, 1)
        }))

      it('on each route another request with the key is refused', () =>
        checkRows(Object.entries(routes), async ([, route]) => {
          const topic = await stage.topic('other')
          const key = randomUUID()
          await send(route(topic, 'a'), key)
          expect(await send(route(topic, 'b'), key)).to.include({ status: 422, persisted: 'no' })
          await written(topic, 1)
        }))
    })
  }

  const away = () => stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'dropRequest' })

  for (const durability of ['memory', 'disk'] as const) {
    describe(`on routes that keep records in ${durability}`, () => {
      let settings: Record<string, string>
      beforeEach(() => {
        settings = { ...durabilityOf(durability), 'wal.directory': join(folder, randomUUID()) }
      })

      it('a request that comes again while the first one is under way gets its answer', async () => {
        await start(settings)
        const topic = await stage.topic('under-way')
        stage.cluster.faults.add({ api: 'Produce', count: 1 }, { type: 'delay', delayMs: 300 })
        const key = randomUUID()
        const [first, second] = await Promise.all([1, 2].map(() => send(routes['arion, sync']!(topic, 'a'), key)))
        expect([first, second].map(seen => ({ status: seen?.status, persisted: seen?.persisted }))).to.deep.equal([
          { status: 201, persisted: 'yes' },
          { status: 201, persisted: 'yes' }
        ])
        expect(second!.body).to.equal(first!.body)
        await written(topic, 1)
      })

      it('a request that comes again after an unknown outcome gets the outcome of the record under way', async () => {
        await start({ ...settings, 'apis.arion.syncTimeoutMs': '1000' })
        const topic = await stage.topic('unknown')
        // The first record makes the producer of the partition, whose state must not be in doubt.
        await send(routes['arion, sync']!(topic, 'before'))
        const fault = away()
        const key = randomUUID()
        const first = await send(routes['arion, sync']!(topic, 'a'), key)
        expect(first.persisted).to.equal(durability === 'disk' ? 'pending' : 'unknown')
        const second = await send(routes['arion, sync']!(topic, 'a'), key)
        expect(second).to.include({ persisted: first.persisted, status: first.status })
        fault.remove()
        const third = await lastOf(() => send(routes['arion, sync']!(topic, 'a'), key))
        expect(third).to.include({ status: 201, persisted: 'yes' })
        expect(JSON.parse(third.body)).to.include({ partition: 0, offset: 1 })
        const fourth = await send(routes['arion, sync']!(topic, 'a'), key)
        expect(fourth).to.deep.equal({ ...third, replayed: 'true' })
        await written(topic, 2)
      })

      it('a key is free again after an answer that says that nothing was accepted', async () => {
        await start(settings)
        const topic = await stage.topic('free')
        const key = randomUUID()
        const { path, type } = routes['confluent, v2']!(topic, 'a')
        const refused = await send({ path, type: type!, body: '{"records":[{"value"' }, key)
        expect(refused).to.include({ status: 400, persisted: 'no', replayed: null })
        expect(await send(routes['confluent, v2']!(topic, 'a'), key)).to.include({ status: 200, persisted: 'yes' })
        await written(topic, 1)
      })

      it('keys belong to the client that has sent them', async () => {
        const [ann, bob] = [makeToken(), makeToken()]
        await start({
          ...settings,
          'auth.tokens': JSON.stringify([
            { principal: 'ann', sha256: ann.sha256 },
            { principal: 'bob', sha256: bob.sha256 }
          ]),
          'access.rules': JSON.stringify([{ principals: ['ann', 'bob'], operations: ['produce'], topics: ['*'] }])
        })
        const as = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` })
        const topic = await stage.topic('clients')
        const key = randomUUID()
        const sendAs = (client: { readonly token: string }, value: string): Promise<Seen> =>
          send(routes['arion, sync']!(topic, value), key, as(client))
        const ofAnn = await sendAs(ann, 'a')
        const ofBob = await sendAs(bob, 'a')
        expect([ofAnn, ofBob].map(({ status, replayed }) => [status, replayed])).to.deep.equal([
          [201, null],
          [201, null]
        ])
        expect(ofBob.body).to.not.equal(ofAnn.body)
        expect(await sendAs(ann, 'a')).to.deep.equal({ ...ofAnn, replayed: 'true' })
        expect(await sendAs(bob, 'a')).to.deep.equal({ ...ofBob, replayed: 'true' })
        expect(await sendAs(bob, 'b')).to.include({ status: 422 })
        expect(stage.cluster.highWatermark(topic, 0)).to.equal(2)
      })
    })
  }

  /** Repeats a request until Kafka has its record. */
  const lastOf = async (act: () => Promise<Seen>): Promise<Seen> => {
    for (let left = 20; ; left--) {
      const seen = await act()
      if (seen.persisted === 'yes' || left === 0) return seen
    }
  }

  describe('after a restart, and at its limits', () => {
    it('answers survive a restart on routes that keep records on disk', async () => {
      const settings = { ...durabilityOf('disk'), 'wal.directory': join(folder, 'restart') }
      await start(settings)
      const topic = await stage.topic('restart')
      // The other synchronous routes keep their records in memory until they are answered.
      const names = Object.keys(routes).filter(name => !/^(?:kprf|kafboy|kafka-pixy), sync/.test(name))
      const keys = names.map(name => [name, randomUUID()] as const)
      const first = new Map<string, Seen>()
      for (const [name, key] of keys) first.set(name, await send(routes[name]!(topic, name.slice(0, 4)), key))
      await app!.stop()
      await start(settings)
      for (const [name, key] of keys) {
        expect(await send(routes[name]!(topic, name.slice(0, 4)), key), name).to.deep.equal({
          ...first.get(name),
          replayed: 'true'
        })
        expect((await send(routes[name]!(topic, 'other'), key)).status, name).to.equal(422)
      }
      await written(topic, keys.length)
    })

    it('a request whose record waits in the log attaches to it after a restart', async () => {
      const settings = {
        ...durabilityOf('disk'),
        'wal.directory': join(folder, 'pending'),
        'apis.arion.syncTimeoutMs': '1000'
      }
      await start(settings)
      const topic = await stage.topic('pending')
      const key = randomUUID()
      const fault = away()
      const { receipt, ...first } = await send(routes['arion, sync']!(topic, 'a'), key)
      expect(first).to.include({ persisted: 'pending' })
      expect(receipt).to.be.a('string')
      await app!.stop()
      await start(settings)
      const second = await send(routes['arion, sync']!(topic, 'a'), key)
      expect(second).to.include({ persisted: 'pending', receipt })
      const early = await send(routes['arion, sync']!(topic, 'a'), key, { prefer: 'respond-async' })
      expect(early).to.include({ status: 202, persisted: 'pending', receipt })
      fault.remove()
      const last = await lastOf(() => send(routes['arion, sync']!(topic, 'a'), key))
      expect(last).to.include({ persisted: 'yes', receipt })
      await written(topic, 1)
    })

    it('a record that Kafka refuses has one dead letter, and one refusal that survives a restart', async () => {
      const settings = { ...durabilityOf('disk'), 'wal.directory': join(folder, 'refused') }
      await start(settings)
      const topic = await stage.topic('refused')
      const names = ['arion, sync', 'confluent, v2', 'strimzi, sync']
      const fault = stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'error', errorCode: 10 })
      const first = new Map<string, Seen>()
      for (const name of names) first.set(name, await send(routes[name]!(topic, 'a'), name.slice(0, 5)))
      fault.remove()
      const again = async (): Promise<void> => {
        for (const name of names) {
          expect(first.get(name), name).to.include({ persisted: 'no', replayed: null })
          expect(await send(routes[name]!(topic, 'a'), name.slice(0, 5)), name).to.deep.equal({
            ...first.get(name),
            replayed: 'true'
          })
        }
        const { log } = (await (await fetch(`${app!.urls.management}/status.json`)).json()) as StatusOfLog
        expect(log.deadLetters).to.equal(names.length)
      }
      await again()
      await app!.stop()
      await start(settings)
      await again()
      await written(topic, 0)
    })

    it('refuses a header that is not one key, a body that is a stream, and bodies above the limit', async () => {
      await start({ 'apis.arion.maxBodyBytes': '1000' })
      const topic = await stage.topic('invalid')
      for (const key of ['', 'a, b', '"a', '"a", "b"', 'a b', 'x'.repeat(256), '""', 'ä']) {
        const answer = await send(routes['arion, sync']!(topic, 'a'), Buffer.from(key).toString('latin1'))
        expect(answer, key).to.include({ status: 400, persisted: 'no' })
        expect(JSON.parse(answer.body).detail).to.include('no spaces, commas, semicolons, quotes, brackets, ? or \\')
      }
      const stream = await fetch(`${app!.urls.shared}${v3(topic)}`, {
        method: 'POST',
        body: new Blob([data('a')]).stream(),
        duplex: 'half',
        headers: { 'content-type': JSON_TYPE, 'idempotency-key': 'a' }
      } as RequestInit)
      expect(stream.status).to.equal(400)
      expect(await stream.text()).to.match(/Content-Length, of at most 1 MiB/)
      expect(await send(routes['arion, sync']!(topic, 'x'.repeat(1_001)), 'a')).to.include({ status: 413 })
      await written(topic, 0)
    })

    it('refuses new keys when no further one can be remembered, and remembers the others', async () => {
      await start({ 'idempotency.maxBytes': String(1024 * 1024) })
      const topic = await stage.topic('full')
      let taken = 0
      for (; taken < 10_000; taken += 50) {
        const answers = await Promise.all(
          Array.from({ length: 50 }, (_, at) => send(routes['kafka-pixy, async']!(topic, 'a'), `key-${taken + at}`))
        )
        if (answers.some(({ status }) => status === 503)) break
      }
      expect(taken).to.be.within(500, 5_000)
      expect(await send(routes['kafka-pixy, async']!(topic, 'a'), 'key-0')).to.include({
        status: 200,
        replayed: 'true'
      })
      expect(await send(routes['kafka-pixy, async']!(topic, 'a'), 'new')).to.include({ status: 503, persisted: 'no' })
      const { path, body } = routes['kafka-pixy, async']!(topic, 'a')
      const refused = await fetch(`${app!.urls.shared}${path}`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'text/plain', 'idempotency-key': 'newer' }
      })
      // No key is forgotten before the first one expires, after a day.
      expect(Number(refused.headers.get('retry-after'))).to.be.within(86_000, 86_400)
      expect(await send(routes['kafka-pixy, async']!(topic, 'a'))).to.include({ status: 200, reach: null })
    })
  })
})
