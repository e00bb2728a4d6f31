import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import sinon from 'sinon'
import { OverloadedError } from '../../src/core/errors.js'
import { AT_CALL } from '../../src/schemas/codec-core.js'
import { type HostedCodec, WorkEndedError, type WorkItem } from '../../src/schemas/codec-host.js'
import type { SchemaFormat } from '../../src/schemas/registry.js'
import { Schemas } from '../../src/schemas/schemas.js'
import { schemasSettings } from '../../src/schemas/settings.js'
import { ThreadCodecs } from '../../src/schemas/thread-codec-host.js'
import { codecWorker, LOADER, moduleUrl } from '../support/built.js'
import { ScriptedRegistry } from './scripted-registry.js'

const STRING = '"string"'

/** Two to this power of ways to find out that a number is no text. */
const branching = (power: number): string =>
  JSON.stringify({
    definitions: Object.fromEntries([
      ['d0', { type: 'string' }],
      ...Array.from({ length: power }, (_, at) => [
        `d${at + 1}`,
        { anyOf: [0, 1].map(() => ({ $ref: `#/definitions/d${at}` })) }
      ])
    ]),
    $ref: `#/definitions/d${power}`
  })
const ENDLESS = branching(40)

describe('the thread of the schemas', () => {
  let host: ThreadCodecs
  let numbers = 0
  const open = (options: { readonly limitMs?: number; readonly cacheMaxBytes?: number } = {}): ThreadCodecs =>
    (host = new ThreadCodecs({ ...options, worker: codecWorker }))
  afterEach(() => host.close())

  async function codecOf(text: string, format: SchemaFormat = 'AVRO'): Promise<HostedCodec> {
    const codec = { number: ++numbers, source: { format, source: { text, used: new Map() }, isStrict: false } }
    expect(await host.open(codec, undefined)).to.have.property('type', 'opened')
    return codec
  }
  const itemOf = (codec: HostedCodec, json: string, id = 1): WorkItem => ({ codec, bytes: Buffer.from(json), id })
  const encode = (items: readonly WorkItem[], owner?: string, maxBytes = 1_000_000) =>
    host.run({ type: 'encode', items, maxBytes, owner })
  const failureOf = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => expect.fail('it was done'),
      (error: Error) => error
    )

  it('reads schemas, encodes behind the ids, and decodes, each at its place', async () => {
    open()
    const [text, int] = [await codecOf(STRING), await codecOf('"int"')]
    const encoded = await encode([itemOf(text, '"ä"', 7), itemOf(int, '"no"'), itemOf(int, '-1', 258)])
    expect(encoded.map(result => ('type' in result ? result.message : result.toString('hex')))).to.deep.equal([
      '000000000704c3a4',
      'expected int, got string "no"',
      '000000010201'
    ])
    const payloads = encoded.map((result, at) => ({
      codec: at === 0 ? text : int,
      bytes: 'type' in result ? Buffer.alloc(0) : result.subarray(5),
      id: 0
    }))
    const decoded = await host.run({ type: 'decode', items: payloads, maxBytes: 100, owner: undefined })
    expect(decoded.map(result => ('type' in result ? result.type : String(result)))).to.deep.equal([
      '"ä"',
      'undecodable',
      '-1'
    ])
  })

  it('reads bytes that are given alone at once, so that the caller may reuse them', async () => {
    const settings = schemasSettings.parse({ registry: { urls: ['http://registry'] } })
    const schemas = new Schemas(settings, { transport: new ScriptedRegistry(), host: open(), clock: () => 0 })
    const schema = await schemas.resolve({ topic: 'orders', part: 'value', schema: STRING, mayRegister: () => true })
    const json = Buffer.from('"a"')
    const encoding = schema.encode(json)
    json.fill('x')
    const bytes = await encoding
    expect(bytes.subarray(5).toString()).to.equal('\x02a')
    const decoding = schemas.decode(bytes)
    bytes.fill(0)
    expect(await decoding).to.have.property('json', '"a"')
  })

  it('says why a schema is none', async () => {
    open()
    const source = { format: 'AVRO', source: { text: '"nothing"', used: new Map() }, isStrict: false } as const
    expect(await host.open({ number: ++numbers, source }, undefined)).to.deep.equal({
      type: 'invalid',
      message: 'there is no type string "nothing"'
    })
  })

  it('ends work that takes too long, and does what others gave it', async () => {
    open({ limitMs: 200 })
    const [endless, text] = [await codecOf(ENDLESS, 'JSONSCHEMA'), await codecOf(STRING)]
    const work = [
      encode([itemOf(text, '"a"')], 'ann'),
      failureOf(encode([itemOf(endless, '1')], 'bob')),
      encode([itemOf(text, '"b"')], 'ann'),
      encode([itemOf(endless, '"x"')], 'cid')
    ]
    const [first, ended, second, third] = await Promise.all(work)
    expect(ended).to.be.instanceOf(WorkEndedError).with.property('message', 'it needs more than 200 ms')
    expect([first, second, third].map(results => String((results as Buffer[])[0]!.subarray(5)))).to.deep.equal([
      '\x02a',
      '\x02b',
      '"x"'
    ])
  })

  it('lets owners take turns: one with much work keeps no other waiting for all of it', async () => {
    open({ limitMs: 400 })
    const [endless, text] = [await codecOf(ENDLESS, 'JSONSCHEMA'), await codecOf(STRING)]
    const ended: string[] = []
    const greedy = Array.from({ length: 3 }, () =>
      failureOf(encode([itemOf(endless, '1')], 'bob')).then(() => ended.push('bob'))
    )
    const polite = encode([itemOf(text, '"a"')], 'ann').then(() => ended.push('ann'))
    await Promise.all([...greedy, polite])
    expect(ended.indexOf('ann')).to.be.at.most(1)
  })

  it('hands on what is done after 20 ms, and does not keep it until the rest of the same message is', async () => {
    open({ limitMs: 60_000 })
    const [slow, text] = [await codecOf(branching(16), 'JSONSCHEMA'), await codecOf(STRING)]
    const order: string[] = []
    const noted = (what: string) => (): void => {
      order.push(what)
      setImmediate(() => order.push('next turn'))
    }
    await Promise.all([
      encode([itemOf(slow, '1')], 'ann').then(noted('slow')),
      encode([itemOf(text, '"a"')], 'bob').then(noted('quick'))
    ])
    expect(order.slice(0, 3)).to.deep.equal(['slow', 'next turn', 'quick'])
  })

  it('does all work of others before more of an owner whose work has taken long, also where they read schemas again', async () => {
    open({ limitMs: 400 })
    const members = Array.from({ length: 30 }, (_, at) => [`p${at}`, { type: 'string', pattern: `^a{0,3}${at}$` }])
    const large = (at: number) => JSON.stringify({ title: `${at}`, properties: Object.fromEntries(members) })
    const several = [await codecOf(large(1), 'JSONSCHEMA'), await codecOf(large(2), 'JSONSCHEMA')]
    const endless = await codecOf(ENDLESS, 'JSONSCHEMA')
    const order: string[] = []
    const greedy = (): Promise<unknown> =>
      failureOf(encode([itemOf(endless, '1')], 'bob')).then(() => order.push('bob'))
    await greedy()
    const polite = encode(
      several.map(codec => itemOf(codec, '{}')),
      'ann'
    ).then(() => order.push('ann'))
    await Promise.all([greedy(), greedy(), greedy(), polite])
    expect(order).to.deep.equal(['bob', 'ann', 'bob', 'bob', 'bob'])
  })

  it('reads a new schema, for which others may wait, before all work of its owner that has waited longer', async () => {
    open({ limitMs: 400 })
    const endless = await codecOf(ENDLESS, 'JSONSCHEMA')
    const order: string[] = []
    const work = Array.from({ length: 3 }, () =>
      failureOf(encode([itemOf(endless, '1')], 'bob')).then(() => order.push('work'))
    )
    const source = { format: 'AVRO', source: { text: STRING, used: new Map() }, isStrict: false } as const
    await Promise.all([...work, host.open({ number: ++numbers, source }, 'bob').then(() => order.push('schema'))])
    expect(order.indexOf('schema')).to.be.at.most(1)
  })

  it('lets others go first while the many schemas of one request are read again', async () => {
    open({ limitMs: 1_000 })
    const members = Array.from({ length: 60 }, (_, at) => [`p${at}`, { type: 'string', pattern: `^a{0,3}${at}$` }])
    const large = (at: number) => JSON.stringify({ title: `${at}`, properties: Object.fromEntries(members) })
    const many: HostedCodec[] = []
    for (let at = 0; at < 12; at++) many.push(await codecOf(large(at), 'JSONSCHEMA'))
    const [endless, text] = [await codecOf(ENDLESS, 'JSONSCHEMA'), await codecOf(STRING)]
    expect(await failureOf(encode([itemOf(endless, '1')], 'bob'))).to.be.instanceOf(WorkEndedError)
    const order: string[] = []
    const greedy = encode(
      many.map(codec => itemOf(codec, '{}')),
      'bob'
    ).then(() => order.push('bob'))
    const polite = Array.from({ length: 3 }, (_, at) =>
      encode([itemOf(text, '"a"')], `ann ${at}`).then(() => order.push('ann'))
    )
    await Promise.all([greedy, ...polite])
    expect(order).to.deep.equal(['ann', 'ann', 'ann', 'bob'])
  })

  it('counts a schema as what it holds once it was read', async () => {
    open({ cacheMaxBytes: 300_000 })
    const schema = (title: string) => JSON.stringify({ title, pattern: '^(ab?){240}$' })
    const codecs = [await codecOf(schema('a'), 'JSONSCHEMA'), await codecOf(schema('b'), 'JSONSCHEMA')]
    for (const { heldBytes } of codecs) expect(heldBytes).to.be.within(160_000, 300_000)
    for (const codec of [...codecs, ...codecs]) expect((await encode([itemOf(codec, '1')]))[0]).to.be.instanceOf(Buffer)
    expect(await failureOf(encode(codecs.map(codec => itemOf(codec, '1'))))).to.have.property(
      'message',
      'the schemas of one request need too much memory'
    )
  })

  it('reads a schema again whose reading was given back, and keeps it', async () => {
    open({ limitMs: 400 })
    const [endless, text] = [await codecOf(ENDLESS, 'JSONSCHEMA'), await codecOf(STRING)]
    await failureOf(encode([itemOf(endless, '1')]))
    const work = [failureOf(encode([itemOf(endless, '1')], 'bob')), encode([itemOf(text, '"a"')], 'ann')]
    await Promise.all(work)
    for (let round = 0; round < 3; round++) expect((await encode([itemOf(text, '"b"')]))[0]).to.be.instanceOf(Buffer)
  })

  it('reads all schemas although each message gives back all but the first', async () => {
    const code = `
      import { parentPort } from 'node:worker_threads'
      const results = [{ type: 'opened', name: undefined, heldBytes: 1 }]
      parentPort.on('message', () => parentPort.postMessage({ results, tookMs: [0] }))`
    host = new ThreadCodecs({ worker: new URL(`data:text/javascript,${encodeURIComponent(code)}`) })
    await Promise.all([codecOf(STRING), codecOf(STRING), codecOf(STRING)])
  }).timeout(20_000)

  it('reads a schema again that it had no capacity to keep', async () => {
    open({ cacheMaxBytes: 300 })
    const codecs = [await codecOf(STRING), await codecOf('"int"'), await codecOf('"long"')]
    const values = ['"a"', '1', '2']
    for (let round = 0; round < 3; round++) {
      for (const [at, codec] of codecs.entries()) {
        const [result] = await encode([itemOf(codec, values[at]!)])
        expect(result).to.be.instanceOf(Buffer)
      }
    }
    expect(await failureOf(encode(codecs.map((codec, at) => itemOf(codec, values[at]!))))).to.be.instanceOf(
      WorkEndedError
    )
  })

  it('reads a schema again whose capacity others have taken in the message that has read it', async () => {
    const code = `
      import { parentPort } from 'node:worker_threads'
      const known = new Set()
      const resultOf = ({ type, codec, codecs }) =>
        type === 'open'
          ? known.add(codec) && { type: 'opened', name: undefined, heldBytes: 1 }
          : { type: 'results', ends: [1], bytes: Uint8Array.of(known.has(codecs[0])), failures: [] }
      parentPort.on('message', ({ calls, forgotten }) => {
        const results = calls.map(resultOf)
        for (const codec of forgotten) known.delete(codec)
        parentPort.postMessage({ results, tookMs: calls.map(() => 0) })
      })`
    const worker = new URL(`data:text/javascript,${encodeURIComponent(code)}`)
    host = new ThreadCodecs({ worker, cacheMaxBytes: 300 })
    const [first] = await Promise.all([codecOf(STRING), codecOf(STRING)])
    expect(await encode([itemOf(first, '"a"')])).to.deep.equal([Buffer.of(1)])
  })

  it('fails work that has waited for ten seconds, also while it has no turn', async () => {
    const code = `
      import { parentPort } from 'node:worker_threads'
      const results = [{ type: 'opened', name: undefined, heldBytes: 1 }]
      parentPort.once('message', () => parentPort.postMessage({ results, tookMs: [0] }))
      parentPort.on('message', () => {})`
    const clock = sinon.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    try {
      host = new ThreadCodecs({ worker: new URL(`data:text/javascript,${encodeURIComponent(code)}`) })
      const codec = await codecOf(STRING)
      failureOf(encode([itemOf(codec, '"sent"')], 'ann')).catch(() => undefined)
      await new Promise(resolve => setImmediate(resolve))
      const waiting = failureOf(encode([itemOf(codec, '"waits"')], 'bob'))
      await clock.tickAsync(10_100)
      const error = await Promise.race([waiting, new Promise(resolve => setImmediate(resolve))])
      expect(error).to.have.property('message', 'the thread of the schemas had no time for it')
    } finally {
      clock.restore()
    }
  })

  it('keeps no large results of others in memory with small ones', async () => {
    open()
    const codec = await codecOf(STRING)
    const large = Array.from({ length: 4 }, () => itemOf(codec, JSON.stringify('x'.repeat(500_000))))
    const [[small]] = await Promise.all([encode([itemOf(codec, '"a"')], 'ann'), encode(large, 'bob', 4_000_000)])
    expect((small as Buffer).toString('latin1', 5)).to.equal('\x02a')
    expect((small as Buffer).buffer.byteLength).to.be.below(500_000)
  })

  it('refuses more work of an owner than it may hold, and takes some again when that is done', async () => {
    open()
    const codec = await codecOf(STRING)
    const large = itemOf(codec, JSON.stringify('x'.repeat(1_000_000)))
    const work = Array.from({ length: 80 }, () => encode([large], 'ann', 2_000_000).catch((error: Error) => error))
    const polite = encode([itemOf(codec, '"a"')], 'bob')
    const results = await Promise.all(work)
    const refused = results.filter(result => result instanceof OverloadedError)
    expect(refused.length).to.be.within(40, 60)
    expect(await polite).to.have.length(1)
    expect(await encode([large], 'ann', 2_000_000)).to.have.length(1)
  })

  it('fails what is open when it is closed, and all later work', async () => {
    open()
    const codec = await codecOf(STRING)
    const work = failureOf(encode([itemOf(codec, '"a"')]))
    host.close()
    expect(await work).to.have.property('code', 'shuttingDown')
    expect(await failureOf(encode([itemOf(codec, '"a"')]))).to.have.property('code', 'shuttingDown')
  })

  it('finds out which one of several has taken all memory where the thread has not told it, and does the others', async () => {
    const code = `
      import { parentPort } from 'node:worker_threads'
      const opened = { type: 'opened', name: undefined, heldBytes: 1 }
      parentPort.on('message', ({ calls }) => {
        const all = []
        while (calls.some(({ codec }) => codec === 2)) all.push(Array(100_000).fill(0.5))
        parentPort.postMessage({ results: calls.map(() => opened), tookMs: calls.map(() => 0) })
      })`
    host = new ThreadCodecs({ worker: new URL(`data:text/javascript,${encodeURIComponent(code)}`) })
    const source = { format: 'AVRO', source: { text: STRING, used: new Map() }, isStrict: false } as const
    const work = [1, 2, 3].map(number => host.open({ number, source }, 'ann').catch((error: Error) => error))
    const [first, second, third] = await Promise.all(work)
    expect([first, third].map(result => (result as { readonly type: string }).type)).to.deep.equal(['opened', 'opened'])
    expect(second)
      .to.be.instanceOf(WorkEndedError)
      .with.property('message')
      .that.matches(/memory/)
  })

  it('fails no work for the memory that schemas of others have taken, and what takes it all alone once', async () => {
    // Each schema leaves something behind, of which the thread can hold two; the schema 13 does not fit at all.
    const code = `
      import { parentPort, workerData } from 'node:worker_threads'
      let held = 0
      parentPort.on('message', ({ calls }) => {
        for (const [at, { codec }] of calls.entries()) {
          Atomics.store(workerData.progress, ${AT_CALL}, at + 1)
          if (++held > 2 || codec === 13) throw Object.assign(new Error('no memory'), { code: 'ERR_WORKER_OUT_OF_MEMORY' })
        }
        const opened = { type: 'opened', name: undefined, heldBytes: 1 }
        parentPort.postMessage({ results: calls.map(() => opened), tookMs: calls.map(() => 0) })
      })`
    host = new ThreadCodecs({ worker: new URL(`data:text/javascript,${encodeURIComponent(code)}`) })
    const source = { format: 'AVRO', source: { text: STRING, used: new Map() }, isStrict: false } as const
    const opened = async (number: number, owner = `owner ${number}`): Promise<string> =>
      host.open({ number, source }, owner).then(
        ({ type }) => type,
        (error: Error) => error.name
      )
    for (const number of [1, 2, 3, 4, 5]) expect(await opened(number), String(number)).to.equal('opened')
    const all = await Promise.all([6, 7, 13, 8, 9, 10, 11].map(number => opened(number)))
    expect(all).to.deep.equal(['opened', 'opened', 'WorkEndedError', 'opened', 'opened', 'opened', 'opened'])
  })

  it('does again what it had begun to do when it died of other work, however long that took', async () => {
    const code = `
      import { parentPort } from 'node:worker_threads'
      const opened = { type: 'opened', name: undefined, heldBytes: 1 }
      parentPort.on('message', ({ calls }) => {
        if (calls.some(({ codec }) => codec === 2))
          throw Object.assign(new Error('no memory'), { code: 'ERR_WORKER_OUT_OF_MEMORY' })
        parentPort.postMessage({ results: calls.map(() => opened), tookMs: calls.map(() => 0) })
      })`
    const clock = sinon.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    try {
      host = new ThreadCodecs({ worker: new URL(`data:text/javascript,${encodeURIComponent(code)}`) })
      const source = { format: 'AVRO', source: { text: STRING, used: new Map() }, isStrict: false } as const
      const work = [1, 2, 3].map(number => host.open({ number, source }, 'ann').catch((error: Error) => error))
      await new Promise(resolve => setImmediate(resolve))
      clock.tick(10_000)
      const [first, second, third] = await Promise.all(work)
      expect([first, third]).to.deep.equal(Array(2).fill({ type: 'opened', name: undefined, heldBytes: 1 }))
      expect(second).to.be.instanceOf(WorkEndedError)
    } finally {
      clock.restore()
    }
  })

  it('fails its work where the thread cannot start', async () => {
    host = new ThreadCodecs({ worker: new URL('./no-such-file.mjs', import.meta.url) })
    const source = { format: 'AVRO', source: { text: STRING, used: new Map() }, isStrict: false } as const
    expect(await failureOf(host.open({ number: ++numbers, source }, undefined))).to.match(/no-such-file/)
  })

  it('keeps a process alive while there is work, and not longer', () => {
    open()
    const code = `
      const { ThreadCodecs } = await import(${JSON.stringify(moduleUrl('schemas/thread-codec-host'))})
      const host = new ThreadCodecs({ worker: ${codecWorker === undefined ? 'undefined' : `new URL(${JSON.stringify(codecWorker.href)})`} })
      const source = { format: 'AVRO', source: { text: '"string"', used: new Map() }, isStrict: false }
      const { type } = await host.open({ number: 1, source }, undefined)
      process.stdout.write(type)`
    // Node refuses to start a thread with some options of its process, where they are handed on to it.
    const asModule = ['--input-type=module', '-e', code]
    for (const options of [asModule, ['--max-old-space-size=256', '--expose-gc', ...asModule]]) {
      const run = spawnSync(process.execPath, [...LOADER, ...options], { encoding: 'utf8', timeout: 60_000 })
      expect([run.status, run.stdout], run.stderr).to.deep.equal([0, 'opened'])
    }
    const file = join(mkdtempSync(join(tmpdir(), 'castellan-thread-')), 'program.mjs')
    writeFileSync(file, code)
    const limits = ['--max-old-space-size=256', '--expose-gc']
    const run = spawnSync(process.execPath, [...limits, ...LOADER, file], { encoding: 'utf8', timeout: 60_000 })
    rmSync(dirname(file), { recursive: true })
    expect([run.status, run.stdout], run.stderr).to.deep.equal([0, 'opened'])
  })
})
