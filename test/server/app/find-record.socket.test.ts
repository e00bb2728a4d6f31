import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { Decoding } from '../../../src/schemas/record-json.js'
import { Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import { findRecord, partitionsOf, spellingsOf } from '../../../src/server/app/find-record.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { startCastellan } from '../../support/castellan.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { onBroker } from '../../support/stage.js'

const ANN = { principal: 'ann', client: 'principal ann' }

describe('the search for a record', () => {
  const stage = onBroker()

  const find = (topic: string, key: string) => {
    const clusters = [{ name: 'default', router: stage.reader.router, verbs: stage.reader.verbs }]
    return findRecord({ clusters }, { by: 'key', topic, key }, ANN)
  }
  const write = (topic: string, records: readonly { key: string | null; value: string | null }[]) =>
    stage.reader.produce(records.map(record => ({ topic, partition: 0, ...record })))

  it('finds all records with the key, the newest first, without their values', async () => {
    stage.cluster.createTopic('orders', { partitions: 1 })
    await write('orders', [
      { key: 'a', value: 'secret' },
      { key: 'b', value: 'secret' },
      { key: 'a', value: null }
    ])
    const found = await find('orders', 'a')
    expect(found.verdict).to.equal('yes')
    expect(
      found.records.map(({ partition, offset, valueBytes }) => [partition, offset, valueBytes])
    ).to.have.deep.members([
      [0, 2, null],
      [0, 0, 6]
    ])
    expect(JSON.stringify(found)).not.to.include('secret')
  })

  it('finds a key with a schema by its JSON, however it is spaced, and no other record for a registry that is away', async () => {
    stage.cluster.createTopic('typed', { partitions: 2 })
    const registry = new ScriptedRegistry()
    const settings = schemasSettings.parse({ registry: { urls: ['http://registry.example'] } })
    const schemas = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    registry.add('typed-key', JSON.stringify({ type: 'record', name: 'K', fields: [{ name: 'n', type: 'long' }] }))
    const schema = await schemas.resolve({ topic: 'typed', part: 'key', mayRegister: () => false })
    const keys = await Promise.all([5, 6, 5].map(n => schema.encode(`{"n":${n}}`)))
    const records = keys.map((key, at) => ({ topic: 'typed', partition: at % 2, key, value: 'v' }))
    await stage.reader.produce([...records, { topic: 'typed', partition: 0, key: 'plain', value: null }])
    const clusters = [{ name: 'default', router: stage.reader.router, verbs: stage.reader.verbs }]
    const ask = (key: string) => findRecord({ clusters, schemas }, { by: 'key', topic: 'typed', key }, ANN)
    for (const key of ['{"n":5}', '{ "n": 5 }']) {
      const found = await ask(key)
      expect(found.records.map(({ partition, offset }) => [partition, offset])).to.have.deep.members([
        [0, 0],
        [0, 1]
      ])
      expect(found.message).not.to.include('another form')
    }
    expect((await ask('{"n":7}')).verdict).to.equal('no')
    registry.script = () => Promise.reject(new Error('away'))
    const unknown = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    const asked = { by: 'key', topic: 'typed', key: 'plain' } as const
    expect((await findRecord({ clusters, schemas: unknown }, asked, ANN)).verdict).to.equal('yes')
  })

  it('decodes keys in the line of the client that asks, so that each client waits for its own work alone', async () => {
    stage.cluster.createTopic('owned', { partitions: 1 })
    await stage.reader.produce([{ topic: 'owned', partition: 0, key: Buffer.from([0, 0, 0, 0, 7, 1]), value: 'v' }])
    const clusters = [{ name: 'default', router: stage.reader.router, verbs: stage.reader.verbs }]
    const owners: (string | undefined)[] = []
    const schemas: Decoding = {
      decode: async (_bytes, _header, owner) => {
        owners.push(owner)
        return { type: 'decoded', format: 'AVRO', id: 7, json: '5' }
      },
      decodeEach: () => Promise.reject(new Error('keys are decoded one by one'))
    }
    for (const client of ['principal ann', 'address 127.0.0.1', undefined]) {
      const asker = { principal: 'ann', client }
      const found = await findRecord({ clusters, schemas }, { by: 'key', topic: 'owned', key: '5' }, asker)
      expect(found.verdict).to.equal('yes')
    }
    expect(owners).to.deep.equal(['principal ann', 'address 127.0.0.1', undefined])
  })

  it('waits for no answer longer than a search may take, also where the records are deleted before they are read', async () => {
    stage.cluster.createTopic('cleared', { partitions: 1 })
    await write('cleared', [{ key: 'a', value: 'x' }])
    const { router, verbs } = stage.reader
    const limits = new Map<string, number>()
    const tell: typeof router.ref.tell = message => {
      if ('timeoutMs' in message) limits.set(message.type, message.timeoutMs ?? Number.POSITIVE_INFINITY)
      if (message.type !== 'fetchData') router.ref.tell(message)
      else {
        const { topicPartition, offset, requester } = message
        const answer = { operation: 'fetchData', topicPartition, offset, type: 'offsetOutOfRange' } as const
        if ('reply' in requester) requester.reply(answer)
      }
    }
    const clusters = [{ name: 'default', verbs, router: { ...router, ref: { ...router.ref, tell } } }]
    await findRecord({ clusters }, { by: 'key', topic: 'cleared', key: 'a' }, ANN)
    expect([...limits.keys()]).to.include('fetchOffset')
    expect(Math.max(...limits.values())).to.be.at.most(15_000)
  })

  it('says how old the newest record is', async () => {
    stage.cluster.createTopic('dated', { partitions: 1 })
    await write('dated', [{ key: 'a', value: 'x' }])
    expect((await find('dated', 'a')).message).to.match(
      /^A record with this key is in topic dated, of (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC, (just now|[\d.]+ s ago)\.$/
    )
    await write('dated', [{ key: 'a', value: 'y' }])
    expect((await find('dated', 'a')).message).to.match(/^2 records with this key are in topic dated, the newest of /)
  })

  it('does not wait for a partition that no broker leads, and says so', async () => {
    const twoNodes = await startEmbeddedCluster({ nodes: 2 })
    twoNodes.createTopic('audit', { partitions: 2, replicationFactor: 1 })
    const other = await startCastellan(twoNodes.bootstrap)
    try {
      const [left, gone] = [0, 1]
      await other.produce([
        { topic: 'audit', partition: left, key: 'a', value: 'x' },
        { topic: 'audit', partition: gone, key: 'a', value: 'x' }
      ])
      expect(twoNodes.leaderOf('audit', gone)).not.to.equal(twoNodes.leaderOf('audit', left))
      await twoNodes.stopNode(twoNodes.leaderOf('audit', gone))
      const clusters = [{ name: 'default', router: other.router, verbs: other.verbs }]
      const { verdict, message, records } = await findRecord({ clusters }, { by: 'key', topic: 'audit', key: 'a' }, ANN)
      expect([verdict, records.map(({ partition }) => partition)]).to.deep.equal(['yes', [left]])
      expect(message).to.match(/ Not looked at, because no broker leads it now: audit\/1\.$/)
      const none = await findRecord({ clusters }, { by: 'key', topic: 'audit', key: 'z' }, ANN)
      expect([none.verdict, none.notSearched]).to.deep.equal(['notFound', 1])
    } finally {
      await other.close()
      await twoNodes.close()
    }
  }).timeout(30_000)

  it('is sure where it has looked at all records, and tells an empty key from none', async () => {
    stage.cluster.createTopic('few', { partitions: 1 })
    await write('few', [
      { key: '', value: 'x' },
      { key: null, value: 'y' }
    ])
    expect((await find('few', 'z')).verdict).to.equal('no')
    const { records } = await find('few', '')
    expect(records.map(({ offset }) => offset)).to.deep.equal([0])
    stage.cluster.createTopic('empty', { partitions: 1 })
    expect(await find('empty', 'z')).to.deep.include({ verdict: 'no', records: [] })
  })

  it('looks at the last 10,000 records of a partition, and says that older ones may be there', async () => {
    stage.cluster.createTopic('many', { partitions: 1 })
    await write('many', [{ key: 'old', value: 'x' }])
    for (let batch = 0; batch < 11; batch++)
      await write(
        'many',
        Array.from({ length: 1_000 }, () => ({ key: 'other', value: 'x' }))
      )
    await write('many', [{ key: 'new', value: 'x' }])
    const found = await find('many', 'old')
    expect(found.verdict).to.equal('notFound')
    const place = { partition: 0, from: 1_002, to: 11_001, records: 10_000, isWhole: false }
    expect(found.searched).to.have.length(1)
    expect(found.searched[0]).to.include(place)
    // A record has about 11 bytes besides its key and value.
    expect(found.searched[0]!.bytes).to.be.within(10_000 * 6, 10_000 * 32)
    expect((await find('many', 'new')).records[0]).to.include({ offset: 11_001 })
  }).timeout(30_000)

  const fill = async (topic: string, partition: number, records: number): Promise<void> => {
    for (let left = records; left > 0; left -= 1_000)
      await stage.reader.produce(
        Array.from({ length: Math.min(1_000, left) }, () => ({ topic, partition, key: 'other', value: 'x' }))
      )
  }
  const ownOf = (topic: string, partitions: number): number[] => [
    ...new Set(spellingsOf('k').flatMap(key => partitionsOf(Buffer.from(key), topic, partitions)))
  ]

  it('gives what short partitions leave of the limit to the others of the key, and then to those of no key', async () => {
    const topic = 'shared'
    const partitions = 16
    stage.cluster.createTopic(topic, { partitions })
    const own = ownOf(topic, partitions)
    expect(own.length).to.be.within(3, 10)
    await fill(topic, own[0]!, 4_000)
    await fill(topic, own[1]!, 300)
    const whole = await find(topic, 'k')
    expect([whole.verdict, whole.notSearched]).to.deep.equal(['no', 0])
    expect(whole.searched.map(({ records }) => records).filter(Boolean)).to.have.members([4_000, 300])
    await fill(topic, own[0]!, 7_000)
    const cut = await find(topic, 'k')
    expect(cut.verdict).to.equal('notFound')
    expect(cut.searched.map(({ records }) => records).filter(Boolean)).to.have.members([9_700, 300])
    expect(cut.searched).to.have.length(own.length)
    expect(cut.notSearched).to.equal(partitions - own.length)
    expect(cut.message).to.match(
      new RegExp(`It may be older\\. ${partitions - own.length} other partitions were not searched`)
    )
  }).timeout(30_000)

  it('finds a record that its client sent to another partition than that of its key', async () => {
    const topic = 'explicit'
    stage.cluster.createTopic(topic, { partitions: 16 })
    const other = Array.from({ length: 16 }, (_, at) => at).find(at => !ownOf(topic, 16).includes(at))!
    await stage.reader.produce([{ topic, partition: other, key: 'k', value: 'x' }])
    const { verdict, records } = await find(topic, 'k')
    expect([verdict, records[0]!.partition]).to.deep.equal(['yes', other])
  })

  it('finds a key that was sent as JSON, by the text alone or with its quotes, and the other way round', async () => {
    stage.cluster.createTopic('json', { partitions: 4 })
    await stage.reader.produce([
      { topic: 'json', partition: 0, key: '"k1"', value: 'x' },
      { topic: 'json', partition: 1, key: '"\\u00fc"', value: 'x' },
      { topic: 'json', partition: 2, key: 'plain', value: 'x' }
    ])
    for (const [key, form] of [
      ['k1', 'another form'],
      ['"k1"', undefined],
      ['ü', 'another form'],
      ['plain', undefined],
      ['"plain"', 'another form']
    ] as const) {
      const { verdict, message } = await find('json', key)
      expect(verdict, key).to.equal('yes')
      expect(message.includes('another form'), key).to.equal(form !== undefined)
    }
    expect(await find('json', 'k')).to.include({
      verdict: 'no',
      message: 'Topic json has no record with this key, as text or as JSON. All of it was searched.'
    })
    expect((await find('json', '"')).verdict).to.equal('no')
  })

  it('is not sure where records were damaged', async () => {
    stage.cluster.createTopic('damaged', { partitions: 1 })
    await write('damaged', [{ key: 'a', value: 'find me' }])
    const mutate = (frame: Buffer): Buffer => {
      const damaged = Buffer.from(frame)
      damaged[damaged.indexOf('find me')]! ^= 1
      return damaged
    }
    const fault = stage.cluster.faults.add(
      { api: 'Fetch', topic: 'damaged', count: Number.POSITIVE_INFINITY },
      { type: 'corrupt', mutate }
    )
    const { verdict, searched } = await find('damaged', 'z')
    fault.remove()
    expect([verdict, searched[0]!.isWhole]).to.deep.equal(['notFound', false])
  })

  it('leaves out a partition of no key that cannot be read, and says so', async () => {
    const topic = 'partly'
    stage.cluster.createTopic(topic, { partitions: 16 })
    const other = Array.from({ length: 16 }, (_, at) => at).find(at => !ownOf(topic, 16).includes(at))!
    await stage.reader.produce([{ topic, partition: other, key: 'k', value: 'x' }])
    const fault = stage.cluster.faults.add(
      { api: 'Fetch', topic, count: Number.POSITIVE_INFINITY },
      { type: 'error', errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED }
    )
    const { verdict, notSearched } = await find(topic, 'k')
    fault.remove()
    expect([verdict, notSearched]).to.deep.equal(['notFound', 1])
  })

  it('reads about 16 MiB at most', async () => {
    stage.cluster.createTopic('large', { partitions: 1 })
    const value = 'x'.repeat(500_000)
    for (let batch = 0; batch < 50; batch++) await write('large', [{ key: `k${batch}`, value }])
    const found = await find('large', 'k0')
    expect(found.verdict).to.equal('notFound')
    // One answer of Kafka more than the limit at most.
    expect(found.searched[0]!.records).to.be.below(50)
    expect((await find('large', 'k49')).verdict).to.equal('yes')
  }).timeout(30_000)

  it('looks in the partition of the key by each way in which an API chooses it', () => {
    const key = Buffer.from('k1')
    expect(partitionsOf(key, 'orders', 1)).to.deep.equal([0])
    const partitions = partitionsOf(key, 'orders', 1_000)
    expect(partitions.length).to.be.above(1).and.at.most(5)
    expect(new Set(partitions)).to.have.property('size', partitions.length)
  })

  it('says that the topic does not exist, or that Kafka does not let it be read', async () => {
    const failure = (topic: string): Promise<string> => find(topic, 'a').then(String, error => (error as Error).message)
    expect(await failure('no-such-topic')).to.include('no-such-topic')
    expect(await failure('not legal')).to.include('not a legal topic name')
    stage.cluster.createTopic('forbidden', { partitions: 1 })
    await write('forbidden', [{ key: 'a', value: 'x' }])
    const fault = stage.cluster.faults.add(
      { api: 'Fetch', topic: 'forbidden', count: Number.POSITIVE_INFINITY },
      { type: 'error', errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED }
    )
    expect(await failure('forbidden')).to.include('not authorized')
    fault.remove()
  })

  it('tells what became of the records of a receipt', async () => {
    const of = (records: readonly object[]) => {
      const receipts = { read: async () => ({ type: 'found', records, isSettled: true }) as never }
      return findRecord({ clusters: [], receipts }, { by: 'receipt', receipt: 'r1' }, ANN)
    }
    const inKafka = { state: 'inKafka', partition: 1, offset: 7, timestampMs: 5 }
    expect(await of([inKafka])).to.deep.include({
      verdict: 'yes',
      message: '1 of 1 record is in Kafka.',
      records: [{ partition: 1, offset: 7, timestamp: 5 }]
    })
    expect(await of([inKafka, { state: 'waiting', why: 'no leader' }])).to.include({
      verdict: 'pending',
      message: '1 of 2 records are in Kafka, 1 wait: no leader.'
    })
    expect(await of([{ state: 'lost', why: 'too late' }])).to.include({ verdict: 'no' })
    expect(await of([{ state: 'unknown', why: 'gone' }])).to.include({ verdict: 'unknown' })
  })
})
