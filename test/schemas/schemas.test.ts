import { expect } from 'chai'
import { OverloadedError } from '../../src/core/errors.js'
import type { SchemaError } from '../../src/schemas/schemas.js'
import type { RegistryAnswer } from '../../src/schemas/transport.js'
import { FakeTime } from '../support/fake-time.js'
import { checkRows } from '../support/rows.js'
import type { Script } from './scripted-registry.js'
import { errorOf, SchemasStage, unhandledDuring } from './stage.js'

const STRING = '"string"'
const never = new Promise<never>(() => undefined)
const refuse =
  (status: number, code: number, message: string): Script =>
  () => ({ status, body: { error_code: code, message } })

describe('schemas', () => {
  let stage: SchemasStage
  beforeEach(() => (stage = new SchemasStage()))

  it('that are new are registered, and answered with id, version and subject', async () => {
    const { id, version, subject, format } = await stage.resolve({ schema: STRING })
    expect({ id, version, subject, format }).to.deep.equal({
      id: 1,
      version: 1,
      subject: 'orders-value',
      format: 'AVRO'
    })
    expect(stage.registry.calls).to.deep.equal([
      'POST /subjects/orders-value',
      'POST /subjects/orders-value/versions',
      'POST /subjects/orders-value'
    ])
    expect((await stage.resolve({ schema: '"int"' })).version).to.equal(2)
  })

  it('that are known are not asked for again, by text, by id or for reading', async () => {
    const { id } = await stage.resolve({ schema: STRING })
    stage.registry.calls.length = 0
    const bytes = (await stage.resolve({ id })).encode('"x"')
    await stage.resolve({ schema: STRING })
    expect(await stage.schemas.decode(bytes)).to.deep.equal({ type: 'decoded', format: 'AVRO', id, json: '"x"' })
    expect(stage.registry.calls).to.deep.equal([])
  })

  it('tell in few words why many values do not fit, however long the names of a schema are', async () => {
    const long = 'A'.repeat(20_000)
    const { schemas } = stage
    const limits = { maxBytes: 1_000_000, owner: undefined }
    const { resolved } = await stage.avro({ type: 'enum', name: 'E', symbols: [long] })
    const misfits = await schemas.encode(Array(2_000).fill({ schema: resolved, json: '1' }), limits)
    const read = await schemas.decodeEach(
      Array(2_000).fill({ bytes: Buffer.from([0, 0, 0, 0, 1, 8]), header: undefined }),
      limits
    )
    const words = [
      ...misfits.map(failed => (failed as Error).message),
      ...read.map(failed => (failed as { readonly cause: string }).cause)
    ]
    expect(words[0]).to.match(/^expected enum E \(A+ \(schema 1\)$/)
    expect(words[2_000]).to.match(/^it does not fit its schema: enum E \(A+$/)
    expect(Math.max(...words.map(({ length }) => length))).to.be.below(1_100)
    expect(words.join('').length).to.be.below(2_600_000)
    const refused = await errorOf(() =>
      stage.avro({ type: 'record', name: 'R', fields: [{ name: 'f', type: `${long}.no` }] })
    )
    expect(refused.length).to.be.below(1_200)
    const twice = { type: 'fixed', size: 1, name: long }
    expect((await errorOf(() => stage.avro([twice, twice]))).length).to.be.below(1_200)
  })

  it('of one read fail it once where the thread has no time for any of them', async () => {
    for (const text of [STRING, '"int"', '"long"']) stage.registry.add('orders-value', text)
    const owners: unknown[] = []
    stage.host.open = (_, owner) => {
      owners.push(owner)
      return Promise.reject(new OverloadedError('no time'))
    }
    const all = [1, 2, 3].map(id => ({ bytes: Buffer.from([0, 0, 0, 0, id, 2]), header: undefined }))
    const unhandled = await unhandledDuring(async () => {
      const failed = await stage.schemas
        .decodeEach(all, { maxBytes: 1_000, owner: 'ann' })
        .catch((error: Error) => error)
      expect(failed).to.have.property('message', 'no time')
    })
    expect([unhandled, owners]).to.deep.equal([[], ['ann', 'ann', 'ann']])
  })

  it('go on while the registry is dead, where they are known', async () => {
    const { id } = await stage.resolve({ schema: STRING })
    await stage.resolve({ version: 'latest' })
    stage.registry.script = () => Promise.reject(new Error('connect ECONNREFUSED'))
    stage.nowMs += 3_600_000
    for (const wanted of [{ id }, { schema: STRING }, { version: 'latest' as const }]) {
      expect((await stage.resolve(wanted)).id).to.equal(id)
    }
    expect(await errorOf(() => stage.resolve({ id: 9 }))).to.equal(
      'registryUnreachable: the schema registry cannot be asked: connect ECONNREFUSED'
    )
  })

  it('are asked for once by many who wait', async () => {
    stage.registry.add('orders-value', STRING)
    const all = await Promise.all(Array.from({ length: 50 }, () => stage.resolve({ id: 1 })))
    expect(new Set(all.map(({ id }) => id))).to.deep.equal(new Set([1]))
    expect(stage.registry.calls).to.deep.equal(['GET /schemas/ids/1', 'POST /subjects/orders-value'])
  })

  it('have the subject that the client names, or that its strategy makes', async () => {
    const schema = '{"type":"record","name":"a.R","fields":[]}'
    const subjects = [
      await stage.resolve({ schema, part: 'key' }),
      await stage.resolve({ schema, subject: 'mine/or yours' }),
      await stage.resolve({ schema, strategy: 'RECORD_NAME' }),
      await stage.resolve({ schema, strategy: 'TOPIC_RECORD_NAME' }),
      await stage.resolve({ id: 1, strategy: 'RECORD_NAME' })
    ].map(({ subject }) => subject)
    expect(subjects).to.deep.equal(['orders-key', 'mine/or yours', 'a.R', 'orders-a.R', 'a.R'])
    expect(await errorOf(() => stage.resolve({ strategy: 'RECORD_NAME' }))).to.match(
      /^cannotResolve: RECORD_NAME needs/
    )
  })

  it('are found by their version, and by the latest one, which is asked for again after five seconds', async () => {
    stage.registry.add('orders-value', STRING)
    stage.registry.add('orders-value', '"int"')
    expect((await stage.resolve({ version: 1 })).id).to.equal(1)
    expect((await stage.resolve({})).id).to.equal(2)
    stage.registry.add('orders-value', '"long"')
    expect((await stage.resolve({})).id).to.equal(2)
    stage.nowMs += 5_000
    expect((await stage.resolve({})).id).to.equal(3)
    expect((await stage.resolve({ version: 1 })).version).to.equal(1)
  })

  it('that cannot be resolved are refused with the reason', () =>
    checkRows(
      [
        [{ id: 9 }, 'unknownId: the schema registry refuses: Schema 9 not found'],
        [{ version: 9 }, 'unknownVersion: the schema registry refuses: Version 9 not found.'],
        [{ topic: 'other' }, "unknownSubject: the schema registry refuses: Subject 'other-value' not found."],
        [{ id: 1, topic: 'other' }, 'otherSubject: the subject other-value does not have schema 1'],
        [{ subject: '..' }, 'unknownSubject: the name of the subject is none'],
        [{ subject: '' }, 'unknownSubject: the name of the subject is none'],
        [
          { schema: '"int"', mayRegister: () => false },
          'mayNotRegister: the schema is not in the subject orders-value yet, and the client may not register it'
        ]
      ] as const,
      async ([wanted, error]) => {
        const { registry, ...fresh } = new SchemasStage()
        registry.add('orders-value', STRING)
        const other = Object.assign(new SchemasStage(), fresh)
        expect(await errorOf(() => other.resolve(wanted))).to.equal(error)
      }
    ))

  it('that are new are refused to a client without the right, and registered for one that has it', async () => {
    const asked: string[] = []
    const mayRegister = (subject: string): boolean => asked.push(subject) === 0
    expect(await errorOf(() => stage.resolve({ schema: STRING, mayRegister }))).to.match(/^mayNotRegister/)
    expect(asked).to.deep.equal(['orders-value'])
    expect((await stage.resolve({ schema: STRING })).id).to.equal(1)
    expect((await stage.resolve({ schema: STRING, mayRegister })).id).to.equal(1)
    expect(asked).to.deep.equal(['orders-value'])
  })

  it('that the registry refuses are refused with its code and its words, for five seconds without another call', async () => {
    const { script } = stage.registry
    stage.registry.script = ({ url }) =>
      url.endsWith('/versions') ? refuse(409, 409, 'incompatible with an earlier schema')({} as never) : undefined
    const refused = (): Promise<string> => errorOf(() => stage.resolve({ schema: STRING }))
    expect(await refused()).to.equal(
      'refusedByRegistry: the schema registry refuses: incompatible with an earlier schema'
    )
    const { length } = stage.registry.calls
    await refused()
    expect(stage.registry.calls).to.have.lengthOf(length)
    stage.nowMs += 5_000
    stage.registry.script = script
    expect((await stage.resolve({ schema: STRING })).id).to.equal(1)
  })

  it('that are not there are asked for again after five seconds', async () => {
    expect(await errorOf(() => stage.resolve({ id: 1 }))).to.match(/^unknownId/)
    stage.registry.add('orders-value', STRING)
    expect(await errorOf(() => stage.resolve({ id: 1 }))).to.match(/^unknownId/)
    stage.nowMs += 5_000
    expect((await stage.resolve({ id: 1 })).id).to.equal(1)
  })

  it('that a subject does not have are looked for in it again after five seconds', async () => {
    const id = stage.registry.add('elsewhere', STRING)
    expect(await errorOf(() => stage.resolve({ id }))).to.match(/^otherSubject: /)
    stage.registry.add('orders-value', STRING)
    expect(await errorOf(() => stage.resolve({ id })), 'within five seconds').to.match(/^otherSubject: /)
    stage.nowMs += 5_001
    expect((await stage.resolve({ id })).subject).to.equal('orders-value')
  })

  it('of a registry that answers nonsense are refused, each with what is wrong', () =>
    checkRows<readonly [status: number, body: unknown, error: RegExp]>(
      [
        [200, 'not JSON', /it answered 200/],
        [200, '[', /it answered 200/],
        [200, {}, /it has no schema/],
        [200, { schema: 5 }, /it has no schema/],
        [200, { schema: STRING, schemaType: 'XML' }, /schemaType is not known/],
        [200, { schema: STRING, references: [{}] }, /its references are none/],
        [200, ' '.repeat(5_000_000), /it has more than 3145728 bytes/],
        [404, '<html>', /it answered 404/],
        [401, '', /it answered 401/],
        [500, { error_code: 50_001, message: 'store' }, /it answered 500: store/],
        [429, { error_code: 429, message: 'slower' }, /it answered 429: slower/]
      ],
      async ([status, body, error]) => {
        const { registry, schemas } = new SchemasStage()
        registry.script = () => ({ status, body })
        const wanted = { topic: 't', part: 'value', id: 1, mayRegister: () => true } as const
        expect(await errorOf(() => schemas.resolve(wanted)))
          .to.match(/^registryUnreachable: /)
          .and.match(error)
      }
    ))

  it('of a registry that answers with an id of more than four bytes are refused', async () => {
    const wanted = { topic: 't', part: 'value', schema: STRING, mayRegister: () => true } as const
    const resolve = (id: number) => {
      const { registry, schemas } = new SchemasStage()
      registry.script = () => ({ status: 200, body: { id, version: 1 } })
      return schemas.resolve(wanted)
    }
    expect(await errorOf(() => resolve(2 ** 32))).to.match(/^registryUnreachable: .*no id and version/)
    expect((await (await resolve(2 ** 32 - 1)).encode('"x"')).toString('hex')).to.equal('00ffffffff0278')
  })

  it('of a registry that finds another id or version than was asked for are refused', async () => {
    stage.registry.add('orders-value', STRING)
    stage.registry.script = ({ method, url }) =>
      method === 'POST' || url.endsWith('/versions/1')
        ? { status: 200, body: { subject: 'orders-value', id: 7, version: 2, schema: STRING } }
        : undefined
    expect(await errorOf(() => stage.resolve({ id: 1 }))).to.match(/^otherSubject/)
    expect(await errorOf(() => stage.resolve({ version: 1 }))).to.match(/^registryUnreachable: .*it has version 2/)
  })

  it('are read by their id, and are undecodable where there is none', async () => {
    stage.registry.add('orders-value', STRING)
    const good = Buffer.from('00000000010278', 'hex')
    expect(await stage.schemas.decode(good)).to.deep.equal({ type: 'decoded', format: 'AVRO', id: 1, json: '"x"' })
    const none = { type: 'undecodable', cause: 'it does not begin with the id of a schema' }
    for (const bytes of ['', '00', '01000000010278', '{"a":1}']) {
      expect(await stage.schemas.decode(Buffer.from(bytes, 'hex'))).to.deep.equal(none)
    }
    expect(await stage.schemas.decode(Buffer.from('000000000902', 'hex'))).to.deep.equal({
      type: 'undecodable',
      cause: 'the schema registry refuses: Schema 9 not found',
      id: 9
    })
  })

  it('are read by the GUID in a header', async () => {
    const guid = '00112233-4455-6677-8899-aabbccddeeff'
    stage.registry.script = ({ url }) =>
      url.endsWith(`/schemas/guids/${guid}`) ? { status: 200, body: { schema: STRING } } : undefined
    const header = Buffer.from(`01${guid.replaceAll('-', '')}`, 'hex')
    const bytes = Buffer.from('0278', 'hex')
    const decoded = { type: 'decoded', format: 'AVRO', id: undefined, json: '"x"' }
    expect(await stage.schemas.decode(bytes, header)).to.deep.equal(decoded)
  })

  it('of records are not called undecodable while the registry cannot be asked', async () => {
    stage.registry.script = () => Promise.reject(new Error('away'))
    expect(await errorOf(() => stage.schemas.decode(Buffer.from('00000000010278', 'hex')))).to.match(
      /^registryUnreachable/
    )
  })

  it('that cannot be asked for are told to the log, once for all URLs, and refused ones are not', async () => {
    stage = new SchemasStage({ urls: ['http://one/', 'http://two/'] })
    expect(await errorOf(() => stage.resolve({ id: 1 }))).to.match(/^unknownId/)
    stage.registry.script = ({ url }) =>
      url.includes('one') ? { status: 503, body: '' } : Promise.reject(new Error('connect ECONNREFUSED'))
    expect(await errorOf(() => stage.resolve({ id: 2 }))).to.match(/^registryUnreachable/)
    expect(stage.warnings).to.deep.equal([
      'schemas that are not known yet cannot be used: the schema registry cannot be asked: connect ECONNREFUSED'
    ])
  })

  it('are asked for at each URL in turn, beginning with the one that answered last', async () => {
    stage = new SchemasStage({ urls: ['http://one/', 'http://two/path'] })
    const hosts: string[] = []
    stage.registry.script = ({ url }) => {
      const { host, pathname } = new URL(url)
      hosts.push(host)
      return host === 'one'
        ? Promise.reject(new Error('away'))
        : { status: 200, body: { schema: STRING, path: pathname } }
    }
    await errorOf(() => stage.resolve({ id: 1 }))
    await errorOf(() => stage.resolve({ id: 2 }))
    expect(hosts.slice(0, 2)).to.deep.equal(['one', 'two'])
    expect(new Set(hosts.slice(1))).to.deep.equal(new Set(['two']))
  })

  it('are bounded in memory, and those used last stay', async () => {
    stage = new SchemasStage({ cacheMaxBytes: 200_000 })
    stage.registry.script = ({ method }) => (method === 'GET' ? { status: 200, body: { schema: STRING } } : undefined)
    const read = (id: number) => stage.schemas.decode(Buffer.from([0, 0, 0, 0, id, 2, 0x78]))
    for (let id = 1; id <= 100; id++) await read(id)
    stage.registry.calls.length = 0
    await read(100)
    expect(stage.registry.calls).to.deep.equal([])
    await read(1)
    expect(stage.registry.calls).to.deep.equal(['GET /schemas/ids/1'])
  })

  it('are asked for again by who waits for the answer of a client that may not go on', async () => {
    stage.registry.add('orders-value', STRING)
    const open = stage.host.open.bind(stage.host)
    stage.host.open = async (codec, owner) => {
      if (owner === 'bob') throw new OverloadedError('too many records of bob wait')
      return open(codec, owner)
    }
    const ask = (owner: string) => stage.resolve({ owner, id: 1 }).then(({ id }) => id, String)
    const answers = await Promise.all([ask('bob'), ask('bob'), ask('ann'), ask('bob'), ask('cid')])
    const refused = 'OverloadedError: too many records of bob wait'
    expect(answers).to.deep.equal([refused, refused, 1, refused, 1])
    const all = Array.from({ length: 3 }, () => ask('bob'))
    expect(new Set(await Promise.all(all))).to.deep.equal(new Set([1]))
  })

  describe('of which many are asked for at a time', () => {
    const CROWDED = 'overloaded: too many schemas are asked for at the same time'
    let time: FakeTime
    beforeEach(() => (time = new FakeTime()))
    afterEach(() => time.restore())

    /** Of a record, which takes one call. */
    const outcomeOf = (id: number, owner?: string): Promise<string> =>
      stage.schemas.decode(Buffer.from([0, 0, 0, id >> 8, id & 255, 2, 0x78]), undefined, owner).then(
        ({ type }) => `${type} ${id}`,
        (error: SchemaError | OverloadedError) => `${'code' in error ? error.code : error.reason}: ${error.message}`
      )
    const askAll = (count: number, first = 1, owner?: string): Promise<string>[] =>
      Array.from({ length: count }, (_, at) => outcomeOf(first + at, owner))
    /** Time of the registry passes with that of the machine. */
    const pass = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 500) {
        stage.nowMs += 500
        await time.pass(500, 500)
      }
    }
    const answersAfter = (ms: number): void => {
      stage.registry.script = () => new Promise(resolve => setTimeout(resolve, ms, undefined))
    }

    it('beyond 1,000 are refused as overload, and not as a failure of the registry', async () => {
      stage.registry.script = () => never
      const all = askAll(1_001)
      expect(await all.at(-1)!).to.equal(CROWDED)
      await pass(5_000)
      expect(new Set(await Promise.all(all.slice(0, -1)))).to.deep.equal(
        new Set(['registryUnreachable: the schema registry has not answered within 5000 ms'])
      )
      await pass(10_000)
      expect(time.timers).to.equal(0)
    })

    it('wait for their turn: 16 calls are made at a time, and the time of a call begins with it', async () => {
      for (let id = 1; id <= 20; id++) stage.registry.add('orders-value', JSON.stringify({ type: 'string', id }))
      answersAfter(4_000)
      const decoded = Array.from({ length: 20 }, (_, at) => `decoded ${at + 1}`)
      const all = askAll(20)
      await pass(3_500)
      expect(stage.registry.calls).to.have.lengthOf(16)
      await pass(1_500)
      expect(await Promise.all(all)).to.deep.equal([...decoded.slice(0, 16), ...Array(4).fill(CROWDED)])
      await pass(3_000)
      expect(await Promise.all(askAll(20)), 'later calls were made, and answered').to.deep.equal(decoded)
      expect(stage.registry.calls).to.have.lengthOf(20)
    })

    it('count, where others come first, neither against the registry nor against the schema', async () => {
      for (let id = 1; id <= 100; id++) stage.registry.add('orders-value', JSON.stringify({ type: 'string', id }))
      answersAfter(1_500)
      const all = askAll(100)
      await pass(5_000)
      const outcomes = await Promise.all(all)
      expect(outcomes).to.deep.equal([
        ...Array.from({ length: 48 }, (_, at) => `decoded ${at + 1}`),
        ...Array(52).fill(CROWDED)
      ])
      expect(stage.warnings).to.deep.equal([])
      stage.registry.script = () => undefined
      await pass(2_000)
      expect(await outcomeOf(100), 'asked for again at once').to.equal('decoded 100')
      await pass(5_000)
      expect(time.timers).to.equal(0)
    })

    it('are asked for in turns of their clients, of which one has about half of the places', async () => {
      for (let id = 1; id <= 2; id++) stage.registry.add('orders-value', JSON.stringify({ type: 'string', id }))
      answersAfter(1_500)
      const others = askAll(1_000, 100, 'bob')
      const own = [outcomeOf(1, 'ann'), outcomeOf(2, 'ann')]
      await pass(3_000)
      const refused = await Promise.all(others.slice(501).map(other => Promise.race([other, 'waits'])))
      expect(new Set(refused), 'beyond its places').to.deep.equal(new Set([CROWDED]))
      expect(await Promise.all(own.map(one => Promise.race([one, 'waits'])))).to.deep.equal(['decoded 1', 'decoded 2'])
      await pass(5_000)
      await Promise.all(others)
      expect(time.timers).to.equal(0)
    })

    it('are refused as by a silent registry where it answers nobody, and those that wait have no further call', async () => {
      stage.registry.script = () => never
      const all = askAll(40)
      await pass(5_000)
      expect((await Promise.all(all)).filter(one => !one.startsWith('registryUnreachable'))).to.deep.equal([])
      await pass(10_000)
      expect(stage.registry.calls.length).to.be.at.most(17)
      expect(time.timers).to.equal(0)
    })

    it('are used as they were last known where too many others are asked for', async () => {
      stage.registry.add('orders-value', STRING)
      await stage.resolve({ version: 'latest' })
      await pass(5_000)
      stage.registry.script = () => never
      const others = askAll(1_000, 100)
      expect((await stage.resolve({ version: 'latest' })).id).to.equal(1)
      await pass(10_000)
      await Promise.all(others)
    })
  })

  describe('of a registry that does not answer', () => {
    let time: FakeTime
    beforeEach(() => {
      time = new FakeTime()
      stage.registry.script = () => never
    })
    afterEach(() => time.restore())

    const ask = (id: number): Promise<string> => errorOf(() => stage.resolve({ id }))

    it('are refused after five seconds', async () => {
      const asked = ask(1)
      await time.pass(5_000, 100)
      expect(await asked).to.equal('registryUnreachable: the schema registry has not answered within 5000 ms')
      expect(time.timers).to.equal(0)
    })

    it('are read for longer than that once it has answered, as on a busy machine, but not for longer than 30 seconds', async () => {
      stage.registry.script = () => undefined
      const open = stage.host.open.bind(stage.host)
      let seconds = 7
      stage.host.open = async codec => {
        await new Promise(resolve => setTimeout(resolve, seconds * 1_000))
        return open(codec)
      }
      const read = stage.resolve({ id: stage.registry.add('orders-value', STRING) })
      await time.pass(7_000, 500)
      expect((await read).id).to.equal(1)
      seconds = 31
      const late = ask(stage.registry.add('orders-value', '"int"')).catch((error: Error) => error)
      await time.pass(30_000, 500)
      expect(await late).to.be.instanceOf(OverloadedError)
      await time.pass(1_000, 500)
      expect(time.timers).to.equal(0)
    })

    it('are refused at once after three failures, but for one call in five seconds', async () => {
      const asked = [ask(1), ask(2), ask(3)]
      await time.pass(5_000, 100)
      stage.nowMs += 5_000
      await Promise.all(asked)
      const trial = ask(4)
      expect(await ask(5)).to.match(/it has not answered several times/)
      expect(stage.registry.calls).to.have.lengthOf(4)
      stage.registry.script = () => undefined
      await time.pass(5_000, 100)
      await trial
      stage.nowMs += 5_000
      stage.registry.add('orders-value', STRING)
      expect(await ask(6)).to.match(/^unknownId/)
      expect(await ask(7)).to.match(/^unknownId/)
    })
  })

  it('are asked for while the registry answers nonsense about others', async () => {
    stage.registry.add('orders-value', STRING)
    stage.registry.script = ({ url }) => (/ids\/\d\d$/.test(url) ? { status: 400, body: '<html>' } : undefined)
    for (const id of [11, 12, 13, 14]) expect(await errorOf(() => stage.resolve({ id }))).to.match(/it answered 400$/)
    expect((await stage.resolve({ id: 1 })).subject).to.equal('orders-value')
  })

  it('are never read beyond the limit of an answer', async () => {
    let sent = 0
    const endless = (async function* () {
      for (;;) yield Buffer.alloc(1024 * 1024, sent++)
    })()
    stage.registry.send = async (): Promise<RegistryAnswer> => ({ status: 200, body: endless })
    expect(await errorOf(() => stage.resolve({ id: 1 }))).to.match(/it has more than 3145728 bytes/)
    expect(sent).to.equal(4)
  })

  describe('that use others', () => {
    const used = (name: string, subject: string): object => ({ name, subject, version: 1 })

    it('are read with all of them, those that they use first', async () => {
      stage.registry.add('country', '{"type":"enum","name":"n.Country","symbols":["DE"]}')
      stage.registry.add('address', {
        schema: '{"type":"record","name":"n.Address","fields":[{"name":"c","type":"n.Country"}]}',
        references: [used('n.Country', 'country')]
      })
      const references = [used('n.Address', 'address'), used('n.Country', 'country')] as never
      const schema = await stage.resolve({ schema: '{"type":"array","items":["null","n.Address"]}', references })
      expect(stage.read(schema, '[{"n.Address":{"c":"DE"}},null]')).to.equal('[{"n.Address":{"c":"DE"}},null]')
      expect((await stage.resolve({ id: schema.id })).encode('[]').subarray(5).toString('hex')).to.equal('00')
    })

    it('are read where the registry has deleted a used version softly, which no client can write with', async () => {
      stage.registry.add('country', '{"type":"enum","name":"n.Country","symbols":["DE"]}')
      const text = { schema: '["null","n.Country"]', references: [used('n.Country', 'country')] }
      const id = stage.registry.add('orders-value', text)
      stage.registry.softDelete('country', 1)
      expect(await stage.schemas.decode(Buffer.from([0, 0, 0, 0, id, 2, 0]))).to.deep.equal({
        type: 'decoded',
        format: 'AVRO',
        id,
        json: '{"n.Country":"DE"}'
      })
      const named = { subject: 'country', version: 1 }
      expect(await errorOf(() => stage.resolve(named))).to.match(/^unknownVersion: /)
    })

    it('are refused in a circle, with too many, and with those of another format', async () => {
      stage.registry.add('a', { schema: STRING, references: [used('b', 'b')] })
      stage.registry.add('b', { schema: STRING, references: [used('a', 'a')] })
      stage.registry.add('p', { schema: 'message M {}', schemaType: 'PROTOBUF' })
      const using = (...references: readonly object[]): Promise<string> =>
        errorOf(() => stage.resolve({ schema: STRING, references: references as never }))
      expect(await using(used('a', 'a'))).to.match(/^invalidSchema: .*it uses itself by way of a\/1/)
      expect(await using(used('p', 'p'))).to.match(/it uses p\/1, which has another format/)
      for (let at = 0; at < 1_000; at++)
        stage.registry.add(`s${at}`, { schema: STRING, references: at === 0 ? [] : [used(`s${at - 1}`, `s${at - 1}`)] })
      stage.registry.calls.length = 0
      expect(await using(used('s999', 's999'))).to.match(/uses more than 100 others/)
      expect(await using(...Array.from({ length: 1_000 }, (_, at) => used(`s${at}`, 's0')))).to.match(
        /uses more than 100 others/
      )
      expect(stage.registry.calls.length).to.be.below(205)
    })

    it('count in memory as what the registry tells of them', async () => {
      stage = new SchemasStage({ cacheMaxBytes: 1_000_000 })
      stage.registry.add('country', STRING)
      const references = Array(1_000).fill(used(`n.${'Country'.repeat(20)}`, 'country'))
      stage.registry.script = ({ url }) =>
        url.includes('/ids/') ? { status: 200, body: { schema: '"int"', references } } : undefined
      const read = (id: number) => stage.schemas.decode(Buffer.from([0, 0, 0, 0, id, 2]))
      for (let id = 1; id <= 10; id++) await read(id)
      stage.registry.calls.length = 0
      for (let id = 10; id > 0; id--) await read(id)
      expect(stage.registry.calls.filter(call => call.includes('/ids/'))).to.have.length.above(5)
    })

    it('are refused where all together are too large', async () => {
      const large = JSON.stringify({ type: 'string', doc: 'x'.repeat(400_000) })
      for (const name of ['a', 'b', 'c']) stage.registry.add(name, large.replace('x', name))
      const references = ['a', 'b', 'c'].map(name => used(name, name))
      expect(await errorOf(() => stage.resolve({ schema: STRING, references: references as never }))).to.match(
        /invalidSchema: .*it has more than 1048576 bytes/
      )
      const huge = JSON.stringify({ type: 'string', doc: 'x'.repeat(5_000_000) })
      stage.registry.calls.length = 0
      expect(await errorOf(() => stage.resolve({ schema: huge }))).to.match(/it has more than 1048576 bytes/)
      expect(stage.registry.calls).to.deep.equal([])
    })
  })

  it('let go of the registry when they are closed', () => {
    stage.schemas.close()
    expect(stage.registry.isClosed).to.equal(true)
  })
})
